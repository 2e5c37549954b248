package sqldb

// Shapes gives every statement that a text may be sent as, for tests of their plans.
func Shapes(text string) []string {
	s := cut(text)
	if s == nil {
		return []string{text}
	}
	var out []string
	for holds := range uint64(1) << len(s.bodies) {
		out = append(out, s.make(holds).text)
	}
	return out
}

// ShapeOf is what is sent of a statement.
var ShapeOf = shapeOf

// SetTimeline makes a database believe to have seen a timeline.
func SetTimeline(db *DB, line string) { db.engine.(*postgres).line.highest.Store(&line) }

package sqldb

import (
	"fmt"
	"math/bits"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A list whose caller may narrow it says so in its SQL: (CAST($3 AS TEXT) = '' OR actor_id = $3). Sent like that, the
// statement would be planned once for all callers and read everything the organization has. What is sent instead is the
// statement of the narrowing asked for: an empty parameter takes its condition away, any other leaves the comparison
// alone, so that each combination is a statement of its own, with a plan and an index of its own.

// A shaped statement is cut at its optional conditions.
type shaped struct {
	text   []string // before, between and after the conditions
	params []int    // of each condition, from 0
	bodies []string // of each condition: what must hold
	made   sync.Map // uint64, a bit for each condition that holds → shape
}

type shape struct {
	text string
	args []int // which of the statement's parameters it has, from 0
}

var (
	optional   = regexp.MustCompile(`\s+AND \(CAST\(\$(\d+) AS TEXT\) = '' OR `)
	parameter  = regexp.MustCompile(`\$(\d+)`)
	statements sync.Map // text → *shaped; nil for the most, which have no optional condition
)

// shapeOf gives the statement to send, its arguments, and how many optional conditions it has.
func shapeOf(text string, args []any) (string, []any, int) {
	known, ok := statements.Load(text)
	if !ok {
		known, _ = statements.LoadOrStore(text, cut(text))
	}
	s := known.(*shaped)
	if s == nil {
		return text, args, 0
	}
	var holds uint64
	for i, p := range s.params {
		if reflect.ValueOf(args[p]).String() != "" {
			holds |= 1 << i
		}
	}
	made, ok := s.made.Load(holds)
	if !ok {
		made, _ = s.made.LoadOrStore(holds, s.make(holds))
	}
	sh := made.(shape)
	sent := make([]any, len(sh.args))
	for i, p := range sh.args {
		sent[i] = args[p]
	}
	return sh.text, sent, bits.OnesCount64(holds)
}

// cut finds the optional conditions of a statement.
func cut(text string) *shaped {
	var s shaped
	for {
		at := optional.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		end := closing(text, at[1])
		n, err := strconv.Atoi(text[at[2]:at[3]])
		if end < 0 || err != nil {
			panic(fmt.Sprintf("sqldb: the optional condition does not end: %s", text)) // a mistake in queries.sql
		}
		s.text = append(s.text, text[:at[0]])
		s.params = append(s.params, n-1)
		s.bodies = append(s.bodies, text[at[1]:end])
		text = text[end+1:]
	}
	if s.params == nil {
		return nil
	}
	s.text = append(s.text, text)
	return &s
}

// closing finds the bracket that closes the one before start.
func closing(text string, start int) int {
	depth := 1
	for i := start; i < len(text); i++ {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// make writes the statement in which some conditions hold, and numbers its parameters anew.
func (s *shaped) make(holds uint64) shape {
	var b strings.Builder
	for i, body := range s.bodies {
		b.WriteString(s.text[i])
		if holds&(1<<i) != 0 {
			b.WriteString("\n  AND " + body)
		}
	}
	b.WriteString(s.text[len(s.bodies)])
	var sh shape
	number := make(map[string]int)
	sh.text = parameter.ReplaceAllStringFunc(b.String(), func(name string) string {
		n, ok := number[name]
		if !ok {
			old, _ := strconv.Atoi(name[1:])
			sh.args = append(sh.args, old-1)
			n = len(sh.args)
			number[name] = n
		}
		return "$" + strconv.Itoa(n)
	})
	return sh
}

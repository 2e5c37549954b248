package sqldb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
)

// Listener hears what committed transactions announced, in order of their commits.
type Listener struct {
	Messages func(messages []string)
	// Current says: everything committed before this moment has been heard.
	Current func(at time.Time)
	// Reset says: something may have been missed.
	Reset func()

	// Hello is announced once the listener hears, Alive every few seconds: PostgreSQL only, where others may listen
	// elsewhere.
	Hello, Alive string
}

const (
	beatEvery   = 200 * time.Millisecond
	aliveEach   = 25 // beats
	silence     = 15 * beatEvery
	tailEvery   = 15 * time.Millisecond
	tailAtLeast = 5 * time.Second
	tailGap     = keepInvalidations / 2
)

// Listen delivers announcements of all processes until ctx ends or the connection fails. It calls Reset once it hears.
func (db *DB) Listen(ctx context.Context, l Listener) error {
	if e, ok := db.engine.(*lite); ok {
		return e.listen(ctx, l)
	}
	return db.engine.(*postgres).listen(ctx, l)
}

// listen uses a connection of its own, and another for the node's heartbeat, which waits behind no request. When a beat
// that left at t has come back, so has everything committed before t, since PostgreSQL delivers in order of commit. A
// connection that falls silent, and one to a former primary, is given up.
func (p *postgres) listen(ctx context.Context, l Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := failpoint.Hit(ctx, "listen"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	conn, err := p.connectDirect(ctx)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { hangUp(conn) }()
	beating, err := pgx.ConnectConfig(ctx, p.direct)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { hangUp(beating) }()
	line := p.line.known()
	beatChannel := "gatehouse_beat_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "LISTEN "+Channel+"; LISTEN "+beatChannel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if p.pooled {
		if err := p.prove(ctx, conn, beatChannel); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	l.Reset()
	start := time.Now() // beats carry the time since, so that the wall clock does not matter
	beats := make(chan struct{})
	defer func() { cancel(); <-beats }()
	go func() {
		defer close(beats)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		said := false
		for n := 0; ; n++ {
			// a late beat proves little, but is no reason to begin anew
			beatCtx, done := context.WithTimeout(ctx, silence)
			_, err := beating.Exec(beatCtx, `SELECT pg_notify($1, $2)`, beatChannel,
				strconv.FormatInt(int64(time.Since(start)), 10))
			if err == nil && !said && l.Hello != "" {
				_, err = beating.Exec(beatCtx, `SELECT pg_notify($1, $2)`, Channel, l.Hello+"\n"+l.Alive)
				said = err == nil
			} else if err == nil && said && n%aliveEach == 0 {
				_, err = beating.Exec(beatCtx, `SELECT pg_notify($1, $2)`, Channel, l.Alive)
			}
			done()
			if err != nil {
				cancel() // nothing more will be heard of it
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	heard := false
	for last := time.Now(); ; {
		waiting, done := context.WithDeadline(ctx, last.Add(silence))
		n, err := conn.WaitForNotification(waiting)
		done()
		if err != nil && !heard && errors.Is(waiting.Err(), context.DeadlineExceeded) {
			return errDeaf
		}
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if p.line.known() != line {
			return errors.New("listen: the database was failed over")
		}
		if n.Channel == beatChannel {
			last, heard = time.Now(), true
			if since, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
				l.Current(start.Add(time.Duration(since)))
			}
			continue
		}
		l.Messages(strings.Split(n.Payload, "\n"))
	}
}

// errDeaf is told where LISTEN succeeds and nothing follows.
var errDeaf = errors.New("listen: not even what this node announces itself is heard: if a connection pooler stands " +
	"before PostgreSQL, set database_listen (GATEHOUSE_DATABASE_LISTEN) to an address without it")

// hangUp ends a connection without waiting for a server that may be gone.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), beatEvery)
	defer cancel()
	conn.Close(ctx) // it is closed in any case
}

// tail reads the table of announcements. Nothing tells SQLite's readers of another process's commit, so whoever relies
// on having heard everything looks first (CatchUp): when nobody asks for anything, nothing is done.
type tail struct {
	conn    *sql.Conn
	changed *sql.Stmt
	l       Listener
	start   time.Time
	looked  atomic.Int64 // nanoseconds since start

	mu           sync.Mutex
	seq, version int64
	broken       chan error
}

func (e *lite) listen(ctx context.Context, l Listener) error {
	conn, err := e.reader.Conn(ctx)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer conn.Close()
	t := &tail{conn: conn, l: l, start: time.Now(), broken: make(chan error, 1)}
	if err := conn.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM invalidations`).Scan(&t.seq); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if t.changed, err = conn.PrepareContext(ctx, `PRAGMA data_version`); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer t.changed.Close()
	l.Reset()
	t.look(true)
	e.tail.Store(t)
	defer func() {
		e.tail.Store(nil)
		t.mu.Lock() // nobody is looking any more
		defer t.mu.Unlock()
		t.changed = nil
	}()
	tick := time.NewTicker(tailAtLeast)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-t.broken:
			return fmt.Errorf("listen: %w", err)
		case <-tick.C:
			t.look(true)
		}
	}
}

// CatchUp hears what other processes have announced in a SQLite file, unless it did so a moment ago. On PostgreSQL,
// which tells by itself, it does nothing.
func (db *DB) CatchUp() {
	if e, ok := db.engine.(*lite); ok {
		if t := e.tail.Load(); t != nil {
			t.look(false)
		}
	}
}

// look reads what is new. data_version tells in microseconds whether any other connection has committed at all.
func (t *tail) look(now bool) {
	if !now && int64(time.Since(t.start))-t.looked.Load() < int64(tailEvery) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := time.Now()
	last := t.start.Add(time.Duration(t.looked.Load()))
	if !now && at.Sub(last) < tailEvery || t.changed == nil {
		return // another has looked meanwhile, or it is over
	}
	if at.Sub(last) > tailGap {
		t.l.Reset() // the process slept longer than announcements are kept
	}
	if err := t.read(); err != nil {
		select {
		case t.broken <- err:
		default:
		}
		return
	}
	t.looked.Store(int64(at.Sub(t.start)))
	t.l.Current(at)
}

func (t *tail) read() error {
	ctx := context.Background() // it is for everybody, not for the request that happens to look
	var version int64
	if err := t.changed.QueryRowContext(ctx).Scan(&version); err != nil || version == t.version {
		return err
	}
	rows, err := t.conn.QueryContext(ctx, `SELECT seq, message FROM invalidations WHERE seq > $1 ORDER BY seq`, t.seq)
	if err != nil {
		return err
	}
	defer rows.Close()
	var messages []string
	for rows.Next() {
		var m string
		if err := rows.Scan(&t.seq, &m); err != nil {
			return err
		}
		messages = append(messages, m)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(messages) > 0 {
		t.l.Messages(messages)
	}
	t.version = version
	return nil
}

package sqldb

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Listener hears what committed transactions announced, in order of their commits.
type Listener struct {
	Messages func(messages []string)
	// Current says: everything committed before this moment has been heard.
	Current func(at time.Time)
	// Reset says: something may have been missed.
	Reset func()

	// Hello is announced once the listener hears, Alive every few seconds: PostgreSQL only, where others may listen elsewhere.
	Hello, Alive string
}

const (
	beatEvery = 200 * time.Millisecond
	aliveEach = 25 // beats
	tailEvery = 15 * time.Millisecond
	tailGap   = keepInvalidations / 2
)

// Listen delivers announcements of all processes until ctx ends or the connection fails. It calls Reset once it hears.
func (db *DB) Listen(ctx context.Context, l Listener) error {
	if e, ok := db.engine.(*lite); ok {
		return e.listen(ctx, l)
	}
	return db.engine.(*postgres).listen(ctx, l)
}

// listen uses a connection of its own. The node's own heartbeat travels the whole way, through the pool, the server and back: when
// one that left at t has come, so has everything committed before t, since PostgreSQL delivers in order of commit.
func (p *postgres) listen(ctx context.Context, l Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	beatChannel := "gatehouse_beat_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "LISTEN "+Channel+"; LISTEN "+beatChannel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	l.Reset()
	start := time.Now() // beats carry the time since, so that the wall clock does not matter
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		said := false
		for n := 0; ; n++ {
			beatCtx, done := context.WithTimeout(ctx, 5*beatEvery)
			p.pool.Exec(beatCtx, `SELECT pg_notify($1, $2)`, beatChannel, strconv.FormatInt(int64(time.Since(start)), 10)) // a lost beat shows as silence
			if !said {
				_, err := p.pool.Exec(beatCtx, `SELECT pg_notify($1, $2)`, Channel, l.Hello+"\n"+l.Alive)
				said = err == nil
			} else if n%aliveEach == 0 {
				p.pool.Exec(beatCtx, `SELECT pg_notify($1, $2)`, Channel, l.Alive)
			}
			done()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if n.Channel == beatChannel {
			if since, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
				l.Current(start.Add(time.Duration(since)))
			}
			continue
		}
		l.Messages(strings.Split(n.Payload, "\n"))
	}
}

// listen tails the table of announcements. data_version tells in microseconds whether any other connection has committed at all.
func (e *lite) listen(ctx context.Context, l Listener) error {
	conn, err := e.reader.Conn(ctx)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer conn.Close()
	var seq, version int64
	if err := conn.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM invalidations`).Scan(&seq); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	changed, err := conn.PrepareContext(ctx, `PRAGMA data_version`)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer changed.Close()
	l.Reset()
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		at := time.Now()
		if at.Sub(last) > tailGap {
			l.Reset() // the process slept longer than announcements are kept
		}
		last = at
		var v int64
		if err := changed.QueryRowContext(ctx).Scan(&v); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if v != version {
			rows, err := conn.QueryContext(ctx, `SELECT seq, message FROM invalidations WHERE seq > $1 ORDER BY seq`, seq)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			var messages []string
			for rows.Next() {
				var m string
				if err := rows.Scan(&seq, &m); err != nil {
					rows.Close()
					return fmt.Errorf("listen: %w", err)
				}
				messages = append(messages, m)
			}
			if err := rows.Err(); err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			if len(messages) > 0 {
				l.Messages(messages)
			}
			version = v
		}
		l.Current(at)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

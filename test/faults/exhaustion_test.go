//go:build faults

package faults

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// FLT11: others take every connection that PostgreSQL has, then every connection of Redis. Nodes say 503 with a time to
// come back, or do without Redis, stay alive, and heal by themselves; a node that starts meanwhile does not become
// ready before it can serve (I6, I8, I9).
func TestFLT11_ServersFull(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t)
	redis := startRedis(t, "--maxclients", "40")
	l := open(t, pg.url())
	l.env = append(l.env, "GATEHOUSE_REDIS=redis://"+redis.address())
	n := l.node().start()
	l.operator(n)
	f := l.signIn(n)
	ctx := context.Background()
	var taken []*pgx.Conn
	for {
		c, err := pgx.Connect(ctx, pg.url())
		if err != nil {
			if !strings.Contains(err.Error(), "53300") { // too_many_connections
				t.Fatal(err)
			}
			break
		}
		taken = append(taken, c)
	}
	h := newHistory()
	stop := repeat(24, func(w int) { // more than the connections that the node has already
		r := h.note(w, "list", "", func() reply { return n.call("GET", "/v1/audit-events?limit=1", l.admin, nil) })
		if r.status != 200 && r.status != 503 {
			t.Errorf("with PostgreSQL full: %d %v", r.status, r.body)
		}
		if r.status == 503 && r.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		time.Sleep(5 * time.Millisecond)
	})
	late := l.node()
	late.launch()
	time.Sleep(1500 * time.Millisecond)
	if late.ready() {
		t.Error("I9: a node that has no connection is ready")
	}
	if r := n.call("GET", "/healthz", "", nil); r.status != 200 {
		t.Errorf("I9: not alive: %d", r.status)
	}
	stop()
	for _, c := range taken {
		c.Close(ctx)
	}
	began := time.Now()
	n.waitReady(10 * time.Second)
	for r := n.call("GET", "/v1/audit-events?limit=1", l.admin, nil); r.status != 200; r = n.call("GET",
		"/v1/audit-events?limit=1", l.admin, nil) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not healed: %d %v", r.status, r.body)
		}
	}
	recovery := time.Since(began)
	if !late.running() { // it may have given up; whoever runs it starts it again
		late.launch()
	}
	late.waitReady(20 * time.Second)

	var clients []net.Conn
	for range 60 {
		c, err := net.DialTimeout("tcp", redis.address(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	third := l.node().start() // Redis takes nobody more
	for i := range 50 {
		if r := third.call("GET", "/v1/auth/me", f.access, nil); r.status != 200 {
			t.Errorf("A46: with Redis full: %d %v", r.status, r.body)
			break
		}
		if i%10 == 0 {
			l.signIn(third)
		}
	}
	for _, c := range clients {
		c.Close()
	}
	s := h.check(l, "", 0)
	l.report("FLT11", "servers full: taken=%d calls=%d err=%.1f%% recovery=%s", len(taken), s.calls, s.errorShare(),
		ms(recovery))
}

// FLT11: a node runs out of descriptors. Who is connected goes on, the rest waits or is turned away, the process lives,
// and all is well when they are free again (I8).
func TestFLT11_Descriptors(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	n := l.node()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	const most = 128
	n.wrap = func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", fmt.Sprintf("ulimit -n %d && exec %s serve", most, path)}
	}
	n.start()
	l.operator(n)
	var served, failures atomic.Int64
	stop := repeat(2, func(int) { // on connections that stay open
		if r := n.call("GET", "/v1/auth/me", l.admin, nil); r.status == 200 {
			served.Add(1)
		} else {
			failures.Add(1)
		}
		time.Sleep(5 * time.Millisecond)
	})
	time.Sleep(100 * time.Millisecond)
	var idle []net.Conn
	for range 3 * most {
		if c, err := net.DialTimeout("tcp", "127.0.0.1:"+n.port, time.Second); err == nil {
			idle = append(idle, c)
		}
	}
	time.Sleep(1500 * time.Millisecond)
	taken := n.descriptors()
	before := served.Load()
	for _, c := range idle {
		c.Close()
	}
	began := time.Now()
	n.waitReady(10 * time.Second)
	recovery := time.Since(began)
	l.signIn(n)
	stop()
	if taken < most-4 {
		t.Errorf("%d descriptors of %d were taken: nothing was tried", taken, most)
	}
	if before < 50 || failures.Load() > 0 {
		t.Errorf("who was connected: %d served, %d failed", before, failures.Load())
	}
	l.report("FLT11", "descriptors=%d/%d idle=%d served_meanwhile=%d failed=%d recovery=%s", taken, most, len(idle),
		before, failures.Load(), ms(recovery))
}

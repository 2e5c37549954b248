//go:build faults

package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// delayOf ends a right at one node while another is asked without a pause, and gives the time from the acknowledgement
// to the start of the last call that was accepted.
func (l *lab) delayOf(r right, at, other *node) time.Duration {
	l.Helper()
	for _, n := range []*node{at, other} { // warm: the answer is cached
		if !r.open(n) {
			l.Fatalf("%s does not work before it ends", r.kind)
		}
	}
	var last atomic.Int64 // start of the last accepted call
	began := time.Now()
	stop := repeat(4, func(int) {
		start := time.Since(began)
		if r.open(other) {
			for {
				old := last.Load()
				if int64(start) <= old || last.CompareAndSwap(old, int64(start)) {
					break
				}
			}
		}
	})
	time.Sleep(20 * time.Millisecond)
	answer := r.end(at)
	acknowledged := time.Since(began)
	if answer.status >= 300 || answer.status == 0 {
		l.Errorf("%s: its end: %d %v %v", r.kind, answer.status, answer.body, answer.err)
	}
	if r.open(at) {
		l.Errorf("G7: %s works on the node that ended it", r.kind)
	}
	for end := time.Now().Add(5 * time.Second); r.open(other); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("I3: %s works on another node five seconds after its end", r.kind)
		}
	}
	time.Sleep(30 * time.Millisecond) // it stays so
	stop()
	return max(0, time.Duration(last.Load())-acknowledged)
}

// FLT03: every kind of right is taken away while it is in use on another node, with Redis and without: how long it goes
// on there (G7).
func TestFLT03_RevocationDelay(t *testing.T) {
	for _, with := range []bool{true, false} {
		name := map[bool]string{true: "with redis", false: "without redis"}[with]
		t.Run(name, func(t *testing.T) {
			l := open(t, "")
			if with {
				l.env = append(l.env, "GATEHOUSE_REDIS=redis://"+startRedis(t).address())
			}
			a, b := l.node().start(), l.node().start()
			l.operator(a)
			if with {
				time.Sleep(300 * time.Millisecond) // both are connected to Redis
			}
			times := make(map[string][]time.Duration)
			var kinds []string
			for range scale(3, 30) {
				for _, r := range l.rights(a, slug()) {
					if times[r.kind] == nil {
						kinds = append(kinds, r.kind)
					}
					times[r.kind] = append(times[r.kind], l.delayOf(r, a, b))
				}
			}
			text, worst := "", time.Duration(0)
			for _, kind := range kinds {
				d := times[kind]
				slices.Sort(d)
				worst = max(worst, d[len(d)-1])
				text += fmt.Sprintf(" [%s n=%d p50=%s p99=%s max=%s]", kind, len(d), ms(quantile(d, 0.5)),
					ms(quantile(d, 0.99)), ms(d[len(d)-1]))
			}
			if worst > time.Second {
				t.Errorf("I3: a revoked right was accepted %v after its end", worst)
			}
			l.report("FLT03", "%s%s", name, text)
		})
	}
}

// FLT03, I3: revocation races refresh: when a session's end is acknowledged, no child of its family lives, whatever was
// on its way.
func TestFLT03_RevokeAgainstRefresh(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	a, b := l.node().start(), l.node().start()
	l.operator(a)
	alive, rounds := 0, scale(6, 100)
	for range rounds {
		f := l.signIn(a)
		session := a.must(200, "GET", "/v1/auth/me", f.access, nil).text("sessionId")
		var mu sync.Mutex
		children := []family{f}
		ctx, cancel := context.WithCancel(context.Background())
		stop := repeat(1, func(int) {
			mu.Lock()
			last := children[len(children)-1]
			mu.Unlock()
			r := b.callFor(ctx, "POST", "/v1/auth/refresh", "", map[string]any{"refreshToken": last.token})
			if r.status == 200 {
				mu.Lock()
				children = append(children, family{token: r.text("refreshToken"), access: r.text("accessToken")})
				mu.Unlock()
			}
		})
		time.Sleep(time.Duration(l.dice.IntN(8)) * time.Millisecond)
		a.must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
		stop()
		cancel()
		time.Sleep(100 * time.Millisecond) // what G7 allows
		for _, child := range children {
			for _, n := range []*node{a, b} {
				if n.call("GET", "/v1/auth/me", child.access, nil).status == 200 ||
					refreshAt(n, child.token).status == 200 {
					alive++
					t.Error("I3: a child of an ended session lives")
				}
			}
		}
	}
	l.report("FLT03", "revoke against refresh rounds=%d children_alive=%d", rounds, alive)
}

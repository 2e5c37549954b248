//go:build faults

package faults

import (
	"fmt"
	"testing"
	"time"
)

// FLT07: Redis is killed, comes back empty, is flushed and made to evict under load. No revoked right works, nothing acknowledged is lost, nobody waits long (A46, I3,
// I6).
func TestFLT07_RedisLoss(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	l := open(t, "")
	l.env = append(l.env, "GATEHOUSE_REDIS=redis://"+redis.address())
	nodes := []*node{l.node().start(), l.node().start()}
	l.operator(nodes[0])
	key, families := l.clients(nodes[0])
	h := newHistory()
	stop := l.mixed(h, nodes, key, families)
	revocations := 0
	disturb := []struct {
		name string
		do   func()
	}{
		{"killed", redis.kill},
		{"started empty", redis.start},
		{"flushed", func() { redis.cli("FLUSHALL") }},
		{"evicting", func() {
			redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
			redis.cli("CONFIG", "SET", "maxmemory", "1mb")
		}},
		{"full", func() { redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction") }},
		{"poisoned", func() {
			redis.cli("CONFIG", "SET", "maxmemory", "0")
			for _, name := range []string{"gatehouse:f:x", "gatehouse:i:*", "gatehouse:i:session||nonsense"} {
				redis.cli("SET", name, "garbage")
			}
		}},
	}
	for range scale(1, 10) {
		for _, d := range disturb {
			rights := []family{l.signIn(nodes[0])}
			for _, n := range nodes {
				n.must(200, "GET", "/v1/auth/me", rights[0].access, nil)
			}
			d.do()
			session := nodes[0].must(200, "GET", "/v1/auth/me", rights[0].access, nil).text("sessionId")
			nodes[0].must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
			h.revoke(session)
			revocations++
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				for _, n := range nodes {
					h.note(99, "me", session, func() reply { return n.call("GET", "/v1/auth/me", rights[0].access, nil) })
				}
			}
		}
	}
	stop()
	s := h.check(l, "refresh", 100*time.Millisecond)
	if s.errors+s.unknown > 0 {
		t.Errorf("%d calls of %d failed: losing Redis is to cost nothing but time", s.errors+s.unknown, s.calls)
	}
	l.report("FLT07", "disturbances=%d calls=%d err=%.2f%% revoked_used=%d/%d p50=%s p99=%s", len(disturb)*scale(1, 10), s.calls, s.errorShare(), s.revokedUsed, revocations, ms(s.p50), ms(s.p99))
}

// FLT08: one node is cut off from Redis, or Redis hangs or is slow for all, or one node does not hear PostgreSQL. A node that does not hear trusts nothing after
// a second, and no node goes on accepting what another ended (G7, I3).
func TestFLT08_Partition(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	l := open(t, "")
	direct := l.database
	front := newProxy(t, hostOf(t, direct))
	first, second := newProxy(t, redis.address()), newProxy(t, redis.address())
	a := l.node("GATEHOUSE_REDIS=redis://" + first.address()).start()
	b := l.node("GATEHOUSE_REDIS=redis://"+second.address(), "GATEHOUSE_DATABASE="+through(t, direct, front)).start()
	l.operator(a)
	// The publisher dies right after a commit, before it told anybody: the others have it from the database.
	for range scale(1, 10) {
		f := l.signIn(a)
		session := a.must(200, "GET", "/v1/auth/me", f.access, nil).text("sessionId")
		b.must(200, "GET", "/v1/auth/me", f.access, nil)
		dying := l.node("GATEHOUSE_REDIS=redis://" + first.address()).start("GATEHOUSE_FAILPOINTS=tx.announced=kill@1")
		if r := dying.call("DELETE", "/v1/auth/sessions/"+session, l.admin, nil); r.outcome() != unknown {
			t.Errorf("the publisher did not die: %d", r.status)
		}
		<-dying.done
		time.Sleep(100 * time.Millisecond)
		for _, n := range []*node{a, b} {
			if got := n.call("GET", "/v1/auth/me", f.access, nil).status; got != 401 {
				t.Errorf("I3: the publisher died after its commit, and the session works on another node: %d", got)
			}
		}
	}
	heal := func() { first.heal(); second.heal(); front.heal() }
	var text string
	for _, c := range []struct {
		name  string
		do    func()
		blind bool // b cannot hear at all
	}{
		{"the publisher has no Redis", first.cut, false},
		{"one node has no Redis", second.cut, false},
		{"Redis hangs", func() { first.hang(); second.hang() }, false},
		{"Redis is slow", func() { first.slow(2 * time.Second); second.slow(2 * time.Second) }, false},
		{"one node has no PostgreSQL", func() { front.cut() }, true},
		{"one node's PostgreSQL hangs", func() { front.hang(); second.hang() }, true},
	} {
		var worst, slowest time.Duration
		for range scale(1, 10) {
			f := l.signIn(a)
			session := a.must(200, "GET", "/v1/auth/me", f.access, nil).text("sessionId")
			b.must(200, "GET", "/v1/auth/me", f.access, nil)
			c.do()
			a.must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
			acknowledged := time.Now()
			for end := acknowledged.Add(1800 * time.Millisecond); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
				start := time.Now()
				r := b.call("GET", "/v1/auth/me", f.access, nil)
				slowest = max(slowest, r.took)
				if r.status == 200 {
					worst = max(worst, start.Sub(acknowledged))
				}
			}
			heal()
			b.waitReady(20 * time.Second)
			if r := b.call("GET", "/v1/auth/me", f.access, nil); r.status != 401 {
				t.Errorf("%s, healed: %d", c.name, r.status)
			}
		}
		most := 150 * time.Millisecond
		if c.blind {
			most = 1100 * time.Millisecond // what a node trusts after it last heard
		}
		if worst > most {
			t.Errorf("I3: %s: accepted for %v", c.name, worst)
		}
		text += fmt.Sprintf(" [%s: stale=%s slowest=%s]", c.name, ms(worst), ms(slowest))
	}
	l.report("FLT08", "%s", text)
}

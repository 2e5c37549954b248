//go:build faults

package faults

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// FLT07: Redis is killed, comes back empty, is flushed and made to evict under load. No revoked right works, nothing
// acknowledged is lost, nobody waits long (A46, I3, I6).
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
	revocations, exchanged := 0, 0
	var gone []string // what was revoked
	asked := l.commits()
	time.Sleep(time.Second)
	usual, most := l.commits()-asked, 0.0 // transactions a second
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
			waitFor(t, "facts in Redis", 10*time.Second, func() bool {
				f := l.signIn(nodes[0])
				for _, n := range nodes {
					n.must(200, "GET", "/v1/auth/me", f.access, nil)
				}
				return redis.facts() > 4
			})
			for _, name := range []string{"gatehouse:f:x", "gatehouse:i:*", "gatehouse:i:session||nonsense"} {
				redis.cli("SET", name, "garbage")
			}
			exchanged += redis.exchange()
		}},
		{"cut short", func() {
			redis.cli("EVAL", everyFact+"for i, k in ipairs(names) do redis.call('SETRANGE', k, i % 40, 'X') end", "0")
		}},
	}
	for range scale(1, 10) {
		for _, d := range disturb {
			rights := []family{l.signIn(nodes[0])}
			for _, n := range nodes {
				n.must(200, "GET", "/v1/auth/me", rights[0].access, nil)
			}
			before, at := l.commits(), time.Now()
			d.do()
			session := nodes[0].must(200, "GET", "/v1/auth/me", rights[0].access, nil).text("sessionId")
			nodes[0].must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
			h.revoke(session)
			gone = append(gone, rights[0].access)
			revocations++
			for end := time.Now().Add(200 * time.Millisecond); time.Now().
				Before(end); time.Sleep(5 * time.Millisecond) {
				for _, n := range nodes {
					h.note(99, "me", session, func() reply {
						return n.call("GET", "/v1/auth/me", rights[0].access, nil)
					})
				}
			}
			most = max(most, float64(l.commits()-before)/time.Since(at).Seconds()/float64(max(1, usual)))
		}
	}
	stop()
	for _, token := range gone { // after all that has happened to Redis since
		for _, n := range nodes {
			if n.call("GET", "/v1/auth/me", token, nil).status == 200 {
				t.Error("I3: what was revoked has come back")
			}
		}
	}
	if exchanged < 2 {
		t.Error("Redis held no facts to exchange")
	}
	s := h.check(l, "refresh", 100*time.Millisecond)
	if s.errors+s.unknown > 0 {
		t.Errorf("%d calls of %d failed: losing Redis is to cost nothing but time", s.errors+s.unknown, s.calls)
	}
	l.report("FLT07", "disturbances=%d calls=%d err=%.2f%% revoked_used=%d/%d p50=%s p99=%s postgres_peak=%.1fx",
		len(disturb)*scale(1, 10), s.calls, s.errorShare(), s.revokedUsed, revocations, ms(s.p50), ms(s.p99), most)
}

// commits is how many transactions the database has ended, as it tells, a moment late.
func (l *lab) commits() (n int) {
	l.Helper()
	conn, err := pgx.Connect(context.Background(), l.database)
	if err != nil {
		l.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(),
		`SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).
		Scan(&n); err != nil {
		l.Fatal(err)
	}
	return n
}

// FLT08: one node of three is cut off from Redis, or Redis hangs, loses one way or is slow for all, or one node does
// not hear PostgreSQL. A node that does not hear trusts nothing after a second, and no node goes on accepting what
// another ended (G7, I3). Redis alone tells a node whose PostgreSQL hangs. Nobody waits for Redis longer than its
// bound, and after a few failures not at all.
func TestFLT08_Partition(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	l := open(t, "")
	direct := l.database
	front := newProxy(t, hostOf(t, direct))
	first, second := newProxy(t, redis.address()), newProxy(t, redis.address())
	a := l.node("GATEHOUSE_REDIS=redis://" + first.address()).start()
	b := l.node("GATEHOUSE_REDIS=redis://"+second.address(), "GATEHOUSE_DATABASE="+through(t, direct, front)).start()
	third := l.node("GATEHOUSE_REDIS=redis://" + redis.address()).start() // whatever is broken, this one is whole
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
		for _, n := range []*node{a, b, third} {
			if got := n.call("GET", "/v1/auth/me", f.access, nil).status; got != 401 {
				t.Errorf("I3: the publisher died after its commit, and the session works on another node: %d", got)
			}
		}
	}
	admin, _ := l.tenant(a, slug())
	keys := func(n int) (out []string) { // whose first use asks Redis, then the database
		for range n {
			out = append(out, a.must(201, "POST", "/v1/api-keys", admin,
				map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}}).text("key"))
		}
		return out
	}
	heal := func() { first.heal(); second.heal(); front.heal() }
	const (
		hears  = iota // b has what others end from PostgreSQL
		pushed        // from Redis only
		deaf          // not at all
	)
	// deaf: what a node trusts after it last heard
	bound := map[int]time.Duration{hears: 150 * time.Millisecond, pushed: 150 * time.Millisecond,
		deaf: 1100 * time.Millisecond}
	var text string
	for _, c := range []struct {
		name string
		do   func()
		how  int
	}{
		{"the publisher has no Redis", first.cut, hears},
		{"one node has no Redis", second.cut, hears},
		{"Redis hangs", func() { first.hang(); second.hang() }, hears},
		{"Redis hears and its answers are lost", func() { first.hang(back); second.hang(back) }, hears},
		{"Redis answers and hears nothing", func() { first.hang(there); second.hang(there) }, hears},
		{"Redis is slow", func() { first.slow(2 * time.Second); second.slow(2 * time.Second) }, hears},
		{"one node has no PostgreSQL", front.cut, deaf},
		{"one node's PostgreSQL hangs", func() { front.hang(); second.hang() }, deaf},
		{"one node's PostgreSQL hears and its answers are lost", func() { front.hang(back); second.hang() }, deaf},
		{"one node's PostgreSQL hangs and Redis does not", func() { front.hang() }, pushed},
	} {
		var worst, slowest time.Duration
		for range scale(1, 10) {
			f := l.signIn(a)
			session := a.must(200, "GET", "/v1/auth/me", f.access, nil).text("sessionId")
			for _, n := range []*node{b, third} {
				n.must(200, "GET", "/v1/auth/me", f.access, nil)
			}
			unused := keys(20)
			c.do()
			a.must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
			acknowledged := time.Now()
			for end := acknowledged.Add(time.Duration(scale(1200, 1800)) * time.Millisecond); time.Now().
				Before(end); time.Sleep(2 * time.Millisecond) {
				start := time.Now()
				if b.call("GET", "/v1/auth/me", f.access, nil).status == 200 {
					worst = max(worst, start.Sub(acknowledged))
				}
				if c.how != hears {
					continue
				}
				if third.call("GET", "/v1/auth/me", f.access, nil).status == 200 &&
					time.Since(acknowledged) > 150*time.Millisecond {
					t.Errorf("I3: %s: a whole node accepts what was ended", c.name)
				}
				if len(unused) > 0 {
					r := b.call("GET", "/v1/tickets", unused[0], nil)
					if unused = unused[1:]; r.status != 200 {
						t.Errorf("A46: %s: a key's first use: %d %v", c.name, r.status, r.body)
					}
					slowest = max(slowest, r.took)
				}
			}
			heal()
			b.waitReady(20 * time.Second)
			if r := b.call("GET", "/v1/auth/me", f.access, nil); r.status != 401 {
				t.Errorf("%s, healed: %d", c.name, r.status)
			}
		}
		if worst > bound[c.how] {
			t.Errorf("I3: %s: accepted for %v", c.name, worst)
		}
		if slowest > 900*time.Millisecond {
			// the bound is 50 ms; a slow Redis takes two seconds a call, and a hanging one for ever
			t.Errorf("%s: a call took %v", c.name, slowest)
		}
		text += fmt.Sprintf(" [%s: stale=%s", c.name, ms(worst))
		if c.how == hears {
			text += " slowest=" + ms(slowest)
		}
		text += "]"
	}
	l.report("FLT08", "%s", text)
}

//go:build faults

package faults

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// through gives a database address by way of a proxy.
func through(t *testing.T, address string, p *proxy) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.address()
	return u.String()
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// clients gives what those who keep nodes busy come with: an API key and four sessions.
func (l *lab) clients(at *node) (key string, families []family) {
	l.Helper()
	key = l.rights(at, slug())[1].value
	at.must(201, "POST", "/v1/tickets", l.admin, map[string]any{"type": "task", "title": "of another organization"})
	for range 4 {
		families = append(families, l.signIn(at))
	}
	return key, families
}

// mixed keeps a node busy: most calls are authenticated requests with a credential, some refresh, some ask the database
// in any case.
func (l *lab) mixed(h *history, at []*node, credential string, families []family) (stop func()) {
	return repeat(len(families), func(w int) {
		n, f := at[w%len(at)], &families[w]
		for i := range 8 {
			switch {
			case i == 0:
				r := h.note(w, "refresh", f.token, func() reply { return refreshAt(n, f.token) })
				switch r.outcome() {
				case ok:
					f.token, f.access = r.text("refreshToken"), r.text("accessToken")
				case unknown, failed:
					f.unsure = true // it may have been carried out: the next use may end the family
				case denied:
					f.relogin++
					if !f.unsure {
						l.Errorf("I4: client %d held a live token and was refused: %d %v", w, r.status, r.body)
					}
					if r := n.call("POST", "/v1/auth/login", "",
						map[string]any{"email": "operator@platform.example",
							"password": operatorPassword}); r.status == 200 {
						*f = family{token: r.text("refreshToken"), access: r.text("accessToken"), relogin: f.relogin}
					}
				}
			case i%4 == 1:
				r := h.note(w, "list", "", func() reply { return n.call("GET", "/v1/tickets", credential, nil) })
				if list, _ := r.body["data"].([]any); len(list) > 0 {
					l.Errorf("I5: an organization without tickets sees %v", list)
				}
			default:
				h.note(w, "me", "", func() reply { return n.call("GET", "/v1/auth/me", credential, nil) })
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

// FLT05: PostgreSQL is restarted in three ways under load. Nodes answer 503 meanwhile and heal by themselves; nothing
// acknowledged is lost (I4), and liveness stays green (I9).
func TestFLT05_PostgresRestart(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t)
	l := open(t, pg.url())
	nodes := []*node{l.node().start(), l.node().start()}
	l.operator(nodes[0])
	key, families := l.clients(nodes[0])
	h := newHistory()
	stop := l.mixed(h, nodes, key, families)
	var dead, red atomic.Int64
	watch := repeat(1, func(int) { // I9: alive all the time, ready only when it can serve
		if r, err := probe.Get(nodes[0].url + "/healthz"); err != nil || r.StatusCode != 200 {
			dead.Add(1)
		}
		if !nodes[0].ready() {
			red.Add(1)
		}
		time.Sleep(5 * time.Millisecond)
	})
	time.Sleep(300 * time.Millisecond)
	var heal time.Duration
	modes := []string{"fast", "immediate", "kill"}
	for range scale(1, 5) {
		for _, mode := range modes {
			pg.restart(mode)
			for _, n := range nodes {
				heal = max(heal, n.waitReady(10*time.Second))
			}
			time.Sleep(400 * time.Millisecond)
		}
	}
	stop()
	watch()
	if dead.Load() > 0 || red.Load() == 0 {
		t.Errorf("I9: not alive %d times, not ready %d times while PostgreSQL was down", dead.Load(), red.Load())
	}
	s := h.check(l, "refresh", 0)
	for _, e := range h.entries {
		if e.Outcome == failed && e.Status != 503 {
			t.Errorf("I9: %s answered %d", e.Op, e.Status)
			break
		}
	}
	if r := nodes[1].call("GET", "/v1/tickets", key, nil); r.status != 200 {
		t.Errorf("after it all: %d %v", r.status, r.body)
	}
	l.report("FLT05", "restarts=%d calls=%d err=%.1f%% unavail_max=%s ready_after=%s double_accept=%d",
		len(modes)*scale(1, 5), s.calls, s.errorShare(), ms(s.worst), ms(heal), s.doubleAccepts)
}

// FLT06: the primary is lost and the standby promoted. With asynchronous replication acknowledged commits are lost: no
// token from before works then, so that no rotation or revocation that is lost comes back to life. With synchronous
// replication nothing is lost and, where the operator says so, all goes on. The former primary, come back, is not
// believed. F11: behind a pooler, which connects to the new primary while the connections of the nodes stay what they
// were, not even before a node has another direct connection.
func TestFLT06_F11_Failover(t *testing.T) {
	t.Parallel()
	for name, synchronous := range map[string]bool{"asynchronous": false, "synchronous": true, "pooled": false} {
		t.Run(name, func(t *testing.T) {
			primary := startPostgres(t)
			link := newProxy(t, primary.address()) // of replication
			standby := primary.standby(link.address())
			if synchronous {
				primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
				primary.sql("SELECT pg_reload_conf()")
			}
			front := newProxy(t, primary.address())
			side := newProxy(t, primary.address()) // of the direct connections, where a pooler has the others
			l := open(t, through(t, primary.url(), front))
			if name == "pooled" {
				l.database = sqldbtest.StartPooler(t, l.database).Through(l.database)
				l.env = append(l.env, "GATEHOUSE_DATABASE_LISTEN="+through(t, primary.url(), side))
			}
			if synchronous {
				l.env = append(l.env, "GATEHOUSE_DATABASE_FAILOVER=keep")
			}
			nodes := []*node{l.node().start(), l.node().start()}
			l.operator(nodes[0])
			kept := l.signIn(nodes[0])
			rotated := l.signIn(nodes[0])
			ended := l.signIn(nodes[0])
			child := l.signIn(nodes[0])
			time.Sleep(300 * time.Millisecond) // all of it is on the standby

			if !synchronous {
				link.hang() // what follows is acknowledged and never replicated
			}
			nodes[0].must(200, "POST", "/v1/auth/refresh", "", map[string]any{"refreshToken": rotated.token})
			session := nodes[0].must(200, "GET", "/v1/auth/me", ended.access, nil).text("sessionId")
			nodes[0].must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
			r := nodes[0].must(200, "POST", "/v1/auth/refresh", "", map[string]any{"refreshToken": child.token})
			child = family{token: r.text("refreshToken"), access: r.text("accessToken")} // acknowledged just before
			time.Sleep(1100 * time.Millisecond)                                          // tokens have whole seconds

			start := time.Now()
			front.cut()
			side.cut()
			syscall.Kill(primary.pid(), syscall.SIGSTOP) // frozen, not dead: it comes back
			link.cut()
			front.move(standby.address()) // a standby that is none yet is not believed
			time.Sleep(300 * time.Millisecond)
			if nodes[0].call("GET", "/v1/audit-events", l.admin, nil).status == 200 {
				t.Error("a standby is believed")
			}
			front.cut()
			standby.run("pg_ctl", "-D", standby.data, "-w", "promote")
			if synchronous {
				standby.sql("ALTER SYSTEM RESET synchronous_standby_names")
				standby.sql("SELECT pg_reload_conf()")
			}
			front.move(standby.address())
			for end := time.Now().Add(2 * time.Second); name == "pooled" && time.Now().Before(end); {
				for _, n := range nodes {
					if n.call("GET", "/v1/auth/me", ended.access, nil).status == 200 {
						t.Fatal("I3: an access token of an ended session works by way of the pooler")
					}
				}
			}
			side.move(standby.address())
			for _, n := range nodes {
				n.waitReady(20 * time.Second)
			}
			rto := time.Since(start)

			revived := 0
			for _, n := range nodes {
				for what, token := range map[string]string{"a rotated token": rotated.token,
					"an ended session": ended.token} {
					if refreshAt(n, token).status == 200 {
						revived++
						t.Errorf("I2, I3: %s works after the failover", what)
					}
				}
				if n.call("GET", "/v1/auth/me", ended.access, nil).status == 200 {
					revived++
					t.Error("I3: an access token of an ended session works after the failover")
				}
			}
			lostCommits := 0
			if got := refreshAt(nodes[0], kept.token).status; (got == 200) != synchronous {
				t.Errorf("an untouched session after the failover: %d", got)
			}
			if refreshAt(nodes[1], child.token).status != 200 {
				if lostCommits++; synchronous {
					t.Error("I4: an acknowledged rotation is lost with synchronous replication")
				}
			}

			syscall.Kill(primary.pid(), syscall.SIGCONT) // the former primary comes back and is in the way
			front.move(primary.address())
			side.move(primary.address())
			time.Sleep(1500 * time.Millisecond)
			for _, n := range nodes {
				if n.call("GET", "/v1/audit-events", l.admin, nil).status == 200 {
					t.Error("a former primary that came back is believed")
				}
			}
			front.move(standby.address())
			side.move(standby.address())
			for _, n := range nodes {
				n.waitReady(10 * time.Second)
			}
			l.signIn(nodes[0])
			l.ended = standby.url()
			l.report("FLT06", "%s rto=%s acked_lost=%d tokens_revived=%d", name, ms(rto), lostCommits, revived)
		})
	}
}

// FLT11: a pool of two connections, many clients and a transaction that holds rows. Who waits too long is told to come
// back; revoking gets through; no connection is lost (I6, I8, I9).
func TestFLT11_Exhaustion(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	n := l.node("GATEHOUSE_DATABASE_CONNECTIONS=2").start()
	l.operator(n)
	families := make([]family, 8)
	sessions := make([]string, len(families))
	for i := range families {
		families[i] = l.signIn(n)
		sessions[i] = n.must(200, "GET", "/v1/auth/me", families[i].access, nil).text("sessionId")
	}
	leaving := n.must(201, "POST", "/v1/users", l.admin,
		map[string]any{"email": "leaving@platform.example", "role": "end_user"}).text("id")
	conn, err := pgx.Connect(context.Background(), l.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("BEGIN")
	exec("SET LOCAL ROLE gatehouse_platform")
	exec("SELECT * FROM refresh_families FOR UPDATE") // every rotation waits now
	h := newHistory()
	var odd atomic.Int64
	stop := repeat(scale(50, 200), func(w int) {
		var r reply
		if w%10 == 0 {
			r = h.note(w, "refresh", "", func() reply { return refreshAt(n, families[(w/10)%len(families)].token) })
		} else {
			r = h.note(w, "list", "", func() reply { return n.call("GET", "/v1/audit-events?limit=1", l.admin, nil) })
		}
		if r.status != 200 && r.status != 503 && r.status != 401 {
			odd.Add(1)
		}
		if r.status == 503 && r.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	})
	time.Sleep(1500 * time.Millisecond)
	revoked, attempts := 0, 0
	const tries = 5
	for i := range tries {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			// a client that is told to come back does so
			attempts++
			if r := n.call("DELETE", "/v1/auth/sessions/"+sessions[i], l.admin, nil); r.status == 204 {
				revoked++
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := n.call("GET", "/v1/auth/me", families[i].access, nil).status; got == 200 && revoked == i+1 {
			t.Error("I3: what was revoked under load works")
		}
	}
	switched := 0
	for end := time.Now().Add(10 * time.Second); switched == 0 && time.Now().Before(end); {
		// the same for a user who is to stop
		if r := n.call("PATCH", "/v1/users/"+leaving, l.admin, map[string]any{"state": "disabled"}); r.status == 200 {
			switched++
		}
	}
	if r := n.call("GET", "/healthz", "", nil); r.status != 200 {
		t.Errorf("I9: not alive: %d", r.status)
	}
	exec("ROLLBACK")
	stop()
	n.waitReady(10 * time.Second)
	time.Sleep(500 * time.Millisecond)
	var connections int
	err = conn.QueryRow(context.Background(),
		`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).
		Scan(&connections)
	if err != nil || connections > 6 {
		t.Errorf("I8: %d connections of a pool of 2, a reserve of 2, a listener and its heart, %v", connections, err)
	}
	s := h.check(l, "", 0)
	if odd.Load() > 0 || revoked != tries || switched != 1 {
		t.Errorf("%d odd answers, %d of %d revocations, %d of 1 user disabled", odd.Load(), revoked, tries, switched)
	}
	l.report("FLT11", "calls=%d err=%.1f%% revoke_success=%d/%d attempts=%d connections_after=%d p99=%s", s.calls,
		s.errorShare(), revoked, tries, attempts, connections, ms(s.p99))
}

// FLT17: several processes migrate an empty database at once while one of them is killed. In the long version nodes of
// the former release, where the history to build it is there, and of this one then run side by side on the new schema.
func TestFLT17_Migration(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t)
	l := open(t, pg.url())
	at := l.node()
	var wg sync.WaitGroup
	var failures atomic.Int64
	for i := range 4 {
		wg.Go(func() {
			cmd := at.command("migrate")
			if err := cmd.Start(); err != nil {
				failures.Add(1)
				return
			}
			if i == 0 {
				time.Sleep(time.Duration(20+l.dice.IntN(150)) * time.Millisecond)
				cmd.Process.Kill()
			}
			if err := cmd.Wait(); err != nil && i != 0 {
				failures.Add(1)
			}
		})
	}
	wg.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d migrators failed", failures.Load())
	}
	longest := l.readerInTheWay(pg)
	out, err := at.command("migrate", "--plan").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "0 of ") {
		t.Errorf("after it all: %v %s", err, out)
	}
	beside := "skipped"
	if former := formerRelease(t); former != "" {
		errors, lost := l.sideBySide(former)
		beside = fmt.Sprintf("errors=%d tokens_lost=%d", errors, lost)
	}
	l.report("FLT17", "migrators=4 killed=1 failed=%d lock_wait_max=%s side_by_side: %s", failures.Load(), ms(longest),
		beside)
}

// readerInTheWay migrates another database while somebody holds a table that the steps need, for longer than they may
// wait. They let others through and come back. It gives the longest that anything waited for a lock.
func (l *lab) readerInTheWay(pg *postgresServer) (longest time.Duration) {
	l.Helper()
	pg.sql("CREATE DATABASE other")
	other := open(l.T, strings.Replace(pg.url(), "/gatehouse?", "/other?", 1))
	at := other.node()
	if out, err := at.command("migrate", "--plan").CombinedOutput(); err != nil { // makes the table of steps
		l.Fatalf("%v %s", err, out)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, other.database)
	if err != nil {
		l.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"BEGIN", "LOCK TABLE goose_db_version IN SHARE MODE"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			l.Fatal(err)
		}
	}
	watcher, err := pgx.Connect(ctx, other.database) // within a transaction everyone's activity stands still
	if err != nil {
		l.Fatal(err)
	}
	defer watcher.Close(ctx)
	cmd := at.command("migrate")
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	waits := 0
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var waited time.Duration
		err := watcher.QueryRow(ctx,
			`SELECT COALESCE(max(clock_timestamp() - query_start), '0') FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'`).Scan(&waited)
		if err != nil {
			l.Fatal(err)
		}
		if waited > 0 {
			waits++
		}
		longest = max(longest, waited)
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		l.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		l.Errorf("a migration that met a reader: %v", err)
	}
	if out, err := at.command("migrate", "--plan").CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "0 of ") {
		l.Errorf("after the reader: %v %s", err, out)
	}
	if waits == 0 || longest > 4*time.Second {
		l.Errorf("waited %d times, at most %v: it is to let others through after two seconds", waits, longest)
	}
	return longest
}

// formerRelease builds the last commit before the present schema; empty where there is no history.
func formerRelease(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		return ""
	}
	out, err := exec.Command("git", "log", "--format=%H", "-n", "1", "--", "../../internal/platform/sqldb/migrations").
		Output()
	commit := strings.TrimSpace(string(out))
	if err != nil || commit == "" {
		return ""
	}
	dir := t.TempDir()
	if err := exec.Command("git", "worktree", "add", "--detach", dir+"/src", commit+"~1").Run(); err != nil {
		return ""
	}
	t.Cleanup(func() { exec.Command("git", "worktree", "remove", "--force", dir+"/src").Run() })
	cmd := exec.Command("go", "build", "-o", dir+"/gatehouse", "./cmd/gatehouse")
	cmd.Dir = dir + "/src"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("the former release does not build: %s", out)
		return ""
	}
	return dir + "/gatehouse"
}

// sideBySide runs a node of the former release and one of this on one database: what one issues the other takes, and
// what one ends the other refuses.
func (l *lab) sideBySide(former string) (errors, tokensLost int) {
	l.Helper()
	now, then := l.node().start(), l.node()
	l.operator(now)
	then.Cmd = exec.Command(former, "serve")
	then.Cmd.Env = append(append([]string{"GATEHOUSE_DATABASE=" + l.database}, l.env...),
		"GATEHOUSE_LISTEN=127.0.0.1:"+then.port)
	then.done = make(chan struct{})
	if err := then.Cmd.Start(); err != nil {
		l.Fatal(err)
	}
	go func() { then.Cmd.Wait(); close(then.done) }()
	l.Cleanup(then.kill)
	then.stderr = now.stderr
	then.waitReady(30 * time.Second)
	f := l.signIn(then)
	for i := range 20 {
		at := []*node{now, then}[i%2]
		r := refreshAt(at, f.token)
		if r.status != 200 {
			errors++
			l.Errorf("a refresh at %d: %d %v", i%2, r.status, r.body)
			break
		}
		f = family{token: r.text("refreshToken"), access: r.text("accessToken")}
		if now.call("GET", "/v1/auth/me", f.access, nil).status != 200 ||
			then.call("GET", "/v1/auth/me", f.access, nil).status != 200 {
			tokensLost++
			l.Error("a token of one release is not good at the other")
		}
	}
	session := now.must(200, "GET", "/v1/auth/me", f.access, nil).text("sessionId")
	now.must(204, "DELETE", "/v1/auth/sessions/"+session, l.admin, nil)
	time.Sleep(100 * time.Millisecond)
	if then.call("GET", "/v1/auth/me", f.access, nil).status == 200 {
		errors++
		l.Error("the former release does not hear what this one ends")
	}
	return errors, tokensLost
}

//go:build faults

package faults

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// FLT14: nodes whose clocks are off. Beyond five seconds a node is not ready and says why; what it signs with a clock
// in the future is refused by the others, and what a slightly wrong one signs is good everywhere.
func TestFLT14_ClockSkew(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	a := l.node().start()
	l.operator(a)
	refused, wrong := 0, 0
	for _, c := range []struct {
		offset string
		ready  bool
		good   bool // its tokens elsewhere
	}{{"3s", true, true}, {"-3s", true, true}, {"5m", false, false}, {"-5m", false, true}, {"24h", false, false}} {
		n := l.node()
		n.launch("GATEHOUSE_FAULT_CLOCK=" + c.offset)
		waitFor(t, "the node", 20*time.Second, func() bool { return n.call("GET", "/healthz", "", nil).status == 200 })
		r := n.call("GET", "/readyz", "", nil)
		for end := time.Now().Add(5 * time.Second); c.ready && r.status != 200 && time.Now().
			Before(end); time.Sleep(10 * time.Millisecond) {
			r = n.call("GET", "/readyz", "", nil)
		}
		checks, _ := r.body["checks"].(map[string]any)
		if (r.status == 200) != c.ready || (!c.ready && checks["clock"] != "failing") {
			wrong++
			t.Errorf("a clock off by %s: ready %d, %v", c.offset, r.status, r.body)
		}
		if !c.ready {
			refused++
		}
		in := n.call("POST", "/v1/auth/login", "",
			map[string]any{"email": "operator@platform.example", "password": operatorPassword})
		if in.status != 200 {
			t.Fatalf("sign-in with a clock off by %s: %d %v", c.offset, in.status, in.body)
		}
		if got := a.call("GET", "/v1/auth/me", in.text("accessToken"), nil).status; (got == 200) != c.good {
			wrong++
			t.Errorf("a token of a clock off by %s: %d", c.offset, got)
		}
		out, _ := n.doctor("GATEHOUSE_FAULT_CLOCK=" + c.offset)
		if (out["clock"] == "FAIL") == c.ready {
			wrong++
			t.Errorf("doctor with a clock off by %s: %v", c.offset, out)
		}
		n.kill()
	}
	if out, code := a.doctor("GATEHOUSE_FAILPOINTS=listen=error@1+"); out["invalidation feed"] != "FAIL" || code != 1 {
		t.Errorf("doctor where LISTEN does not work: %v, exit %d", out, code)
	}
	l.report("FLT14", "skews=5 not_ready=%d wrong=%d", refused, wrong)
}

// doctor runs the command and gives the verdicts by check.
func (n *node) doctor(env ...string) (verdicts map[string]string, code int) {
	n.Helper()
	cmd := n.command("doctor", "--json")
	cmd.Env = append(cmd.Env, env...)
	out, _ := cmd.Output()
	var found []struct{ Check, Verdict string }
	if err := json.Unmarshal(out, &found); err != nil {
		n.Fatalf("doctor: %v in %s", err, out)
	}
	verdicts = make(map[string]string)
	for _, f := range found {
		verdicts[f.Check] = f.Verdict
	}
	return verdicts, cmd.ProcessState.ExitCode()
}

// FLT14: the clock of a node steps back and forth by ten seconds under load. It is not ready while it is off, and is
// again when it is not; what was used once is not accepted again, what has ended is not accepted beyond the step, and
// the other node, whose clock is right, notices nothing.
func TestFLT14_ClockJump(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	clock := filepath.Join(t.TempDir(), "clock")
	set := func(offset string) {
		t.Helper()
		if err := os.WriteFile(clock+".next", []byte(offset), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(clock+".next", clock); err != nil {
			t.Fatal(err)
		}
	}
	set("0s")
	steady := l.node().start()
	n := l.node("GATEHOUSE_FAULT_CLOCK=@" + clock).start()
	l.operator(steady)
	key, families := l.clients(steady)
	h := newHistory()
	stop := l.mixed(h, []*node{steady}, key, families)
	admin, _ := l.tenant(steady, slug())
	doubles := 0
	var late time.Duration
	for range scale(1, 10) {
		short := steady.must(201, "POST", "/v1/api-keys", admin,
			map[string]any{"name": "short", "permissions": []string{"tickets:read:all"}, "expiresAt": time.Now().
				Add(2 * time.Second)}).text("key")
		ends := time.Now().Add(2 * time.Second)
		used := l.signIn(n)
		next := refreshAt(n, used.token)
		if next.status != 200 {
			t.Fatalf("a refresh: %d", next.status)
		}
		invited := n.must(201, "POST", "/v1/users", admin,
			map[string]any{"email": slug() + "@x.example", "role": "end_user"})
		_, link, _ := strings.Cut(invited.text("setPasswordUrl"), "#token=")
		n.must(200, "POST", "/v1/auth/password/set", "", map[string]any{"token": link, "password": personPassword})
		for _, step := range []string{"-10s", "10s", "0s"} {
			set(step)
			waitFor(t, "readiness to tell the clock "+step, 20*time.Second, func() bool {
				return n.ready() == (step == "0s")
			})
			for time.Now().Before(ends) {
				time.Sleep(10 * time.Millisecond)
			}
			if n.call("GET", "/v1/tickets", short, nil).status == 200 {
				late = max(late, time.Since(ends))
			}
			if refreshAt(n, used.token).status == 200 {
				doubles++
				t.Errorf("I1: a used refresh token is accepted by a clock at %s", step)
			}
			if n.call("POST", "/v1/auth/password/set", "",
				map[string]any{"token": link, "password": personPassword}).status == 200 {
				doubles++
				t.Errorf("I1: a used link is accepted by a clock at %s", step)
			}
		}
		if r := n.call("GET", "/v1/tickets", short, nil); r.status != 401 {
			t.Errorf("a key that has ended: %d, and the clock is right again", r.status)
		}
	}
	stop()
	s := h.check(l, "refresh", 0)
	if s.errors+s.unknown > 0 {
		t.Errorf("%d of %d calls of a node whose clock is right failed", s.errors+s.unknown, s.calls)
	}
	if late > 11*time.Second { // the step, and a moment
		t.Errorf("a key was accepted %v after its end", late)
	}
	l.report("FLT14", "jumps=%d double_accept=%d late_accept=%s calls=%d err=%.2f%%", 3*scale(1, 10), doubles, ms(late),
		s.calls, s.errorShare())
}

// FLT15: signing keys are rotated without a pause under load on two nodes, one of which is stopped meanwhile for a
// second: no good token is refused, and no token is signed by a key that the other node does not publish. Then the
// active key is revoked: every token of it stops on both nodes, and new ones are signed by another (G2).
func TestFLT15_KeyRotation(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	nodes := []*node{l.node().start(), l.node().start()}
	l.operator(nodes[0])
	run := func(args ...string) string {
		t.Helper()
		out, err := nodes[0].command(args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
		return string(out)
	}
	waitFor(t, "the next key", 20*time.Second, func() bool { return strings.Count(run("keys", "list"), "next") == 2 })
	var calls, falseDenials, errors, unpublished atomic.Int64
	families := make([]family, 4)
	for i := range families {
		families[i] = l.signIn(nodes[0])
	}
	stop := repeat(len(families), func(w int) {
		f := &families[w]
		r := refreshAt(nodes[int(calls.Add(1))%2], f.token)
		if r.status != 200 {
			if r.status == 401 {
				falseDenials.Add(1)
			} else {
				errors.Add(1)
			}
			return
		}
		f.token, f.access = r.text("refreshToken"), r.text("accessToken")
		if kid := keyID(f.access); !published(nodes[int(calls.Load())%2])[kid] {
			unpublished.Add(1)
		}
		for _, n := range nodes {
			calls.Add(1)
			if got := n.call("GET", "/v1/auth/me", f.access, nil).status; got == 401 {
				falseDenials.Add(1)
			} else if got != 200 {
				errors.Add(1)
			}
		}
		time.Sleep(5 * time.Millisecond)
	})
	rotations := scale(4, 30)
	for i := range rotations {
		if i%4 == 1 {
			nodes[1].Process.Signal(syscall.SIGSTOP)
		}
		run("keys", "rotate", "--force")
		if i%4 == 1 {
			time.Sleep(time.Second)
			nodes[1].Process.Signal(syscall.SIGCONT)
		}
		time.Sleep(200 * time.Millisecond)
	}
	stop()
	if unpublished.Load() > 0 {
		t.Errorf("%d tokens were signed by a key that a node does not publish", unpublished.Load())
	}
	if falseDenials.Load()+errors.Load() > 0 {
		t.Errorf("%d good tokens refused, %d errors", falseDenials.Load(), errors.Load())
	}
	var leaked string
	for s := bufio.NewScanner(strings.NewReader(run("keys", "list"))); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 2 && f[1] == "session" && f[2] == "active" {
			leaked = f[0]
		}
	}
	f := l.signIn(nodes[1])
	var last atomic.Int64
	began := time.Now()
	poll := repeat(2, func(int) {
		start := time.Since(began)
		if nodes[1].call("GET", "/v1/auth/me", f.access, nil).status == 200 {
			last.Store(max(last.Load(), int64(start)))
		}
	})
	run("keys", "revoke", leaked)
	acknowledged := time.Since(began)
	time.Sleep(200 * time.Millisecond)
	poll()
	reject := max(0, time.Duration(last.Load())-acknowledged)
	for _, n := range nodes {
		if n.call("GET", "/v1/auth/me", f.access, nil).status == 200 || refreshAt(n, f.token).status == 200 {
			t.Error("a token of a revoked key is accepted")
		}
		fresh := l.signIn(n)
		if n.call("GET", "/v1/auth/me", fresh.access, nil).status != 200 {
			t.Error("a new token after the revocation is refused")
		}
	}
	l.report("FLT15", "rotations=%d calls=%d false_401=%d errors=%d unpublished=%d reject_after_revoke=%s", rotations,
		calls.Load(), falseDenials.Load(), errors.Load(), unpublished.Load(), ms(reject))
}

// keyID is what a token's header names.
func keyID(token string) string {
	head, _, _ := strings.Cut(token, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Kid string }
	json.Unmarshal(raw, &h)
	return h.Kid
}

// published are the keys that a node tells verifiers.
func published(n *node) map[string]bool {
	out := make(map[string]bool)
	keys, _ := n.call("GET", "/.well-known/jwks.json", "", nil).body["keys"].([]any)
	for _, k := range keys {
		if m, ok := k.(map[string]any); ok {
			kid, _ := m["kid"].(string)
			out[kid] = true
		}
	}
	return out
}

// FLT18: three nodes are restarted in turn while clients go to whichever says that it is ready. No request fails, and
// housekeeping is done by one node at a time, which hands it over.
func TestFLT18_RollingRestart(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	var nodes []*node
	metrics := make(map[*node]string)
	for range 3 {
		port := freePort(t)
		n := l.node("GATEHOUSE_SHUTDOWN_DELAY=300ms", "GATEHOUSE_SHUTDOWN_GRACE=2s", "GATEHOUSE_HOUSEKEEPING_EVERY=1s",
			"GATEHOUSE_METRICS_LISTEN=127.0.0.1:"+port)
		metrics[n] = "http://127.0.0.1:" + port + "/metrics"
		nodes = append(nodes, n.start())
	}
	l.operator(nodes[0])
	var ready [3]atomic.Bool
	watch := repeat(3, func(i int) { // a load balancer
		ready[i].Store(nodes[i].ready())
		time.Sleep(20 * time.Millisecond)
	})
	time.Sleep(100 * time.Millisecond)
	h := newHistory()
	stop := repeat(4, func(w int) {
		for i := range nodes {
			if k := (w + i) % 3; ready[k].Load() {
				h.note(w, "me", "", func() reply { return nodes[k].call("GET", "/v1/auth/me", l.admin, nil) })
				time.Sleep(time.Millisecond)
			}
		}
	})
	runs := make(map[string]float64) // by process
	count := func(i, generation int) {
		res, err := probe.Get(metrics[nodes[i]])
		if err != nil {
			return
		}
		defer res.Body.Close()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			var n float64
			if _, err := fmt.Sscanf(s.Text(), "gatehouse_housekeeping_runs_total %g", &n); err == nil {
				runs[fmt.Sprint(i, generation)] = n
			}
		}
	}
	began := time.Now()
	restarts := 0
	for generation := range scale(1, 8) {
		for i, n := range nodes {
			time.Sleep(1200 * time.Millisecond)
			count(i, generation)
			n.stop()
			n.start()
			restarts++
		}
	}
	time.Sleep(1200 * time.Millisecond)
	for i := range nodes {
		count(i, -1)
	}
	elapsed := time.Since(began).Seconds()
	stop()
	watch()
	// A request that never ends does not keep a node from ending.
	port := nodes[0].port
	hanging, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	fmt.Fprintf(hanging, "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nContent-Length: 1000\r\n\r\n{")
	time.Sleep(50 * time.Millisecond)
	asked := time.Now()
	nodes[0].stop()
	hung := time.Since(asked)
	if hung > 10*time.Second { // two are its grace
		t.Errorf("a node with a request that hangs ended after %v", hung)
	}
	if len(runs) == 0 {
		t.Error("no node told how often it did the housekeeping")
	}
	total := 0.0
	for _, n := range runs {
		total += n
	}
	s := h.check(l, "", 0)
	if bad := s.calls - countOutcome(h, ok); bad > 0 {
		t.Errorf("%d of %d calls failed", bad, s.calls)
	}
	if total > elapsed+float64(restarts)+2 || total < elapsed/4 { // a lease that is not given back rests for a minute
		t.Errorf("housekeeping ran %.0f times in %.0f s: more than one node did it, or it was not handed over", total,
			elapsed)
	}
	l.report("FLT18",
		"restarts=%d calls=%d failed=%d housekeeping=%.0f in %.0fs p99=%s ended_with_a_hanging_request=%s", restarts,
		s.calls, s.calls-countOutcome(h, ok), total, elapsed, ms(s.p99), ms(hung))
}

func countOutcome(h *history, o outcome) (n int) {
	for _, e := range h.entries {
		if e.Outcome == o {
			n++
		}
	}
	return n
}

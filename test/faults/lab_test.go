//go:build faults

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

var seed = flag.Uint64("seed", 0, "seed of the random choices; 0: another each time")

// binary is the server with fail points.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gatehouse-faults-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gatehouse")
	out, err := exec.Command("go", "build", "-tags", "faults", "-ldflags=-w", "-o", path,
		"github.com/itsm-automation/gatehouse/cmd/gatehouse").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) // a time
	}
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// lab is one scenario's installation: what its nodes share, and the choices of its dice.
type lab struct {
	*testing.T
	env      []string
	database string
	ended    string // the database's address at the end, where it moved
	url      string // the public one, which no node listens on: clients know the nodes
	dice     *rand.Rand
	nodes    []*node

	admin string // an access token of an operator, for administration
}

// open makes an installation on a fresh database of the shared test server, or on one given.
func open(t *testing.T, database string) *lab {
	t.Helper()
	if database == "" {
		database = sqldbtest.Postgres(t)
	}
	l := &lab{T: t, database: database, url: "http://127.0.0.1:1", dice: rand.New(rand.NewPCG(*seed, 1))}
	l.env = []string{"GATEHOUSE_ENCRYPTION_KEYS=" + keyring.Generate().Reveal(), "GATEHOUSE_METRICS_LISTEN=none",
		"GATEHOUSE_DEFAULT_MFA=optional", "GATEHOUSE_PUBLIC_URL=" + l.url, "GATEHOUSE_LOG_LEVEL=warn",
		"GATEHOUSE_DATABASE_CONNECTIONS=8", "GATEHOUSE_RESOURCES=", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	return l
}

// report looks at what a scenario leaves behind and prints its one line.
func (l *lab) report(id, format string, args ...any) {
	l.Helper()
	if l.database != "" {
		l.audited()
		l.bounded()
	}
	verdict := "pass"
	if l.Failed() {
		verdict = "FAIL"
	}
	fmt.Printf("%s %s %s seed=%d\n", id, verdict, fmt.Sprintf(format, args...), *seed)
}

// audited is I7, over the final database: what was made or ended has its event, once.
func (l *lab) audited() {
	l.Helper()
	conn, err := pgx.Connect(context.Background(), l.final())
	if err != nil {
		l.Errorf("I7: the database at the end: %v", err)
		return
	}
	defer conn.Close(context.Background())
	for what, sql := range map[string]string{
		"sessions without exactly one session.created": `SELECT count(*) FROM sessions s WHERE 1 <> (SELECT count(*) FROM audit_events a WHERE a.act = 'session.created' AND a.target_id = s.id AND a.organization_id = s.organization_id)`,
		"session.created without a session":            `SELECT count(*) FROM audit_events a WHERE a.act = 'session.created' AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = a.target_id)`,
		"session.ended of a live session":              `SELECT count(*) FROM audit_events a JOIN sessions s ON s.id = a.target_id WHERE a.act = 'session.ended' AND s.state = 'active'`,
		"session.ended twice":                          `SELECT count(*) FROM (SELECT 1 FROM audit_events WHERE act = 'session.ended' GROUP BY target_id HAVING count(*) > 1) x`,
		"ended sessions without an event": `SELECT count(*) FROM sessions s WHERE s.state <> 'active' AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.outcome = 'success'
			AND (a.act = 'session.ended' AND a.target_id = s.id OR a.act IN ('user.sessions_ended', 'user.updated', 'user.disabled', 'user.password_set', 'user.password_changed') AND a.target_id = s.user_id
				OR a.act IN ('organization.suspended', 'organization.deleted') AND a.target_id = s.organization_id OR a.act LIKE 'installation.%'))`,
		"credentials without exactly one event of their making": `SELECT count(*) FROM credentials c WHERE 1 <> (SELECT count(*) FROM audit_events a WHERE a.target_id = c.id AND a.organization_id = c.organization_id AND a.act LIKE '%created')`,
	} {
		var n int
		if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
			l.Errorf("I7: %s: %v", what, err)
		} else if n > 0 {
			l.Errorf("I7: %d %s", n, what)
		}
	}
}

// final is the address of the database that the scenario ended with.
func (l *lab) final() string {
	if l.ended != "" {
		return l.ended
	}
	return l.database
}

// bounded is I8: no node that runs holds more than its caps.
func (l *lab) bounded() {
	l.Helper()
	for _, n := range l.nodes {
		if !n.running() {
			continue
		}
		now, _ := n.rss()
		if now > 400 || n.descriptors() > 800 {
			l.Errorf("I8: a node holds %d MiB and %d descriptors at the end", now, n.descriptors())
		}
	}
}

// descriptors is how many a node has open.
func (n *node) descriptors() int {
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.Process.Pid))
	return len(files)
}

// node is one server process.
type node struct {
	*lab
	url  string
	port string
	env  []string
	wrap func(cmd *exec.Cmd) // changes how it is started
	*exec.Cmd
	stderr *bytes.Buffer
	done   chan struct{}
}

// node makes a node; it does not run yet.
func (l *lab) node(env ...string) *node {
	l.Helper()
	n := &node{lab: l, port: freePort(l.T), env: env}
	n.url = "http://127.0.0.1:" + n.port
	l.nodes = append(l.nodes, n)
	return n
}

func (n *node) command(args ...string) *exec.Cmd {
	n.Helper()
	path, err := binary()
	if err != nil {
		n.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(append([]string{"GATEHOUSE_DATABASE=" + n.database}, n.lab.env...),
		append(n.env, "GATEHOUSE_LISTEN=127.0.0.1:"+n.port)...)
	return cmd
}

// start runs the node, with more environment, and waits until it is ready.
func (n *node) start(more ...string) *node {
	n.Helper()
	n.launch(more...)
	n.waitReady(30 * time.Second)
	return n
}

func (n *node) launch(more ...string) {
	n.Helper()
	n.Cmd, n.stderr, n.done = n.command("serve"), &bytes.Buffer{}, make(chan struct{})
	n.Cmd.Env = append(n.Cmd.Env, more...)
	n.Cmd.Stderr = n.stderr
	if n.wrap != nil {
		n.wrap(n.Cmd)
	}
	if err := n.Cmd.Start(); err != nil {
		n.Fatal(err)
	}
	cmd, done := n.Cmd, n.done
	go func() { cmd.Wait(); close(done) }()
	n.Cleanup(n.kill)
}

func (n *node) ready() bool {
	r, err := probe.Get(n.url + "/readyz")
	if err != nil {
		return false
	}
	defer r.Body.Close()
	io.Copy(io.Discard, r.Body)
	return r.StatusCode == 200
}

var probe = &http.Client{Timeout: 2 * time.Second}

func (n *node) waitReady(most time.Duration) time.Duration {
	n.Helper()
	start := time.Now()
	for !n.ready() {
		select {
		case <-n.done:
			n.Fatalf("the node ended: %s", n.stderr)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(start) > most {
			n.Fatalf("not ready after %v", most)
		}
	}
	return time.Since(start)
}

func (n *node) running() bool {
	select {
	case <-n.done:
		return false
	default:
		return n.Cmd != nil
	}
}

// kill is kill -9.
func (n *node) kill() {
	if n.Cmd != nil && n.Cmd.Process != nil {
		n.Cmd.Process.Kill()
		<-n.done
	}
}

// stop is SIGTERM, and waits for the end.
func (n *node) stop() {
	n.Cmd.Process.Signal(syscall.SIGTERM)
	<-n.done
}

const operatorPassword = "an operator's long sentence"

// operator makes the first operator and signs in at a node.
func (l *lab) operator(at *node) {
	l.Helper()
	cmd := at.command("admin", "create", "--email", "operator@platform.example")
	cmd.Stdin = strings.NewReader(operatorPassword + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("admin create: %v %s", err, out)
	}
	if at.Cmd != nil {
		l.signInAdmin(at)
	}
}

func (l *lab) signInAdmin(at *node) {
	l.Helper()
	r := at.call("POST", "/v1/auth/login", "", map[string]any{"email": "operator@platform.example",
		"password": operatorPassword})
	if r.status != 200 {
		l.Fatalf("the operator's sign-in: %v", r)
	}
	l.admin = r.text("accessToken")
}

// reply is what came of a call. Status 0: nothing is known.
type reply struct {
	status int
	body   map[string]any
	header http.Header
	took   time.Duration
	err    error
}

func (r reply) text(name string) string { s, _ := r.body[name].(string); return s }

var client = &http.Client{Timeout: 15 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 512}}

// call sends one request; credential goes as X-API-Key if it is an API key and as Bearer otherwise.
func (n *node) call(method, path, credential string, body any) reply {
	return n.callFor(context.Background(), method, path, credential, body)
}

func (n *node) callFor(ctx context.Context, method, path, credential string, body any) reply {
	return n.send(n.request(method, path, credential, body).WithContext(ctx))
}

func (n *node) request(method, path, credential string, body any) *http.Request {
	var reader io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		reader, kind = strings.NewReader(b), "application/x-www-form-urlencoded"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			panic(err)
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, n.url+path, reader)
	if err != nil {
		panic(err)
	}
	if reader != nil {
		req.Header.Set("Content-Type", kind)
	}
	switch {
	case strings.HasPrefix(credential, "tnt_"):
		req.Header.Set("X-API-Key", credential)
	case credential != "":
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	return req
}

func (n *node) send(req *http.Request) reply { return sendBy(client, req) }

func sendBy(client *http.Client, req *http.Request) reply {
	start := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return reply{err: err, took: time.Since(start)}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{err: err, took: time.Since(start)}
	}
	r := reply{status: res.StatusCode, header: res.Header, took: time.Since(start)}
	json.Unmarshal(raw, &r.body)
	return r
}

// must is a call that has to succeed.
func (n *node) must(status int, method, path, credential string, body any) reply {
	n.Helper()
	r := n.call(method, path, credential, body)
	if r.status != status {
		n.Fatalf("%s %s: %d %v %v, want %d", method, path, r.status, r.body, r.err, status)
	}
	return r
}

// repeat calls fn in several goroutines until stop is called, which waits for them.
func repeat(workers int, fn func(worker int)) (stop func()) {
	var ended atomic.Bool
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for !ended.Load() {
				fn(w)
			}
		})
	}
	return func() { ended.Store(true); wg.Wait() }
}

// scale is how often something is done: few times in the short version.
func scale(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

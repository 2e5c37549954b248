// Package e2e runs the built program as a user would: as a process, with files, signals and other processes beside it.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path,
		"github.com/itsm-automation/gatehouse/cmd/gatehouse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// installation is a configured server on a database, started and killed as often as a test likes.
type installation struct {
	t    *testing.T
	env  []string
	url  string
	port string

	database string
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func install(t *testing.T, database string) *installation {
	t.Helper()
	i := &installation{t: t, database: database}
	i.env = []string{"GATEHOUSE_DATABASE=" + database, "GATEHOUSE_ENCRYPTION_KEYS=" + keyring.Generate().Reveal(),
		"GATEHOUSE_METRICS_LISTEN=none", "GATEHOUSE_DEFAULT_MFA=optional", "PATH=" + os.Getenv("PATH"),
		"HOME=" + t.TempDir()}
	i.at(freePort(t))
	return i
}

// at moves the installation to a port; a second node has its own.
func (i *installation) at(port string) *installation {
	i.port, i.url = port, "http://127.0.0.1:"+port
	return i
}

func (i *installation) command(args ...string) *exec.Cmd {
	i.t.Helper()
	path, err := binary()
	if err != nil {
		i.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(append([]string{}, i.env...), "GATEHOUSE_LISTEN=127.0.0.1:"+i.port,
		"GATEHOUSE_PUBLIC_URL=http://127.0.0.1:"+i.port)
	return cmd
}

// run runs a command to its end.
func (i *installation) run(stdin string, args ...string) (stdout, stderr string, code int) {
	i.t.Helper()
	cmd := i.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

type process struct {
	*exec.Cmd
	stderr *syncBuffer
	done   chan struct{}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs `gatehouse serve` and waits until it is ready.
func (i *installation) start() *process {
	i.t.Helper()
	p := &process{Cmd: i.command("serve"), stderr: &syncBuffer{}, done: make(chan struct{})}
	p.Stderr = p.stderr
	if err := p.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() { p.Wait(); close(p.done) }()
	i.t.Cleanup(func() { p.kill() })
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if r, err := http.Get(i.url + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == 200 {
				return p
			}
		}
		select {
		case <-p.done:
			i.t.Fatalf("the server ended: %s", p.stderr)
		default:
		}
	}
	i.t.Fatalf("the server is not ready: %s", p.stderr)
	return nil
}

// kill is kill -9.
func (p *process) kill() {
	p.Process.Kill()
	<-p.done
}

func (i *installation) post(path string, body any, bearer string) (int, map[string]any, error) {
	raw, _ := json.Marshal(body)
	if body == nil {
		raw = nil
	}
	req, err := http.NewRequest("POST", i.url+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return do(req, bearer)
}

func (i *installation) get(path, bearer string) (int, map[string]any, error) {
	req, err := http.NewRequest("GET", i.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	return do(req, bearer)
}

func do(req *http.Request, bearer string) (int, map[string]any, error) {
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	var body map[string]any
	json.Unmarshal(raw, &body)
	return res.StatusCode, body, err
}

// acme runs a command for acme-corp and gives what it prints.
func (i *installation) acme(args ...string) string {
	i.t.Helper()
	out, errs, code := i.run("", append(args, "-o", "acme-corp")...)
	if code != 0 {
		i.t.Fatalf("%v: %d %s%s", args, code, out, errs)
	}
	return out
}

// acmeObject runs one that prints an object.
func (i *installation) acmeObject(args ...string) (m map[string]any) {
	i.t.Helper()
	if err := json.Unmarshal([]byte(i.acme(append(args, "--json")...)), &m); err != nil {
		i.t.Fatal(err)
	}
	return m
}

const operatorPassword = "an operator's long sentence"

// operator makes the first operator by the command line.
func (i *installation) operator() {
	i.t.Helper()
	if out, errs, code := i.run(operatorPassword+"\n", "admin", "create", "--email",
		"operator@platform.example"); code != 0 {
		i.t.Fatalf("admin create: %s%s", out, errs)
	}
}

func (i *installation) signIn() (access, refresh string) {
	i.t.Helper()
	status, body, err := i.post("/v1/auth/login", map[string]any{"email": "operator@platform.example",
		"password": operatorPassword}, "")
	if err != nil || status != 200 {
		i.t.Fatalf("sign-in: %d %v %v", status, body, err)
	}
	return body["accessToken"].(string), body["refreshToken"].(string)
}

// A8, A46, ATK27: what was acknowledged survives kill -9: a sign-in, a rotation, a revocation; a refresh token used
// before is refused after.
func TestATK27_KillNine(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		i.operator()
		p := i.start()
		for round := range 3 {
			access, first := i.signIn()
			status, rotated, err := i.post("/v1/auth/refresh", map[string]any{"refreshToken": first}, "")
			if err != nil || status != 200 {
				t.Fatalf("refresh: %d %v %v", status, rotated, err)
			}
			gone, goneRefresh := i.signIn()
			sessionOf := claim(t, gone, "sessionId")
			if status, body, err := i.post("/v1/auth/logout", map[string]any{"sessionId": sessionOf},
				gone); err != nil || status != 200 {
				t.Fatalf("logout: %d %v %v", status, body, err)
			}
			p.kill()
			p = i.start()
			if status, body, _ := i.get("/v1/auth/me", access); status != 200 {
				t.Errorf("round %d: the sign-in is lost: %d %v", round, status, body)
			}
			if status, body, _ := i.get("/v1/auth/me", gone); status != 401 {
				t.Errorf("round %d: the revoked session lives: %d %v", round, status, body)
			}
			if status, body, _ := i.post("/v1/auth/refresh", map[string]any{"refreshToken": goneRefresh},
				""); status != 401 {
				t.Errorf("round %d: the revoked session refreshes: %d %v", round, status, body)
			}
			status, next, _ := i.post("/v1/auth/refresh", map[string]any{"refreshToken": rotated["refreshToken"]}, "")
			if status != 200 {
				t.Errorf("round %d: the rotation is lost: %d %v", round, status, next)
			}
			if status, body, _ := i.post("/v1/auth/refresh", map[string]any{"refreshToken": first}, ""); status != 401 {
				t.Errorf("round %d: a used token works after the restart: %d %v", round, status, body)
			}
			if status, _, _ := i.get("/v1/auth/me", access); status != 401 {
				t.Errorf("round %d: its session goes on", round)
			}
		}
	})
}

// G7: under load and kill -9 at a random moment no acknowledged rotation is lost and no used token works twice.
func TestATK26_KillNineUnderLoad(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		i.operator()
		p := i.start()
		const clients = 4
		last := make([]string, clients) // the last acknowledged refresh token of each client
		used := make([][]string, clients)
		for c := range clients {
			_, last[c] = i.signIn()
		}
		unknown := make([]bool, clients) // the outcome of the last try is not known
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for {
					status, body, err := i.post("/v1/auth/refresh", map[string]any{"refreshToken": last[c]}, "")
					if err != nil {
						unknown[c] = true
						return
					}
					if status != 200 {
						t.Errorf("client %d: a live token is refused: %d %v", c, status, body)
						return
					}
					used[c] = append(used[c], last[c])
					last[c] = body["refreshToken"].(string)
				}
			})
		}
		time.Sleep(700 * time.Millisecond)
		p.kill()
		wg.Wait()
		i.start()
		rotations := 0
		for c := range clients {
			rotations += len(used[c])
			status, body, err := i.post("/v1/auth/refresh", map[string]any{"refreshToken": last[c]}, "")
			if err != nil || (status != 200 && !unknown[c]) {
				t.Errorf("client %d: the last acknowledged rotation is lost: %d %v %v", c, status, body, err)
			}
			if len(used[c]) > 0 {
				if status, _, _ := i.post("/v1/auth/refresh", map[string]any{"refreshToken": used[c][len(used[c])-1]},
					""); status != 401 {
					t.Errorf("client %d: a used token is accepted: %d", c, status)
				}
			}
		}
		t.Logf("%d rotations before the kill", rotations)
		if rotations < clients {
			t.Errorf("only %d rotations: the test tested nothing", rotations)
		}
	})
}

// G7, A45: two processes on one database: what one revokes the other refuses; the delay is printed.
func TestG7_TwoProcesses(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		a := install(t, address)
		a.operator()
		a.start()
		b := (&installation{t: t, env: a.env}).at(freePort(t)) // same key and database
		// One issuer serves both: the second node is told the first one's public URL.
		cmd := b.command("serve")
		cmd.Env = append(cmd.Env, "GATEHOUSE_PUBLIC_URL="+a.url)
		stderr := &syncBuffer{}
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		waitFor(t, "the second node is ready", func() bool {
			status, _, err := b.get("/readyz", "")
			return err == nil && status == 200
		})
		var delays []time.Duration
		for range 20 {
			access, _ := a.signIn()
			if status, body, _ := b.get("/v1/auth/me", access); status != 200 {
				t.Fatalf("the second node refuses a good token: %d %v", status, body)
			}
			if status, _, _ := a.post("/v1/auth/logout", map[string]any{"sessionId": claim(t, access, "sessionId")},
				access); status != 200 {
				t.Fatal("logout")
			}
			begin := time.Now()
			waitFor(t, "the second node refuses", func() bool {
				status, _, _ := b.get("/v1/auth/me", access)
				return status == 401
			})
			delays = append(delays, time.Since(begin))
		}
		var worst time.Duration
		for _, d := range delays {
			worst = max(worst, d)
		}
		t.Logf("revocation seen by the other process after at most %v", worst)
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}

func claim(t *testing.T, token, name string) any {
	t.Helper()
	var claims map[string]any
	part := strings.Split(token, ".")[1]
	raw, err := base64Decode(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims[name]
}

// F5: a stopping server finishes what it has begun and takes nothing new.
func TestF5_GracefulShutdown(t *testing.T) {
	t.Parallel()
	i := install(t, sqldbtest.SQLite(t))
	port := freePort(t)
	i.env = append(i.env, "GATEHOUSE_METRICS_LISTEN=127.0.0.1:"+port, "GATEHOUSE_PASSWORD_HASHING_SLOTS=1")
	i.operator()
	p := i.start()
	var wg sync.WaitGroup
	var ended atomic.Int32
	failed := make(chan string, 100)
	const n = 12
	for range n {
		wg.Go(func() {
			defer ended.Add(1)
			status, _, err := i.post("/v1/auth/login",
				map[string]any{"email": "operator@platform.example", "password": operatorPassword}, "")
			if err != nil || status != 200 {
				failed <- fmt.Sprint(status, err)
			}
		})
	}
	waitFor(t, "all are being answered", func() bool {
		r, err := http.Get("http://127.0.0.1:" + port + "/metrics")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		raw, _ := io.ReadAll(r.Body)
		_, rest, _ := strings.Cut(string(raw), "\ngatehouse_http_requests_in_flight ")
		line, _, _ := strings.Cut(rest, "\n")
		running, _ := strconv.Atoi(line)
		return running+int(ended.Load()) >= n
	})
	p.Process.Signal(syscall.SIGTERM)
	wg.Wait()
	close(failed)
	for f := range failed {
		t.Errorf("a running sign-in was cut off: %s", f)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Fatal("does not stop")
	}
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// The demo is what the README promises: one JSON line, ready at once, nothing beyond loopback, gone at the end.
func TestDemo(t *testing.T) {
	t.Parallel()
	i := install(t, "sqlite:unused")
	if _, errs, code := i.run("", "demo", "--listen", "0.0.0.0:0"); code == 0 || !strings.Contains(errs, "loopback") {
		t.Errorf("the demo listened to the world: %d %s", code, errs)
	}
	cmd := i.command("demo", "--json", "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(begin))
	var d struct {
		URL           string
		Organizations []struct{ Slug, ID string }
		Users         []struct{ Email, Username, Password, Role, Organization string }
	}
	if err := json.Unmarshal([]byte(line), &d); err != nil {
		t.Fatal(err)
	}
	roles := map[string]bool{}
	for _, u := range d.Users {
		roles[u.Role] = true
		i.url = d.URL
		if status, body, err := i.post("/v1/auth/login",
			map[string]any{"email": u.Email, "password": u.Password, "organization": u.Organization}, ""); err != nil ||
			status != 200 {
			t.Errorf("%s cannot sign in: %d %v %v", u.Email, status, body, err)
		}
	}
	if len(roles) != 5 || len(d.Organizations) != 3 || d.Organizations[0].Slug != "acme-corp" {
		t.Errorf("%+v", d)
	}
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
}

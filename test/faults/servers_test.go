//go:build faults

package faults

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

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

// redisServer is a Redis of the laboratory's own.
type redisServer struct {
	t    *testing.T
	port string
	dir  string
	cmd  *exec.Cmd
	args []string
}

func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	r := &redisServer{t: t, port: freePort(t), dir: t.TempDir(), args: args}
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *redisServer) address() string { return "127.0.0.1:" + r.port }

func (r *redisServer) start() {
	r.t.Helper()
	r.cmd = exec.Command("redis-server",
		append([]string{"--port", r.port, "--bind", "127.0.0.1", "--save", "", "--dir", r.dir}, r.args...)...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	waitFor(r.t, "Redis", 10*time.Second, func() bool { return strings.TrimSpace(r.cli("PING")) == "PONG" })
}

func (r *redisServer) cli(args ...string) string {
	out, _ := exec.Command("redis-cli", append([]string{"-p", r.port}, args...)...).CombinedOutput()
	return string(out)
}

// everyFact begins a script that works on the facts that nodes share, whose names are binary.
const everyFact = "local names = redis.call('KEYS', 'gatehouse:f:*') "

// facts tells how many there are.
func (r *redisServer) facts() int {
	n, _ := strconv.Atoi(strings.TrimSpace(r.cli("EVAL", everyFact+"return #names", "0")))
	return n
}

// exchange gives pairs of facts each other's value, and tells how many it did.
func (r *redisServer) exchange() int {
	n, _ := strconv.Atoi(strings.TrimSpace(r.cli("EVAL", everyFact+`local n = 0
		for i = 1, #names - 1, 2 do
			local a, b = redis.call('GET', names[i]), redis.call('GET', names[i + 1])
			redis.call('SET', names[i], b, 'PX', 60000) redis.call('SET', names[i + 1], a, 'PX', 60000)
			n = n + 2
		end
		return n`, "0")))
	return n
}

func (r *redisServer) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

// postgresServer is a PostgreSQL server of the laboratory's own, which may be restarted, killed and promoted.
type postgresServer struct {
	t    *testing.T
	port string
	data string
	bin  string
	as   *syscall.Credential
}

func postgresBin(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		t.Fatal("PostgreSQL is not installed")
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) })
	return found[len(found)-1]
}

func newPostgres(t *testing.T) *postgresServer {
	t.Helper()
	base, err := os.MkdirTemp("", "faults-pg-")
	if err != nil {
		t.Fatal(err)
	}
	p := &postgresServer{t: t, port: freePort(t), data: filepath.Join(base, "data"), bin: postgresBin(t)}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(base, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		p.try("pg_ctl", "-D", p.data, "-m", "immediate", "-w", "stop")
		os.RemoveAll(base)
	})
	return p
}

// startPostgres makes and starts a server.
func startPostgres(t *testing.T) *postgresServer {
	t.Helper()
	p := newPostgres(t)
	p.run("initdb", "-D", p.data, "-U", "gatehouse", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	p.start()
	p.sql("CREATE DATABASE gatehouse")
	return p
}

func (p *postgresServer) address() string { return "127.0.0.1:" + p.port }

func (p *postgresServer) try(name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	out, err := os.CreateTemp("", "faults-out-") // not a pipe: the server inherits it and would keep it open
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	return string(text), err
}

func (p *postgresServer) run(name string, args ...string) {
	p.t.Helper()
	if out, err := p.try(name, args...); err != nil {
		p.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (p *postgresServer) start() {
	p.t.Helper()
	p.run("pg_ctl", "-D", p.data, "-w", "-t", "60", "-l", filepath.Join(filepath.Dir(p.data), "log"), "-o",
		"-p "+p.port+" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100 -c fsync=off "+
			"-c wal_level=replica -c max_wal_senders=4 -c hot_standby=on", "start")
}

// restart stops in a mode (fast, immediate) or kills the postmaster, and starts again.
func (p *postgresServer) restart(mode string) {
	p.t.Helper()
	if mode == "kill" {
		p.kill()
	} else {
		p.run("pg_ctl", "-D", p.data, "-m", mode, "-w", "stop")
	}
	p.start()
}

func (p *postgresServer) pid() int {
	text, err := os.ReadFile(filepath.Join(p.data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	return n
}

// kill is kill -9 of the postmaster; its children notice.
func (p *postgresServer) kill() {
	p.t.Helper()
	pid := p.pid()
	if pid == 0 {
		p.t.Fatal("PostgreSQL does not run")
	}
	syscall.Kill(pid, syscall.SIGKILL)
	waitFor(p.t, "the end of PostgreSQL", 20*time.Second, func() bool {
		out, _ := exec.Command("pgrep", "-f", p.data).Output()
		return len(out) == 0 || syscall.Kill(pid, 0) != nil && !strings.Contains(string(out), strconv.Itoa(pid))
	})
	time.Sleep(300 * time.Millisecond)
	os.Remove(filepath.Join(p.data, "postmaster.pid"))
}

// standby makes and starts a replica that follows by way of a proxy.
func (p *postgresServer) standby(upstream string) *postgresServer {
	p.t.Helper()
	s := newPostgres(p.t)
	host, port, _ := net.SplitHostPort(upstream)
	s.run("pg_basebackup", "-D", s.data, "-d", fmt.Sprintf("host=%s port=%s user=gatehouse application_name=standby",
		host, port), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	s.start()
	return s
}

func (p *postgresServer) url() string {
	return "postgres://gatehouse@" + p.address() + "/gatehouse?sslmode=disable"
}

func (p *postgresServer) sql(statement string) {
	p.t.Helper()
	u, _ := url.Parse(p.url())
	u.Path = "/postgres"
	conn, err := pgx.Connect(context.Background(), u.String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

func waitFor(t *testing.T, what string, most time.Duration, done func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !done() {
		if time.Since(start) > most {
			t.Fatalf("waited %v for %s", most, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(start)
}

package sqldbtest

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Pooler is a PgBouncer of a test's own, in front of a PostgreSQL server, configured as docs/operations.md prints it.
type Pooler struct {
	t       testing.TB
	address string
	ini     string
	cmd     *exec.Cmd
	log     bytes.Buffer
}

// StartPooler starts PgBouncer before the server of a database address. Each change replaces a line of its settings.
func StartPooler(t testing.TB, server string, changes ...string) *Pooler {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Pooler{t: t, address: listener.Addr().String(), ini: filepath.Join(t.TempDir(), "pgbouncer.ini")}
	listener.Close()
	_, port, _ := net.SplitHostPort(p.address)
	settings := strings.NewReplacer(append(changes,
		"gatehouse = host=10.0.0.5 port=5432 dbname=gatehouse",
		fmt.Sprintf("* = host=%s port=%s user=%s", u.Hostname(), u.Port(), u.User.Username()),
		"listen_port = 6432", "listen_port = "+port,
		"auth_type = scram-sha-256", "auth_type = any", "auth_file = /etc/pgbouncer/userlist.txt", "unix_socket_dir =",
	)...).Replace(documented(t))
	if err := os.WriteFile(p.ini, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Start()
	t.Cleanup(p.Stop)
	return p
}

// documented is what the documentation tells PgBouncer.
func documented(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	page, err := os.ReadFile(filepath.Join(dir, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(page), "```ini\n[databases]")
	if !found {
		t.Fatal("docs/operations.md has no settings of PgBouncer")
	}
	block, _, _ = strings.Cut(block, "```")
	return "[databases]" + block
}

// Through is a database address by way of the pooler.
func (p *Pooler) Through(address string) string {
	p.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host = p.address
	return u.String()
}

// Start starts it, also again.
func (p *Pooler) Start() {
	p.t.Helper()
	path := "/usr/sbin/pgbouncer"
	if _, err := os.Stat(path); err != nil {
		if os.Getenv(PostgresEnv) != "" {
			p.t.Fatal("PgBouncer is not installed; make test installs it")
		}
		p.t.Skip("PgBouncer is not installed; make test installs it")
	}
	p.cmd = exec.Command(path, p.ini)
	if os.Getuid() == 0 { // it refuses to run as root
		p.cmd = exec.Command(path, "--user=nobody", p.ini)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", p.address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			p.Stop()
			p.t.Fatalf("PgBouncer does not listen: %s", p.log.String())
		}
	}
}

// Stop ends it at once, and every connection by way of it.
func (p *Pooler) Stop() {
	if p.cmd != nil && p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

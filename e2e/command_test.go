package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

func base64Decode(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

// The server does not start without what it must be told, says everything that is wrong at once, and never a secret.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	i := install(t, "sqlite:unused")
	i.env = []string{"PATH=" + os.Getenv("PATH"), "GATEHOUSE_LOG_LEVEL=loud"}
	cmd := i.command("serve")
	cmd.Env = i.env
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("started: %v %s", err, out)
	}
	for _, key := range []string{"public_url", "database", "encryption_keys", "log.level"} {
		if !strings.Contains(string(out), key) {
			t.Errorf("no word of %s in %s", key, out)
		}
	}
	for _, weak := range []string{"short", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="} {
		i = install(t, "sqlite:unused")
		i.env = append(i.env, "GATEHOUSE_ENCRYPTION_KEYS="+weak)
		out, errs, code := i.run("", "config", "check")
		if code != 2 || strings.Contains(out+errs, weak) {
			t.Errorf("weak key %q: exit code %d, %s%s", weak, code, out, errs)
		}
	}
	i = install(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	if out, errs, code := i.run("", "config", "check"); code != 0 {
		t.Errorf("a good configuration: %d %s%s", code, out, errs)
	}
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(file, []byte("databse: oops\nlog:\n  level: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := i.run("", "--config", file, "config", "check"); code != 2 ||
		!strings.Contains(errs, "databse") {
		t.Errorf("a misspelt key: %d %s", code, errs)
	}
	// A routes file may name the integrator's own resources, and what is seldom meant in it is said.
	routes := "routes:\n  - {path: /admin, permission: 'stations:manage'}\n  - {path: '/{rest...}', public: true}\n"
	if err := os.WriteFile(file, []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	i.env = append(i.env, "GATEHOUSE_GATEWAY_ROUTES_FILE="+file)
	if _, errs, code := i.run("", "config", "check"); code != 2 || !strings.Contains(errs, "stations:manage") {
		t.Errorf("an unknown resource: %d %s", code, errs)
	}
	i.env = append(i.env, "GATEHOUSE_RESOURCES=stations")
	if _, errs, code := i.run("", "config", "check"); code != 0 || !strings.Contains(errs, "warning") ||
		!strings.Contains(errs, "/{rest...}") {
		t.Errorf("a catch-all below a stricter rule: %d %s", code, errs)
	}
}

// liteSteps is how many migrations a SQLite file has.
func liteSteps(t *testing.T) (n int) {
	t.Helper()
	for _, dir := range []string{"common", "sqlite"} {
		files, err := filepath.Glob("../internal/platform/sqldb/migrations/" + dir + "/*.sql")
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		n += len(files)
	}
	return n
}

// The check finds what a server would fail at later: a folder that is not there, a certificate that cannot be read, an
// unknown variable. It warns of a proxy that nobody named.
func TestConfigCheckLooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set  []string
		code int
		said string
	}{
		{[]string{"GATEHOUSE_DATABASE=sqlite:/nowhere/at/all/x.db"}, 2, "database: there is no folder /nowhere/at/all"},
		{[]string{"GATEHOUSE_DATABASE=sqlite:" + os.TempDir()}, 2, "is a folder: name a file in it"},
		{[]string{"GATEHOUSE_TLS_CERTIFICATE_FILE=/nowhere.pem", "GATEHOUSE_TLS_KEY_FILE=/nowhere.pem"}, 2,
			"tls: open"},
		{[]string{"GATEHOUSE_MTLS_CA_FILE=/nowhere.pem"}, 2, "mtls.ca_file: open /nowhere.pem"},
		{[]string{"GATEHOUSE_MAIL_SMTP=localhost:25", "GATEHOUSE_MAIL_FROM=a@example.com",
			"GATEHOUSE_MAIL_CA_FILE=/nowhere.pem"}, 2, "mail: ca_file: open /nowhere.pem"},
		{[]string{"GATEHOUSE_GATEWAY_ROUTES_FILE=/nowhere.yaml"}, 2, "gateway.routes_file: "},
		{[]string{"GATEHOUSE_ITEMPATH_DEFAULT_ORGANIZATION=No slug"}, 2, "itempath.default_organization: slug"},
		{[]string{"GATEHOUSE_PUBLIC_URI=https://auth.example.com"}, 2,
			"GATEHOUSE_PUBLIC_URI: there is no such setting; the nearest is GATEHOUSE_PUBLIC_URL"},
		{[]string{"GATEHOUSE_PUBLIC_URL=https://auth.example.com"}, 0, "trusted_proxies names none"},
	} {
		cmd := install(t, sqldbtest.SQLite(t)).command("config", "check")
		cmd.Env = append(cmd.Env, c.set...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.said) {
			t.Errorf("%v: %d %s", c.set, code, out)
		}
	}
}

// Whoever starts a second process on a machine learns which setting names the address that is taken.
func TestListenNamesTheSetting(t *testing.T) {
	t.Parallel()
	i := install(t, sqldbtest.SQLite(t))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for _, c := range []struct {
		command, setting string
		set              []string
	}{
		{"serve", "listen", []string{"GATEHOUSE_LISTEN=" + address}},
		{"serve", "metrics.listen", []string{"GATEHOUSE_METRICS_LISTEN=" + address}},
		{"demo", "--listen", nil},
	} {
		args := []string{c.command}
		if c.command == "demo" {
			args = append(args, "--listen", address)
		}
		cmd := i.command(args...)
		cmd.Env = append(cmd.Env, c.set...)
		out, err := cmd.CombinedOutput()
		if want := "gatehouse: " + c.setting + ": another process listens at " + address; err == nil ||
			!strings.Contains(string(out), want) {
			t.Errorf("%s: no %q in %s", c.command, want, out)
		}
	}
}

// The command line says what it can do: alone, by help and --version, to shells, and as a manual page.
func TestCommandLineHelps(t *testing.T) {
	t.Parallel()
	i := install(t, "sqlite:unused")
	for _, c := range []struct {
		args []string
		code int
		said string
	}{
		{nil, 0, "Usage: gatehouse <command>"},
		{[]string{"help"}, 0, "Usage: gatehouse <command>"},
		{[]string{"help", "keys", "rotate"}, 0, "Usage: gatehouse keys rotate"},
		{[]string{"help", "nonsense"}, 2, "unexpected argument nonsense"},
		{[]string{"--version"}, 0, "dev\n"},
		{[]string{"version"}, 0, "dev\n"},
		{[]string{"completion", "bash"}, 0, "complete -o default -C gatehouse gatehouse"},
		{[]string{"completion", "csh"}, 2, "bash"},
		{[]string{"man"}, 0, ".SS keys rotate [flags]"},
		{[]string{"man"}, 0, ".TP\n.B GATEHOUSE_PUBLIC_URL\n"},
		{[]string{"key", "create", "-o", "x", "--name", "x", "-p", "a:b", "--expires-in", "30x"}, 2, "20s, 12h or 30d"},
	} {
		out, errs, code := i.run("", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.said) {
			t.Errorf("%v: %d %s%s", c.args, code, out, errs)
		}
	}
	for line, want := range map[string]string{
		"gatehouse ke":                      "keys\nkey\n",
		"gatehouse keys r":                  "rotate\nrevoke\n",
		"gatehouse keys rotate --purpose ":  "session\nlong_lived\n",
		"gatehouse --config x.yaml keys li": "list\n",
		"gatehouse keys rotate --f":         "--force\n",
		"gatehouse completion z":            "zsh\n",
		"gatehouse backup ":                 "",
	} {
		cmd := i.command()
		cmd.Env = append(cmd.Env, "COMP_LINE="+line)
		if out, err := cmd.Output(); err != nil || string(out) != want {
			t.Errorf("%q: %q %v", line, out, err)
		}
	}
}

// No message shows a database address with its password, nor does any become the name of a file.
func TestG4_NoPasswordInMessages(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"postgress://u:quite-secret@127.0.0.1/d", `"postgres://u:quite-secret@127.0.0.1/d"`,
		"u:quite-secret@127.0.0.1", "postgres://u:p@quite-secret@127.0.0.1/d",
		"postgres://u:quite-secret%zz@127.0.0.1/d",
		"postgres://u:quite-secret@127.0.0.1:1/d", "postgres://u:1/quite-secret@127.0.0.1/d"} {
		i := install(t, address)
		dir := t.TempDir()
		for _, args := range [][]string{{"config", "check"}, {"serve"}, {"migrate"}, {"doctor"}, {"backup", "x"},
			{"restore", "x"}, {"restore", "--in-place"}, {"keys", "list"}} {
			cmd := i.command(args...)
			cmd.Dir = dir
			served := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
			out, err := cmd.CombinedOutput()
			served.Stop()
			if strings.Contains(string(out), "quite-secret") ||
				err == nil && (args[0] != "config" || !strings.Contains(address, ":1/d")) {
				t.Errorf("%s with %s: %v %s", args, address, err, out)
			}
			if strings.Contains(string(out), "sqldb:") {
				t.Errorf("%s: %s", args, out)
			}
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
			t.Errorf("%s: %v %v", address, files, err)
		}
	}
}

// Migrations are shown, run once, and need a configuration.
func TestMigrateCommand(t *testing.T) {
	t.Parallel()
	i := install(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	if out, errs, code := i.run("", "migrate", "--plan"); code != 0 ||
		!strings.Contains(out, "would run 00001_tables.sql") {
		t.Errorf("plan: %d %s%s", code, out, errs)
	}
	if out, errs, code := i.run("", "migrate"); code != 0 ||
		!strings.Contains(out, fmt.Sprintf("%d steps run", liteSteps(t))) {
		t.Errorf("run: %d %s%s", code, out, errs)
	}
	if out, _, code := i.run("", "migrate", "--plan"); code != 0 ||
		!strings.Contains(out, fmt.Sprintf("0 of %d steps pending", liteSteps(t))) {
		t.Errorf("plan afterwards: %d %s", code, out)
	}
}

// Several processes on an empty database: all succeed and each step runs once.
func TestMigrateInParallel(t *testing.T) {
	t.Parallel()
	for range 3 {
		i := install(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
		var wg sync.WaitGroup
		var steps atomic.Int32
		for range 4 {
			wg.Go(func() {
				out, errs, code := i.run("", "migrate")
				if code != 0 {
					t.Errorf("%d %s%s", code, out, errs)
				}
				n, _ := strconv.Atoi(strings.Fields(out + "0")[0])
				steps.Add(int32(n))
			})
		}
		wg.Wait()
		if int(steps.Load()) != liteSteps(t) {
			t.Errorf("%d steps were run", steps.Load())
		}
		if info, err := os.Stat(sqldb.FilePath(i.database)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file is readable by others: %v, %v", info.Mode(), err)
		}
	}
}

// The first operator: by a link that works once and only while there is none, or by the command line.
func TestFirstOperator(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		p := i.start()
		waitFor(t, "the link is printed", func() bool { return strings.Contains(p.stderr.String(), "#token=") })
		_, rest, _ := strings.Cut(p.stderr.String(), i.url+"/setup#token=")
		token, _, _ := strings.Cut(rest, "\n")
		if status, _, _ := i.get("/setup", ""); status != 200 {
			t.Errorf("the page: %d", status)
		}
		setup := func(token, password string) (int, map[string]any) {
			status, body, err := i.post("/v1/setup",
				map[string]any{"token": token, "email": "operator@platform.example", "password": password}, "")
			if err != nil {
				t.Fatal(err)
			}
			return status, body
		}
		if status, body := setup("guess", operatorPassword); status != 401 {
			t.Errorf("a guessed token: %d %v", status, body)
		}
		if status, body := setup(token, "short"); status != 400 {
			t.Errorf("a weak password: %d %v", status, body)
		}
		if status, body := setup(token, operatorPassword); status != 201 || body["role"] != "super_admin" {
			t.Errorf("set-up: %d %v", status, body)
		}
		if status, body := setup(token, operatorPassword); status != 401 {
			t.Errorf("the second use: %d %v", status, body)
		}
		access, _ := i.signIn()
		if status, _, _ := i.get("/v1/organizations", access); status != 200 {
			t.Errorf("the operator may not list organizations: %d", status)
		}
		p.kill()
		p = i.start()
		if strings.Contains(p.stderr.String(), "#token=") {
			t.Error("a link is offered although there is an operator")
		}
		if _, errs, code := i.run("weak\n", "admin", "create", "--email", "second@platform.example"); code != 1 ||
			!strings.Contains(errs, "15 characters") {
			t.Errorf("a weak password: %d %s", code, errs)
		}
		if out, errs, code := i.run("another operator's sentence\n", "admin", "create", "--email",
			"second@platform.example"); code != 0 || !strings.Contains(out, "second@platform.example") {
			t.Errorf("a second operator: %d %s%s", code, out, errs)
		}
	})
}

// Keys are listed, rotated and revoked beside a running server, which follows at once.
func TestKeysCommand(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		i.operator()
		i.start()
		access, _ := i.signIn()
		list := func() map[string]string {
			out, errs, code := i.run("", "keys", "list", "--json")
			if code != 0 {
				t.Fatalf("%s%s", out, errs)
			}
			var keys []struct{ ID, Purpose, State string }
			if err := json.Unmarshal([]byte(out), &keys); err != nil {
				t.Fatal(err)
			}
			states := map[string]string{}
			for _, k := range keys {
				states[k.Purpose+" "+k.State] = k.ID
			}
			return states
		}
		before := list()
		if len(before) != 4 {
			t.Errorf("keys %v", before)
		}
		if _, errs, code := i.run("", "keys", "rotate"); code != 1 ||
			!strings.Contains(errs, "caches may not have it") {
			t.Errorf("an early rotation: %d %s", code, errs)
		}
		if out, errs, code := i.run("", "keys", "rotate", "--force"); code != 0 {
			t.Fatalf("%s%s", out, errs)
		}
		after := list()
		if after["session active"] != before["session next"] || after["session retired"] != before["session active"] {
			t.Errorf("before %v, after %v", before, after)
		}
		if status, _, _ := i.get("/v1/auth/me", access); status != 200 {
			t.Errorf("a token of the retired key: %d", status)
		}
		waitFor(t, "the running server signs with the new key", func() bool {
			fresh, _ := i.signIn()
			raw, _ := base64Decode(strings.Split(fresh, ".")[0])
			return strings.Contains(string(raw), after["session active"])
		})
		if out, errs, code := i.run("", "keys", "revoke", after["session retired"]); code != 0 {
			t.Fatalf("%s%s", out, errs)
		}
		waitFor(t, "the running server refuses the revoked key", func() bool {
			status, _, _ := i.get("/v1/auth/me", access)
			return status == 401
		})
	})
}

// F5: metrics on their own loopback listener; none on the public one.
func TestF5_Metrics(t *testing.T) {
	t.Parallel()
	i := install(t, sqldbtest.SQLite(t))
	port := freePort(t)
	i.env = append(i.env, "GATEHOUSE_METRICS_LISTEN=127.0.0.1:"+port)
	i.start()
	i.get("/v1/auth/me", "")
	r, err := http.Get("http://127.0.0.1:" + port + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	raw, _ := io.ReadAll(r.Body)
	if !strings.Contains(string(raw),
		`gatehouse_http_request_duration_seconds_count{method="GET",route="/v1/auth/me",status="401"} 1`) ||
		!strings.Contains(string(raw), "go_goroutines") {
		t.Errorf("%.500s", raw)
	}
	if status, _, _ := i.get("/metrics", ""); status != 404 {
		t.Errorf("metrics on the public listener: %d", status)
	}
	i.env = append(i.env, "GATEHOUSE_METRICS_LISTEN=0.0.0.0:9464")
	if _, errs, code := i.run("", "config", "check"); code != 2 || !strings.Contains(errs, "metrics.listen") {
		t.Errorf("metrics for everyone: %d %s", code, errs)
	}
}

// F5: traces go to an OTLP endpoint when one is set, and name the route.
func TestF5_Traces(t *testing.T) {
	t.Parallel()
	got := make(chan string, 16)
	collector := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(raw)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go collector.Serve(l)
	defer collector.Close()
	i := install(t, sqldbtest.SQLite(t))
	i.env = append(i.env, "GATEHOUSE_TRACING_OTLP_ENDPOINT=http://"+l.Addr().String())
	p := i.start()
	i.get("/v1/auth/me", "")
	p.Process.Signal(syscall.SIGTERM) // stopping sends what is left
	<-p.done
	close(got)
	for spans := range got {
		if strings.HasPrefix(spans, "/v1/traces ") && strings.Contains(spans, "GET /v1/auth/me") {
			return
		}
	}
	t.Error("no span of the request came:", p.stderr)
}

// TLS: the certificate is served, and a changed file is taken up without a dropped connection.
func TestTLSReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(serial int64) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "127.0.0.1"},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().
					Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for name, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
			"cert.pem": {Type: "CERTIFICATE", Bytes: der}} {
			if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(1)
	i := install(t, sqldbtest.SQLite(t))
	port := freePort(t)
	i.env = append(i.env, "GATEHOUSE_TLS_LISTEN=127.0.0.1:"+port,
		"GATEHOUSE_TLS_CERTIFICATE_FILE="+filepath.Join(dir, "cert.pem"),
		"GATEHOUSE_TLS_KEY_FILE="+filepath.Join(dir, "key.pem"))
	i.start()
	dial := func() (*tls.Conn, int64) {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return conn, conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	first, serial := dial()
	defer first.Close()
	if serial != 1 {
		t.Errorf("serial %d", serial)
	}
	write(2)
	waitFor(t, "the new certificate is served", func() bool {
		conn, serial := dial()
		conn.Close()
		return serial == 2
	})
	if _, err := first.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(first); err != nil || !strings.HasPrefix(string(raw), "HTTP/1.1 200") {
		t.Errorf("the open connection was dropped: %v %.100s", err, raw)
	}
	if _, err := tls.Dial("tcp", "127.0.0.1:"+port,
		&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

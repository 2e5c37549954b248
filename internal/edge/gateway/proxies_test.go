package gateway_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// installed finds a proxy that make test installs.
func installed(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/" + name, "/usr/bin/" + name} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv(sqldbtest.PostgresEnv) != "" {
		t.Fatalf("%s is not installed; make test installs it", name)
	}
	t.Skipf("%s is not installed; make test installs it", name)
	return ""
}

// documented reads what the documentation prints between a beginning and the end of the block, with addresses replaced.
func documented(t *testing.T, begin string, addresses ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "forward-auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(text), begin)
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok1 || !ok2 {
		t.Fatalf("the documentation has no %q", begin)
	}
	for i := 0; i < len(addresses); i += 2 {
		if !strings.Contains(block, addresses[i]) {
			t.Fatalf("the configuration does not name %s", addresses[i])
		}
		block = strings.ReplaceAll(block, addresses[i], addresses[i+1])
	}
	return block
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// running starts a proxy, waits until it listens and stops it with the test.
func running(t *testing.T, address string, cmd *exec.Cmd) string {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(stop)
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("%s does not listen: %s", cmd.Path, log.String())
		}
	}
}

// caddy starts Caddy with the configuration that the documentation prints.
func caddy(t *testing.T, gatehouse, api string) string {
	t.Helper()
	binary, address, dir := installed(t, "caddy"), freeAddress(t), t.TempDir()
	site := documented(t, "```\napi.example.com {", "127.0.0.1:8080", strings.TrimPrefix(gatehouse, "http://"),
		"127.0.0.1:9000", strings.TrimPrefix(api, "http://"))
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte("{\n\tadmin off\n\tauto_https off\n}\nhttp://"+address+" {"+site),
		0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--config", path, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return running(t, address, cmd)
}

// nginx starts nginx with the configuration that the documentation prints.
func nginx(t *testing.T, gatehouse, api, question string) string {
	t.Helper()
	binary, address, dir := installed(t, "nginx"), freeAddress(t), t.TempDir()
	locations := documented(t, "```nginx\n", "http://127.0.0.1:8080/verify?permission=stations:read",
		gatehouse+question, "http://127.0.0.1:9000", api)
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen %[2]s; %[3]s }
}`, dir, address, locations)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return running(t, address, exec.Command(binary, "-c", path, "-p", dir, "-e", filepath.Join(dir, "error.log")))
}

// F1, B11: a real nginx, and a real Caddy, in front of an API that knows nothing of Gatehouse, with every kind of
// credential, as the documentation configures them.
func TestF1_BehindProxies(t *testing.T) {
	rules := `routes:
  - {methods: [GET], path: "/api/stations", permission: "stations:read"}
  - {methods: [POST], path: "/api/stations", permission: "stations:manage:all", token_for: "https://api.example.com"}
`
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	option := func(routes string) servertest.Option {
		return func(c *config.Config, _ *server.Options) {
			c.Resources, c.TrustedProxies, c.Gateway.RoutesFile = []string{"stations"}, []string{"127.0.0.1"}, routes
		}
	}
	stations := func(t *testing.T, seen *http.Header) string {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			*seen = r.Header.Clone()
			if r.URL.Path != "/api/stations" {
				w.WriteHeader(404)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`[{"id":1,"name":"Central"}]`))
		}))
		t.Cleanup(api.Close)
		return api.URL
	}
	byParameter := func(t *testing.T, native bool, start func(t *testing.T, gatehouse, api string) string) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			var seen http.Header
			proxy := &servertest.Server{URL: start(t, s.URL, stations(t, &seen))}
			admin := s.As(t, servertest.Admin)
			user := s.User(t, admin, "robot", "tenant_admin", "application")
			machines := []servertest.Machine{{Kind: "session_token", Value: s.Login(t, servertest.Admin).AccessToken},
				s.Key(t, admin, "", "stations:read:all"), s.AccessToken(t, admin, user), s.SystemToken(t, admin),
				s.ApplicationToken(t, admin, user), s.Client(t, admin, nil, "stations:read:all")}
			forged := servertest.Header("X-Auth-Role", "super_admin")
			for _, m := range machines {
				me := s.Do(t, "GET", "/v1/auth/me", nil, m.Send()).Want(t, 200)
				seen = nil
				r := proxy.Do(t, "GET", "/api/stations?page=1", nil, m.Send(), forged,
					servertest.Header("X-Auth-Subject", "usr_1"), servertest.Header("X-Forwarded-Uri", "/public")).
					Want(t, 200)
				if string(r.Body) != `[{"id":1,"name":"Central"}]` {
					t.Errorf("%s: %s", m.Kind, r.Body)
				}
				if fmt.Sprint(seen["X-Auth-Subject"]) != "["+me.String("id")+"]" ||
					seen.Get("X-Auth-Kind") != me.String("kind") || seen.Get("X-Auth-Organization") != "acme-corp" ||
					seen.Get("X-Auth-Role") == "super_admin" || seen.Get("X-Auth-Scope") != "all" {
					t.Errorf("%s: the API sees %v", m.Kind, seen)
				}
				if seen.Get("Authorization") != "" || seen.Get("X-Api-Key") != "" {
					t.Errorf("%s: the API gets the credential", m.Kind)
				}
			}
			poor := s.Key(t, admin, "", "tickets:read:all")
			seen = nil
			if r := proxy.Do(t, "GET", "/api/stations", nil, poor.Send()); r.Status != 403 {
				t.Errorf("without the permission: %d", r.Status)
			}
			r := proxy.Do(t, "GET", "/api/stations", nil)
			if r.Status != 401 || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("without a credential: %d %v", r.Status, r.Header)
			}
			for _, c := range []servertest.Change{servertest.Bearer("nonsense"),
				servertest.Header("X-API-Key", "tnt_1"), servertest.Header("X-Auth-Subject", "usr_1")} {
				if r := proxy.Do(t, "GET", "/api/stations", nil, c); r.Status != 401 {
					t.Errorf("a bad credential: %d", r.Status)
				}
			}
			if r := proxy.Do(t, "GET", "/_verify", nil, machines[1].Send()); r.Status != 404 {
				t.Errorf("the question can be asked from outside: %d", r.Status)
			}
			limited := servertest.Header("X-API-Key",
				s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x",
					"permissions": []string{"stations:read:all"}, "rateLimitPerMinute": 1}, admin).Want(t, 201).
					String("key"))
			proxy.Do(t, "GET", "/api/stations", nil, limited)
			seen = nil
			want := 403
			if native {
				want = 429
			}
			if r := proxy.Do(t, "GET", "/api/stations", nil, limited); r.Status != want || seen != nil {
				t.Errorf("over the limit: %d", r.Status)
			}
			s.Do(t, "DELETE", "/v1/api-keys/"+machines[1].ID, nil, admin).Want(t, 204)
			if r := proxy.Do(t, "GET", "/api/stations", nil, machines[1].Send()); r.Status != 401 || seen != nil {
				t.Errorf("revoked: %d, the API saw %v", r.Status, seen)
			}
		}, option(""))
	}
	t.Run("nginx", func(t *testing.T) {
		byParameter(t, false, func(t *testing.T, gatehouse, api string) string {
			return nginx(t, gatehouse, api, "/verify?permission=stations:read")
		})
	})
	t.Run("Caddy", func(t *testing.T) { byParameter(t, true, caddy) })
	t.Run("nginx with a routes file", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			var seen http.Header
			proxy := &servertest.Server{URL: nginx(t, s.URL, stations(t, &seen), "/verify")}
			admin := s.As(t, servertest.Admin)
			reader := s.Key(t, admin, "", "stations:read:all")
			proxy.Do(t, "GET", "/api/stations", nil, reader.Send()).Want(t, 200)
			proxy.Do(t, "POST", "/api/stations", map[string]any{"name": "x"}, reader.Send()).Want(t, 403)
			proxy.Do(t, "POST", "/api/stations", map[string]any{"name": "x"}, admin).Want(t, 200)
			if strings.Count(seen.Get("X-Auth-Token"), ".") != 2 {
				t.Errorf("no token for the API: %v", seen)
			}
			seen = nil
			for _, uri := range []string{"/api/other", "/api/stations/1", "/api/stations;x", "/api//stations",
				"/api/%2e%2e/stations"} {
				if r := proxy.Do(t, "GET", uri, nil, admin); r.Status < 400 || seen != nil {
					t.Errorf("%s: %d, the API saw %v", uri, r.Status, seen)
				}
			}
			// What the client says about its own request is overwritten.
			proxy.Do(t, "POST", "/api/stations", map[string]any{}, reader.Send(),
				servertest.Header("X-Original-Method", "GET"), servertest.Header("X-Forwarded-Method", "GET"),
				servertest.Header("X-Forwarded-Uri", "/api/stations")).Want(t, 403)
			if seen != nil {
				t.Errorf("the API saw %v", seen)
			}
		}, option(path))
	})
}

package gateway_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/platform/config"
	"gatehouse/internal/server"
	"gatehouse/test/servertest"
	"gatehouse/test/sqldbtest"
)

// nginx starts the proxy with the configuration that the documentation prints, between Gatehouse and an API.
func nginx(t *testing.T, gatehouse, api, question string) string {
	t.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		binary = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(binary); err != nil {
		if os.Getenv(sqldbtest.PostgresEnv) != "" {
			t.Fatal("nginx is not installed; make test installs it")
		}
		t.Skip("nginx is not installed; make test installs it")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "forward-auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(text), "```nginx\n")
	locations, _, ok2 := strings.Cut(rest, "```")
	if !ok1 || !ok2 {
		t.Fatal("the documentation has no configuration for nginx")
	}
	for old, fresh := range map[string]string{"http://127.0.0.1:8080/verify?permission=stations:read": gatehouse + question, "http://127.0.0.1:9000": api} {
		if !strings.Contains(locations, old) {
			t.Fatalf("the configuration does not name %s", old)
		}
		locations = strings.ReplaceAll(locations, old, fresh)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
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
	cmd := exec.Command(binary, "-c", path, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Fatalf("nginx does not listen: %s", log)
		}
	}
}

// F1, B11: a real nginx in front of an API that knows nothing of Gatehouse, with every kind of credential, as the documentation configures it.
func TestF1_BehindNginx(t *testing.T) {
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
	t.Run("permission by parameter", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			var seen http.Header
			proxy := &servertest.Server{URL: nginx(t, s.URL, stations(t, &seen), "/verify?permission=stations:read")}
			admin := s.As(t, servertest.Admin)
			user := s.User(t, admin, "robot", "tenant_admin", "application")
			machines := []servertest.Machine{{Kind: "session_token", Value: s.Login(t, servertest.Admin).AccessToken}, s.Key(t, admin, "", "stations:read:all"), s.AccessToken(t, admin, user), s.SystemToken(t, admin),
				s.ApplicationToken(t, admin, user), s.Client(t, admin, nil, "stations:read:all")}
			forged := servertest.Header("X-Auth-Role", "super_admin")
			for _, m := range machines {
				me := s.Do(t, "GET", "/v1/auth/me", nil, m.Send()).Want(t, 200)
				seen = nil
				r := proxy.Do(t, "GET", "/api/stations?page=1", nil, m.Send(), forged, servertest.Header("X-Auth-Subject", "usr_1"), servertest.Header("X-Forwarded-Uri", "/public")).Want(t, 200)
				if string(r.Body) != `[{"id":1,"name":"Central"}]` {
					t.Errorf("%s: %s", m.Kind, r.Body)
				}
				if fmt.Sprint(seen["X-Auth-Subject"]) != "["+me.String("id")+"]" || seen.Get("X-Auth-Kind") != me.String("kind") || seen.Get("X-Auth-Organization") != "acme-corp" || seen.Get("X-Auth-Role") == "super_admin" || seen.Get("X-Auth-Scope") != "all" {
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
			for _, c := range []servertest.Change{servertest.Bearer("nonsense"), servertest.Header("X-API-Key", "tnt_1"), servertest.Header("X-Auth-Subject", "usr_1")} {
				if r := proxy.Do(t, "GET", "/api/stations", nil, c); r.Status != 401 {
					t.Errorf("a bad credential: %d", r.Status)
				}
			}
			if r := proxy.Do(t, "GET", "/_verify", nil, machines[1].Send()); r.Status != 404 {
				t.Errorf("the question can be asked from outside: %d", r.Status)
			}
			limited := servertest.Header("X-API-Key", s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{"stations:read:all"}, "rateLimitPerMinute": 1}, admin).Want(t, 201).String("key"))
			proxy.Do(t, "GET", "/api/stations", nil, limited)
			seen = nil
			if r := proxy.Do(t, "GET", "/api/stations", nil, limited); r.Status != 403 {
				t.Errorf("over the limit: %d", r.Status)
			}
			s.Do(t, "DELETE", "/v1/api-keys/"+machines[1].ID, nil, admin).Want(t, 204)
			if r := proxy.Do(t, "GET", "/api/stations", nil, machines[1].Send()); r.Status != 401 || seen != nil {
				t.Errorf("revoked: %d, the API saw %v", r.Status, seen)
			}
		}, option(""))
	})
	t.Run("permission by routes file", func(t *testing.T) {
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
			for _, uri := range []string{"/api/other", "/api/stations/1", "/api/stations;x", "/api//stations", "/api/%2e%2e/stations"} {
				if r := proxy.Do(t, "GET", uri, nil, admin); r.Status < 400 || seen != nil {
					t.Errorf("%s: %d, the API saw %v", uri, r.Status, seen)
				}
			}
			// What the client says about its own request is overwritten.
			proxy.Do(t, "POST", "/api/stations", map[string]any{}, reader.Send(), servertest.Header("X-Original-Method", "GET"), servertest.Header("X-Forwarded-Method", "GET"), servertest.Header("X-Forwarded-Uri", "/api/stations")).Want(t, 403)
			if seen != nil {
				t.Errorf("the API saw %v", seen)
			}
		}, option(path))
	})
}

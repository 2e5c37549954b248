package gateway_test

import (
	"bytes"
	"fmt"
	"io"
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

// caddy starts Caddy with the configuration that the documentation prints, and with changes to it.
func caddy(t *testing.T, gatehouse, api string, changes ...string) string {
	t.Helper()
	binary, address, dir := installed(t, "caddy"), freeAddress(t), t.TempDir()
	site := documented(t, "```\napi.example.com {", "127.0.0.1:8080", strings.TrimPrefix(gatehouse, "http://"),
		"127.0.0.1:9000", strings.TrimPrefix(api, "http://"))
	site = strings.NewReplacer(changes...).Replace(site)
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte("{\n\tadmin off\n\tauto_https off\n}\nhttp://"+address+" {"+site),
		0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--config", path, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return running(t, address, cmd)
}

// nginx starts nginx with the configuration that the documentation prints, and with changes to it.
func nginx(t *testing.T, gatehouse, api, question string, changes ...string) string {
	t.Helper()
	binary, address, dir := installed(t, "nginx"), freeAddress(t), t.TempDir()
	locations := strings.NewReplacer(changes...).Replace(documented(t, "```nginx\n",
		"http://127.0.0.1:8080/verify?permission=stations:read", "http://gatehouse"+question, "http://127.0.0.1:9000",
		api))
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	upstream gatehouse { server %[4]s; keepalive 8; }
	server { listen %[2]s; %[3]s }
}`, dir, address, locations, strings.TrimPrefix(gatehouse, "http://"))
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
			// Whoever is refused learns why, as /verify itself would say it.
			for name, c := range map[string]struct {
				status     int
				word, code string
				changes    []servertest.Change
			}{
				"without the permission": {403, "forbidden", "FORBIDDEN", []servertest.Change{poor.Send()}},
				"without a credential":   {401, "unauthorized", "UNAUTHORIZED", nil},
				"a bad credential": {401, "invalid_token", "INVALID_TOKEN",
					[]servertest.Change{servertest.Bearer("a.b.c")}},
				"another method": {403, "invalid_method", "INVALID_METHOD", []servertest.Change{machines[1].Send(),
					servertest.Header("X-HTTP-Method-Override", "DELETE")}},
				"another address": {403, "invalid_path", "INVALID_PATH", []servertest.Change{machines[1].Send(),
					servertest.Header("X-Rewrite-URL", "/admin")}},
			} {
				r := proxy.Do(t, "GET", "/api/stations", nil, c.changes...)
				if r.Status != c.status || r.Header.Get("X-Auth-Error") != c.word || r.Code() != c.code ||
					r.Header.Get("Content-Type") != "application/problem+json" || r.String("detail") == "" ||
					c.status == 401 && !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer ") ||
					seen != nil {
					t.Errorf("%s: %d %v %s", name, r.Status, r.Header, r.Body)
				}
			}
			// What would name another method or address does not reach the API.
			proxy.Do(t, "GET", "/api/stations", nil, append(header("X-HTTP-Method-Override", "GET", "X-Rewrite-URL",
				"/api/stations", "X-Original-URL", "/api/stations", "Forwarded", "for=192.0.2.1;host=x"),
				machines[1].Send())...).Want(t, 200)
			for _, name := range []string{"X-Http-Method-Override", "X-Rewrite-Url", "X-Original-Url", "Forwarded"} {
				if seen[name] != nil {
					t.Errorf("the API gets %s", name)
				}
			}
			seen = nil
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
			s.Clock.NextMinute()
			proxy.Do(t, "GET", "/api/stations", nil, limited)
			seen = nil
			want := 403
			if native {
				want = 429
			}
			if r := proxy.Do(t, "GET", "/api/stations", nil, limited); r.Status != want || seen != nil ||
				r.Header.Get("X-Auth-Error") != "rate_limited" || r.Header.Get("Retry-After") == "" {
				t.Errorf("over the limit: %d %v", r.Status, r.Header)
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
	t.Run("Caddy", func(t *testing.T) {
		byParameter(t, true, func(t *testing.T, gatehouse, api string) string { return caddy(t, gatehouse, api) })
	})
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

// F1, WEB06: browsers' preflights reach the API through nginx and Caddy as the documentation has it, and nothing else
// does without a credential.
func TestF1_PreflightBehindProxies(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "routes.yaml")
	rules := "preflight: pass\nroutes:\n  - {path: /api/stations, permission: 'stations:read'}\n"
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Seen", r.Header.Get("X-Auth-Subject")+r.Header.Get("X-Auth-Role"))
	}))
	t.Cleanup(api.Close)
	in := func(routes string) servertest.Option {
		return func(c *config.Config, _ *server.Options) {
			c.Resources, c.TrustedProxies, c.Gateway.RoutesFile = []string{"stations"}, []string{"127.0.0.1"}, routes
		}
	}
	const first = "proxy_pass_request_body off;"
	for name, c := range map[string]struct {
		routes string
		start  func(t *testing.T, gatehouse string) string
		passes bool
	}{
		"nginx": {"", func(t *testing.T, gatehouse string) string {
			return nginx(t, gatehouse, api.URL, "/verify?permission=stations:read")
		}, false},
		"nginx with the documented piece": {"", func(t *testing.T, gatehouse string) string {
			return nginx(t, gatehouse, api.URL, "/verify?permission=stations:read",
				first, first+" set $preflight"+documented(t, "```nginx\n    set $preflight"))
		}, true},
		"nginx with a routes file": {path, func(t *testing.T, gatehouse string) string {
			return nginx(t, gatehouse, api.URL, "/verify")
		}, true},
		"Caddy": {"", func(t *testing.T, gatehouse string) string { return caddy(t, gatehouse, api.URL) }, false},
		"Caddy with the documented piece": {"", func(t *testing.T, gatehouse string) string {
			return caddy(t, gatehouse, api.URL, "forward_auth ", "@asked not {"+documented(t, "```\n\t\t@asked not {")+
				"\n\t\tforward_auth @asked ")
		}, true},
		"Caddy with a routes file": {path, func(t *testing.T, gatehouse string) string {
			return caddy(t, gatehouse, api.URL, "/verify?permission=stations:read&status=native", "/verify")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.New(t, sqldbtest.SQLite(t), in(c.routes))
			proxy := &servertest.Server{URL: c.start(t, s.URL)}
			preflight := header("Origin", "https://app.example.com", "Access-Control-Request-Method", "GET",
				"X-Auth-Role", "super_admin")
			r := proxy.Do(t, "OPTIONS", "/api/stations", nil, preflight...)
			if passed := r.Status == 200 && r.Header.Get("Access-Control-Allow-Origin") == "*"; passed != c.passes ||
				r.Header.Get("X-Seen") != "" {
				t.Errorf("a preflight: %d %v", r.Status, r.Header)
			}
			for what, more := range map[string][]servertest.Change{
				"OPTIONS":  header("Origin", "https://app.example.com"),
				"OPTIONS ": header("Access-Control-Request-Method", "GET"), "GET": preflight, "POST": preflight,
				"OPTIONS  ":  append(preflight[:2:2], servertest.Bearer("x")),
				"OPTIONS   ": append(preflight[:2:2], servertest.Header("Cookie", "a=b"))} {
				if r := proxy.Do(t, strings.TrimSpace(what), "/api/stations", nil, more...); r.Status != 401 {
					t.Errorf("%s: %d %v", what, r.Status, r.Header)
				}
			}
		})
	}
}

// F1: a proxy that announces the body of a request to /verify and keeps it to itself has its answer at once, each time.
func TestF1_BodyThatNobodySends(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqldbtest.SQLite(t), integrated(t, ""))
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	t.Cleanup(api.Close)
	proxy := &servertest.Server{URL: nginx(t, s.URL, api.URL, "/verify?permission=stations:read",
		`proxy_set_header Content-Length "";`, `proxy_http_version 1.1; proxy_set_header Connection "";`+
			`proxy_set_header Content-Length $content_length;`)}
	key := s.Key(t, s.As(t, servertest.Admin), "", "stations:read:all")
	start := time.Now()
	for range 10 {
		if r := proxy.Do(t, "POST", "/api/stations", "12345", key.Send()).Want(t, 200); string(r.Body) != "12345" {
			t.Errorf("the API had %q", r.Body)
		}
		proxy.Do(t, "POST", "/api/stations", "12345").Want(t, 401)
	}
	if took := time.Since(start); took > 20*time.Second { // machines may be slow; one such answer took 30 s
		t.Errorf("20 requests took %s", took)
	}
}

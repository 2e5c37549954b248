package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// integrated is a server for an API with stations behind a proxy on this machine.
func integrated(t *testing.T, rules string) servertest.Option {
	t.Helper()
	path := ""
	if rules != "" {
		path = filepath.Join(t.TempDir(), "routes.yaml")
		if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(c *config.Config, _ *server.Options) {
		c.Resources, c.TrustedProxies, c.Gateway.RoutesFile = []string{"stations"}, []string{"127.0.0.1"}, path
	}
}

const rules = `routes:
  - {methods: [GET], path: "/api/stations", permission: "stations:read"}
  - {methods: [GET], path: "/api/stations/{id}", permission: "stations:read:team"}
  - {methods: [POST, DELETE], path: "/api/stations/{id}", permission: "stations:manage:all", token_for: "https://api.example.com"}
  - {path: "/api/profile", authenticated: true}
  - {path: "/api/files/{rest...}", permission: "tickets:read"}
  - {methods: [GET], path: "/status", public: true}
  - {host: "admin.example.com", path: "/api/stations", permission: "users:manage:all"}
`

func names(h http.Header) string {
	var out []string
	for _, n := range []string{"Subject", "Kind", "Organization", "Organization-Id", "Role", "Permissions", "Scope",
		"Email", "Name", "Owner", "Session", "Token"} {
		if v, ok := h["X-Auth-"+n]; !ok || len(v) != 1 {
			out = append(out, n)
		}
	}
	return strings.Join(out, " ")
}

// F1, G12: every kind of credential passes with the permission and says who it is; without a credential, with a bad
// one, without the permission.
func TestF1_EveryKind(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, m := range s.Seeded(t) {
			me := s.Do(t, "GET", "/v1/auth/me", nil, m.Send()).Want(t, 200)
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PROPFIND"} {
				r := s.Do(t, method, "/verify?permission=tickets:read", nil, m.Send()).Want(t, 200)
				for header, want := range map[string]string{"Subject": me.String("id"), "Kind": me.String("kind"),
					"Organization": "acme-corp", "Organization-Id": me.String("organizationId"), "Scope": "all",
					"Token":       "",
					"Permissions": strings.Trim(fmt.Sprint(me.Get("permissions")), "[]"),
					"Session":     me.String("sessionId"), "Email": me.String("email"), "Owner": me.String("ownerId")} {
					if got := r.Header.Get("X-Auth-" + header); got != want {
						t.Errorf("%s %s: X-Auth-%s is %q, want %q", method, m.Kind, header, got, want)
					}
				}
				if missing := names(r.Header); missing != "" || len(r.Body) != 0 ||
					r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s %s: missing %s; %v %s", method, m.Kind, missing, r.Header, r.Body)
				}
			}
			r := s.Do(t, "GET", "/verify?permission=users:read", nil, m.Send())
			if r.Status != 403 || r.Code() != "FORBIDDEN" || r.Header.Get("X-Auth-Error") != "forbidden" ||
				!strings.Contains(r.Header.Get("WWW-Authenticate"), "insufficient_scope") ||
				r.Header.Get("X-Auth-Subject") != "" {
				t.Errorf("%s: %d %v %s", m.Kind, r.Status, r.Header, r.Body)
			}
			s.Do(t, "GET", "/verify", nil, m.Send()).Want(t, 200)
			s.Do(t, "GET", "/verify", nil, m.Send(), servertest.Header("X-Tenant-Slug", "second-tenant")).
				Want(t, 403, "TENANT_MISMATCH")
		}
		for name, c := range map[string][]servertest.Change{
			"none": nil, "garbage": {servertest.Bearer("a.b.c")},
			"a garbled key":   {servertest.Header("X-API-Key", "tnt_1")},
			"another scheme":  {servertest.Header("Authorization", "Basic eDp5")},
			"two":             {servertest.Bearer("a.b.c"), servertest.Header("X-API-Key", "tnt_1")},
			"one twice":       {servertest.Bearer("a.b.c"), servertest.Bearer("a.b.c")},
			"a refresh token": {servertest.Bearer(s.Login(t, servertest.Admin).RefreshToken)},
			"a client secret": {servertest.Bearer(s.Seeds.Clients[0].ClientSecret)},
			"a cookie twice":  {servertest.Header("Cookie", "itsm_auth_token=a; itsm_auth_token=b")},
		} {
			r := s.Do(t, "GET", "/verify?permission=tickets:read", nil, c...)
			if r.Status != 401 || r.Header.Get("Content-Type") != "application/problem+json" ||
				!strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer ") || r.Header.Get("X-Auth-Error") == "" ||
				r.Header.Get("X-Auth-Subject") != "" {
				t.Errorf("%s: %d %v %s", name, r.Status, r.Header, r.Body)
			}
		}
		// What is asked wrongly is never answered with yes.
		key := servertest.Header("X-API-Key", s.Seeds.APIKeys[0].Key)
		for _, q := range []string{"permission=", "permission=tickets", "permission=tickets:fly",
			"permission=stars:read", "permission=tickets:read:everything", "permision=tickets:read",
			"permission=tickets:read&permission=users:read", "Permission=tickets:read",
			"permission=tickets:read&debug=1", "status=true", "token_for=", "permission=tickets:read;x=y",
			"permission=%zz", "token_for=" + servertest.PublicURL, "token_for=" + servertest.PublicURL + "/api"} {
			if r := s.Do(t, "GET", "/verify?"+q, nil, key); r.Status != 403 ||
				r.Header.Get("X-Auth-Error") != "invalid_question" {
				t.Errorf("%s: %d %s", q, r.Status, r.Body)
			}
		}
	})
}

// F1: the permission by scope, and resources of the integrator's own.
func TestF1_OwnResources(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "technician",
			"permissions": []string{"stations:read:team"}}, admin).Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Agent), map[string]any{"role": "technician"}, admin).
			Want(t, 200)
		technician := s.As(t, servertest.Agent)
		for q, want := range map[string]int{"stations:read": 200, "stations:read:own": 200, "stations:read:team": 200,
			"stations:read:all": 403, "stations:update": 403, "tickets:read": 403} {
			r := s.Do(t, "GET", "/verify?permission="+q, nil, technician)
			if r.Status != want || want == 200 && r.Header.Get("X-Auth-Scope") != "team" {
				t.Errorf("%s: %d %v", q, r.Status, r.Header)
			}
		}
		if r := s.Do(t, "GET", "/verify?permission=stations:delete", nil, admin).
			Want(t, 200); r.Header.Get("X-Auth-Scope") != "all" {
			t.Errorf("%v", r.Header)
		}
		c := s.Client(t, admin, nil, "stations:read:all")
		s.Do(t, "GET", "/verify?permission=stations:read:all", nil, c.Send()).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, c.Send()).Want(t, 403)
		if sat := s.Do(t, "GET", "/verify?permission=stations:update:all", nil, s.SystemToken(t, admin).
			Send()); sat.Status != 200 {
			t.Errorf("a system access token has the organization's data by default: %d", sat.Status)
		}
	}, integrated(t, ""))
}

// F1: a token for the API behind the proxy, verifiable by the published keys, worthless here, short-lived.
func TestF1_UpstreamToken(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		key := servertest.Header("X-API-Key", s.Seeds.APIKeys[0].Key)
		const question = "/verify?permission=tickets:read&token_for=https://api.example.com"
		token := s.Do(t, "GET", question, nil, key).Want(t, 200).Header.Get("X-Auth-Token")
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			t.Fatalf("%q", token)
		}
		read := func(part string) (m map[string]any) {
			raw, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		header, claims := read(parts[0]), read(parts[1])
		if header["typ"] != "fwd+jwt" || claims["aud"] != "https://api.example.com" ||
			claims["iss"] != servertest.PublicURL || claims["sub"] != s.Seeds.APIKeys[0].ID ||
			claims["kind"] != "api_key" || claims["organization"] != "acme-corp" ||
			fmt.Sprint(claims["permissions"]) != "[reports:read:all tickets:manage:all]" ||
			claims["exp"].(float64)-claims["iat"].(float64) > 60 {
			t.Errorf("%v %v", header, claims)
		}
		for _, path := range []string{"/v1/auth/me", "/v1/tickets", "/verify"} {
			s.Do(t, "GET", path, nil, servertest.Bearer(token)).Want(t, 401)
		}
		if again := s.Do(t, "GET", question, nil, key).Want(t, 200).Header.Get("X-Auth-Token"); again != token {
			t.Error("the same caller at the same moment costs another signature")
		}
		if other := s.Do(t, "GET", question+"2", nil, key).Want(t, 200).Header.Get("X-Auth-Token"); other == token {
			t.Error("another audience gets the same token")
		}
		if other := s.Do(t, "GET", question, nil, s.As(t, servertest.Admin)).
			Want(t, 200).Header.Get("X-Auth-Token"); other == token {
			t.Error("another caller gets the same token")
		}
		s.Clock.Advance(45 * time.Second)
		if later := s.Do(t, "GET", question, nil, key).Want(t, 200).Header.Get("X-Auth-Token"); later == token {
			t.Error("a token that is nearly over is given again")
		}
		// Whoever is refused gets none, though one was made a moment ago.
		s.Do(t, "DELETE", "/v1/api-keys/"+s.Seeds.APIKeys[0].ID, nil, s.As(t, servertest.Admin)).Want(t, 204)
		if r := s.Do(t, "GET", question, nil, key); r.Status != 401 || r.Header.Get("X-Auth-Token") != "" {
			t.Errorf("%d %v", r.Status, r.Header)
		}
	}, integrated(t, ""))
}

// F1: who is no trusted proxy has no token signed for anybody; nobody has one without a caller; a narrower credential
// does not speak for its role.
func TestF1_TokensForProxiesOnly(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "GET", "/verify?token_for=https://api.example.com", nil, s.As(t, servertest.Admin))
		if r.Status != 403 || r.Header.Get("X-Auth-Token") != "" ||
			r.Header.Get("X-Auth-Error") != "invalid_question" || r.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%d %v", r.Status, r.Header)
		}
	})
}

func TestF1_NobodysToken(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := s.Do(t, "GET", "/verify?token_for=https://api.example.com", nil,
			header("X-Original-Method", "GET", "X-Original-URI", "/status", "X-Original-Host", "api.example.com")...)
		if r.Status != 200 || r.Header.Get("X-Auth-Token") != "" || r.Header.Get("X-Auth-Subject") != "" {
			t.Errorf("%d %v", r.Status, r.Header)
		}
		for _, odd := range [][]string{{"CONNECT", "api.example.com"}, {"GET", "a, admin.example.com"},
			{"GET", "admin.example.com/x"}, {"GET", "admin.example.com:80:80"}, {"GET", "."}, {"GET", ":443"},
			{"GET", "admin..example.com"}, {"GET", "[::1"}, {"GET", "admin.example.com:http"}, {"G ET", "x"},
			{"GET", strings.Repeat("a", 300)}} {
			r := s.Do(t, "GET", "/verify", nil, header("X-Original-Method", odd[0], "X-Original-URI", "/status",
				"X-Original-Host", odd[1])...)
			if r.Status != 403 || r.Header.Get("X-Auth-Error") != "invalid_question" {
				t.Errorf("%v: %d %v", odd, r.Status, r.Header)
			}
		}
		r = s.Do(t, "GET", "/verify", nil,
			append(header("X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/status", "X-Forwarded-Host",
				"a.example.com"), servertest.Header("X-Forwarded-Host", "b.example.com"))...)
		r.Want(t, 403, "INVALID_QUESTION")
		admin := s.As(t, servertest.Admin)
		user := s.UserID(t, servertest.Admin)
		narrow := s.Do(t, "POST", "/v1/access-tokens", map[string]any{"name": "x", "resources": []string{"tickets"}},
			admin).Want(t, 201).String("token")
		whole := s.AccessToken(t, admin, user)
		for value, role := range map[string]string{narrow: "", whole.Value: "tenant_admin"} {
			got := s.Do(t, "GET", "/verify?permission=tickets:read", nil, servertest.Bearer(value)).Want(t, 200)
			if got.Header.Get("X-Auth-Role") != role {
				t.Errorf("role %q, want %q", got.Header.Get("X-Auth-Role"), role)
			}
		}
		if got := s.Do(t, "GET", "/verify?permission=tickets:read", nil, s.Key(t, admin, "", "tickets:read:all").
			Send()).Want(t, 200); got.Header.Get("X-Auth-Role") != "" || got.Header.Get("X-Auth-Owner") != user {
			t.Errorf("%v", got.Header)
		}
		// The scope that is missing is named.
		if got := s.Do(t, "GET", "/verify?permission=users:read:all", nil,
			s.As(t, servertest.Agent)); !strings.Contains(string(got.Body), "users:read:all") {
			t.Errorf("%s", got.Body)
		}
	}, integrated(t, rules+"status: native\n"))
}

// ask is what a proxy sends about a request.
type ask func(method, host, uri string) (string, string, []servertest.Change)

func header(pairs ...string) []servertest.Change {
	var out []servertest.Change
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, servertest.Header(pairs[i], pairs[i+1]))
	}
	return out
}

// proxies are the requests that each proxy documents.
var proxies = map[string]ask{
	"nginx auth_request": func(method, host, uri string) (string, string, []servertest.Change) {
		return "GET", "/verify", header("X-Original-Method", method, "X-Original-URI", uri, "X-Original-Host", host,
			"X-Forwarded-For", "198.51.100.1")
	},
	"Traefik ForwardAuth": func(method, host, uri string) (string, string, []servertest.Change) {
		return "GET", "/verify", header("X-Forwarded-Method", method, "X-Forwarded-Uri", uri, "X-Forwarded-Host", host,
			"X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.1", "X-Forwarded-Port", "443",
			"X-Forwarded-Server", "edge", "X-Real-Ip", "198.51.100.1", "Accept-Encoding", "gzip")
	},
	"Caddy forward_auth": func(method, host, uri string) (string, string, []servertest.Change) {
		return "GET", "/verify", header("X-Forwarded-Method", method, "X-Forwarded-Uri", uri, "X-Forwarded-Host", host,
			"X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.1", "Via", "1.1 Caddy")
	},
	"Envoy ext_authz": func(method, host, uri string) (string, string, []servertest.Change) {
		return method, "/verify" + uri, append(header("X-Forwarded-For", "198.51.100.1", "X-Envoy-Internal", "true",
			"Content-Length", "0"), servertest.Host(host))
	},
}

// F1, WEB08: a routes file decides by method and path, for each proxy's way of asking; what it does not name is denied,
// and a path that can be read in two ways is.
func TestF1_RoutesFile(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "technician",
			"permissions": []string{"stations:read:team"}}, admin).Want(t, 201)
		s.Do(t, "PATCH", "/v1/users/"+s.UserID(t, servertest.Agent), map[string]any{"role": "technician"}, admin).
			Want(t, 200)
		technician := s.As(t, servertest.Agent)
		anonymous := servertest.Header("X-Nothing", "1")
		for name, proxy := range proxies {
			for _, c := range []struct {
				method, uri string
				who         servertest.Change
				status      int
				word        string
			}{
				{"GET", "/api/stations", technician, 200, ""}, {"HEAD", "/api/stations", technician, 200, ""},
				{"GET", "/api/stations?page=2&permission=x", technician, 200, ""},
				{"GET", "/api/stations/7", technician, 200, ""},
				{"GET", "/api/stations/J%C3%BCrgen", technician, 200, ""},
				{"POST", "/api/stations/7", technician, 403, "forbidden"}, {"POST", "/api/stations/7", admin, 200, ""},
				{"DELETE", "/api/stations/7", admin, 200, ""},
				{"GET", "/api/stations", anonymous, 401, "unauthorized"},
				{"PATCH", "/api/profile", technician, 200, ""}, {"GET", "/api/profile", anonymous, 401, "unauthorized"},
				{"GET", "/status", anonymous, 200, ""}, {"POST", "/status", admin, 403, "no_route"},
				{"GET", "/", admin, 403, "no_route"}, {"GET", "/api/stations/7/8", admin, 403, "no_route"},
				{"GET", "/api/stations/", admin, 403, "no_route"},
				{"GET", "/api/files", admin, 403, "no_route"}, {"PUT", "/api/stations", admin, 403, "no_route"},
				{"GET", "/api/Stations", admin, 403, "no_route"}, {"GET", "/api/files/a/b", admin, 200, ""},
				{"GET", "/status/../api/stations", admin, 403, "invalid_path"},
				{"GET", "/status/%2e%2e/api/stations", admin, 403, "invalid_path"},
				{"GET", "//api/stations", admin, 403, "invalid_path"},
				{"GET", "/api//stations", admin, 403, "invalid_path"},
				{"GET", "/api/stations/..;/x", admin, 403, "invalid_path"},
				{"GET", "/api%2fstations", admin, 403, "invalid_path"},
				{"GET", "/api/stations/%2F7", admin, 403, "invalid_path"},
				{"GET", "/api/stations/%5c7", admin, 403, "invalid_path"},
				{"GET", "/api/stations;a=b", admin, 403, "invalid_path"},
				{"GET", "/api/stations/%00", admin, 403, "invalid_path"},
				{"GET", "/api/stations/%252e", admin, 403, "invalid_path"},
				{"GET", "/./status", anonymous, 403, "invalid_path"},
				{"GET", "/api/stations/%ff", admin, 403, "invalid_path"},
				{"GET", "/api/stations/%3Fx", admin, 403, "invalid_path"},
				{"GET", "/api/stations/%0d", admin, 403, "invalid_path"},
				{"GET", "/status/.", anonymous, 403, "invalid_path"},
			} {
				method, path, changes := proxy(c.method, "api.example.com", c.uri)
				r := s.Do(t, method, path, nil, append(changes, c.who)...)
				if r.Status != c.status || r.Header.Get("X-Auth-Error") != c.word {
					t.Errorf("%s: %s %s: %d %s, want %d %s", name, c.method, c.uri, r.Status,
						r.Header.Get("X-Auth-Error"), c.status, c.word)
				}
				if c.status == 200 {
					if missing := names(r.Header); missing != "" {
						t.Errorf("%s: %s %s misses %s", name, c.method, c.uri, missing)
					}
					if wants := c.method == "POST" ||
						c.method == "DELETE"; (r.Header.Get("X-Auth-Token") != "") != wants {
						t.Errorf("%s: %s %s has the token %q", name, c.method, c.uri, r.Header.Get("X-Auth-Token"))
					}
					if public := c.uri == "/status"; (r.Header.Get("X-Auth-Subject") == "") != public {
						t.Errorf("%s: %s %s is %q", name, c.method, c.uri, r.Header.Get("X-Auth-Subject"))
					}
				}
			}
			// A rule for one host.
			method, path, changes := proxy("GET", "admin.example.com", "/api/stations")
			s.Do(t, method, path, nil, append(changes, technician)...).Want(t, 403)
			s.Do(t, method, path, nil, append(changes, admin)...).Want(t, 200)
			for _, spelled := range []string{"ADMIN.example.com", "admin.example.com.", "Admin.Example.Com:8443",
				"admin.example.com:443"} {
				method, path, changes := proxy("GET", spelled, "/api/stations")
				if r := s.Do(t, method, path, nil, append(changes, technician)...); r.Status != 403 {
					t.Errorf("%s: the host %s escapes its rule: %d", name, spelled, r.Status)
				}
			}
		}
		// A proxy that does not say, or says it twice, gets no yes.
		for name, changes := range map[string][]servertest.Change{
			"no host": header("X-Original-URI", "/api/stations", "X-Original-Method", "GET"), "nothing": nil,
			"no method": header("X-Original-URI", "/status"), "no path": header("X-Original-Method", "GET"),
			"two paths": header("X-Original-URI", "/status", "X-Original-URI", "/api/stations", "X-Original-Method",
				"GET"),
			"two accounts": header("X-Original-URI", "/api/stations", "X-Original-Method", "GET", "X-Forwarded-Uri",
				"/status", "X-Forwarded-Method", "GET"),
			"two methods": header("X-Original-URI", "/status", "X-Original-Method", "GET", "X-Original-Method",
				"POST"),
		} {
			if r := s.Do(t, "GET", "/verify", nil, append(changes, admin)...); r.Status != 403 ||
				r.Header.Get("X-Auth-Error") != "invalid_question" {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
	}, integrated(t, rules))
}

// WEB07, ATK32, R9700-22: what a client forges does nothing: X-Auth-* is not read, look-alikes are refused, and what is
// said about another request is believed from a trusted proxy only.
func TestWEB07_ForgedHeaders(t *testing.T) {
	forged := header("X-Auth-Subject", "usr_1", "X-Auth-Role", "super_admin", "X-Auth-Permissions", "users:manage:all",
		"X-Auth-Organization", "second-tenant", "X-Auth-Kind", "user", "X-Auth-Token", "x", "X-Auth-Error", "x")
	t.Run("through a proxy", func(t *testing.T) {
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			key := servertest.Header("X-API-Key", s.Seeds.APIKeys[0].Key)
			r := s.Do(t, "GET", "/verify?permission=tickets:read", nil, append(forged, key)...).Want(t, 200)
			if r.Header.Get("X-Auth-Subject") != s.Seeds.APIKeys[0].ID || r.Header.Get("X-Auth-Role") != "" ||
				r.Header.Get("X-Auth-Token") != "" || len(r.Header.Values("X-Auth-Subject")) != 1 {
				t.Errorf("%v", r.Header)
			}
			s.Do(t, "GET", "/verify?permission=users:read", nil, append(forged, key)...).Want(t, 403)
			s.Do(t, "GET", "/verify", nil, forged...).Want(t, 401)
			for _, name := range []string{"X_Auth_Subject", "X-Auth_Role", "x_auth_anything", "X_Forwarded_For",
				"X_Original_Uri"} {
				r := s.Do(t, "GET", "/verify", nil, key, func(r *http.Request) { r.Header[name] = []string{"x"} })
				if r.Status != 403 || r.Header.Get("X-Auth-Error") != "forged_header" {
					t.Errorf("%s: %d %v", name, r.Status, r.Header)
				}
			}
		}, integrated(t, ""))
	})
	t.Run("from anybody", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "routes.yaml")
		if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			for _, pair := range [][]string{{"X-Original-URI", "X-Original-Method"},
				{"X-Forwarded-Uri", "X-Forwarded-Method"}} {
				r := s.Do(t, "GET", "/verify", nil, header(pair[0], "/status", pair[1], "GET")...)
				if r.Status != 403 || r.Header.Get("X-Auth-Error") != "invalid_question" {
					t.Errorf("an untrusted peer is believed: %d %v", r.Status, r.Header)
				}
			}
		}, func(c *config.Config, _ *server.Options) {
			c.Resources, c.Gateway.RoutesFile = []string{"stations"}, path
		})
	})
}

// F1, WEB08: in the words of each proxy, no spelling, no second method and no second address that an API may honour
// gets by with less than it needs; every refusal tells why in its body and, for nginx, in a header.
func TestWEB08_OtherReadings(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin, poor := s.As(t, servertest.Admin), servertest.Header("X-API-Key", s.Seeds.APIKeys[0].Key)
		for name, proxy := range proxies {
			for _, c := range []struct {
				method, uri string
				more        []servertest.Change
				status      int
				word        string
			}{
				{"GET", "/admin", nil, 403, "forbidden"}, {"GET", "/other", nil, 200, ""},
				{"GET", "/admin/", nil, 403, "invalid_path"}, {"GET", "/Admin", nil, 403, "invalid_path"},
				{"GET", "/admin%20", nil, 403, "invalid_path"}, {"GET", "/admin.json", nil, 403, "invalid_path"},
				{"GET", "/%D0%B0dmin", nil, 403, "invalid_path"}, {"GET", "/Other/", nil, 200, ""},
				{"POST", "/notes", nil, 200, ""}, {"DELETE", "/notes", nil, 403, "forbidden"},
				{"POST", "/notes", header("X-HTTP-Method-Override", "DELETE"), 403, "invalid_method"},
				{"POST", "/notes", header("X-HTTP-Method-Override", "PUT"), 200, ""},
				{"POST", "/notes?_method=DELETE", nil, 403, "invalid_method"},
				{"GET", "/other", header("X-Rewrite-URL", "/admin"), 403, "invalid_path"},
				{"GET", "/other", header("X-Original-URL", "/admin"), 403, "invalid_path"},
				{"GET", "/other", header("X-Rewrite-URL", "/other"), 200, ""},
				{"GET", "/other", header("X-Rewrite-URL", "/open"), 403, "invalid_path"},
				{"GET", "/open", nil, 200, ""},
			} {
				method, path, changes := proxy(c.method, "api.example.com", c.uri)
				r := s.Do(t, method, path, nil, append(append(changes, c.more...), poor)...)
				if r.Status != c.status || r.Header.Get("X-Auth-Error") != c.word {
					t.Errorf("%s: %s %s: %d %s, want %d %s", name, c.method, c.uri, r.Status,
						r.Header.Get("X-Auth-Error"), c.status, c.word)
				}
				if problem := r.Header.Get("X-Auth-Problem"); c.status == 200 && problem != "" ||
					c.status == 403 && problem != string(r.Body) {
					t.Errorf("%s: %s %s: the header has %q, the body %s", name, c.method, c.uri, problem, r.Body)
				}
			}
			for _, underscored := range []string{"X_HTTP_Method_Override", "X_Rewrite_URL", "X-HTTP_Method-Override"} {
				method, path, changes := proxy("GET", "api.example.com", "/other")
				s.Do(t, method, path, nil, append(changes, admin, func(r *http.Request) {
					r.Header[underscored] = []string{"x"}
				})...).Want(t, 403, "FORGED_HEADER")
			}
		}
		// Where the proxy names the permission, nobody knows what another method or address would need.
		for _, c := range []struct {
			more   []servertest.Change
			status int
		}{
			{nil, 200}, {header("X-Original-Method", "POST", "X-Original-URI", "/notes"), 200},
			{header("X-HTTP-Method-Override", "DELETE"), 403}, {header("X-Rewrite-URL", "/admin"), 403},
			{header("X-Original-Method", "POST", "X-Original-URI", "/notes", "X-HTTP-Method-Override", "DELETE"), 403},
			{header("X-Original-Method", "POST", "X-Original-URI", "/notes", "X-HTTP-Method-Override", "POST"), 200},
			{header("X-Original-Method", "POST", "X-Original-URI", "/notes?_method=DELETE"), 403},
			{header("X-Original-Method", "GET", "X-Original-URI", "/other", "X-Original-URL", "/admin"), 403},
			{header("X-Original-Method", "GET", "X-Original-URI", "/other", "X-Original-URL", "/other?x"), 200},
		} {
			s.Do(t, "GET", "/verify?permission=tickets:read", nil, append(c.more, poor)...).Want(t, c.status)
		}
		// A cookie is held to the origins where one of the two methods changes something.
		cookie := servertest.Header("Cookie", "itsm_auth_token="+s.Login(t, servertest.Admin).AccessToken)
		for uri, status := range map[string]int{"/other": 200, "/other?_method=POST": 403} {
			told := header("X-Original-Method", "GET", "X-Original-URI", uri)
			s.Do(t, "GET", "/verify", nil, append(told, cookie)...).Want(t, status)
		}
	}, integrated(t, readingRules))
}

const readingRules = `routes:
  - {path: "/admin", permission: "users:manage"}
  - {path: "/open", public: true}
  - {methods: [POST, PUT], path: "/notes", permission: "tickets:create"}
  - {methods: [DELETE], path: "/notes", permission: "users:manage"}
  - {path: "/{rest...}", authenticated: true}
`

// F1, WEB06: with preflight: pass a browser's question before a request across origins needs no credential; nothing
// else does, and without it nothing at all.
func TestF1_Preflight(t *testing.T) {
	cases := []struct {
		method, uri string
		more        []servertest.Change
		passes      bool
	}{
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "DELETE"), true},
		{"OPTIONS", "/notes", header("Origin", "null", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization"), true},
		{"OPTIONS", "/notes", nil, false},
		{"OPTIONS", "/notes", header("Origin", "https://app.example.com"), false},
		{"OPTIONS", "/notes", header("Access-Control-Request-Method", "POST"), false},
		{"OPTIONS", "/notes", header("Origin", "", "Access-Control-Request-Method", "POST"), false},
		{"GET", "/notes", header("Origin", "https://app.example.com", "Access-Control-Request-Method", "POST"), false},
		{"POST", "/notes", header("Origin", "https://app.example.com", "Access-Control-Request-Method", "POST"), false},
		{"OPTIONS", "/Notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "DELETE"), false},
		{"OPTIONS", "/notes;x", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "no one"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Method", "GET"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST",
			"X-HTTP-Method-Override", "DELETE"), false},
		{"OPTIONS", "/notes?_method=DELETE", header("Origin", "https://a.example", "Access-Control-Request-Method",
			"POST"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST",
			"X-Rewrite-URL", "/admin"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST",
			"Authorization", "Bearer x"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST", "Cookie",
			"a=b"), false},
		{"OPTIONS", "/notes", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST",
			"X-API-Key", "x"), false},
		{"OPTIONS", "/nothing", header("Origin", "https://a.example", "Access-Control-Request-Method", "POST"), false},
	}
	closed, _, _ := strings.Cut(readingRules, `  - {path: "/{rest...}"`)
	for text, pass := range map[string]bool{"preflight: pass\n" + closed: true, closed: false} {
		t.Run(fmt.Sprint(pass), func(t *testing.T) {
			servertest.Each(t, func(t *testing.T, s *servertest.Server) {
				for name, proxy := range proxies {
					for _, c := range cases {
						method, path, changes := proxy(c.method, "api.example.com", c.uri)
						r := s.Do(t, method, path, nil, append(changes, c.more...)...)
						if passed := r.Status == 200; passed != (pass && c.passes) {
							t.Errorf("%s: %s %s: %d %s", name, c.method, c.uri, r.Status, r.Body)
						}
						if r.Status == 200 && (names(r.Header) != "" || r.Header.Get("X-Auth-Subject") != "") {
							t.Errorf("%s: %v", name, r.Header)
						}
					}
				}
			}, integrated(t, text))
		})
	}
}

// A4, WEB01: a cookie that changes something needs an allowed origin behind a proxy too, by the method the proxy tells.
func TestWEB01_CookieBehindProxy(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		cookie := servertest.Header("Cookie", "itsm_auth_token="+s.Login(t, servertest.Admin).AccessToken)
		s.Do(t, "PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"allowedOrigins": []string{"https://app.example.com"}}},
			s.As(t, servertest.Admin)).Want(t, 200)
		for _, c := range []struct {
			method, origin string
			status         int
		}{
			{"GET", "", 200}, {"POST", "", 403}, {"POST", "https://app.example.com", 200},
			{"POST", "https://evil.example", 403}, {"POST", "null", 403}, {"DELETE", servertest.PublicURL, 200},
			{"", "", 403}, {"", "https://app.example.com", 200},
		} {
			changes := []servertest.Change{cookie}
			if c.method != "" {
				changes = append(changes, header("X-Original-Method", c.method, "X-Original-URI", "/api/stations")...)
			}
			if c.origin != "" {
				changes = append(changes, servertest.Header("Origin", c.origin))
			}
			if r := s.Do(t, "GET", "/verify?permission=tickets:read", nil, changes...); r.Status != c.status {
				t.Errorf("%q from %q: %d %s", c.method, c.origin, r.Status, r.Body)
			}
		}
	}, integrated(t, ""))
}

// I6: a proxy that asks when the server has too much to do is told no, in the words that proxies understand.
func TestF1_TooMuchToDo(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqldbtest.SQLite(t), func(c *config.Config, o *server.Options) {
		c.MaxRequests = 1
		// a sign-in takes a while
		o.Hashing.Params = password.Params{MemoryKiB: 64 << 10, Iterations: 8, Parallelism: 1}
	})
	token := servertest.Bearer(s.Login(t, servertest.Agent).AccessToken)
	stop := make(chan struct{})
	var signIns sync.WaitGroup
	signIns.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := s.Try("POST", "/v1/auth/login",
					map[string]any{"email": "nobody@acme-corp.example", "password": "wrong"}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var r servertest.Response
	for range 400 { // until one is on its way
		if r = s.Do(t, "GET", "/verify", nil, token); r.Status != 200 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if r.Status != 403 || r.Code() != "UNAVAILABLE" || r.Header.Get("X-Auth-Error") != "unavailable" {
		t.Errorf("%d %s %v", r.Status, r.Body, r.Header)
	}
	close(stop)
	signIns.Wait()
	s.Do(t, "GET", "/verify", nil, token).Want(t, 200)
}

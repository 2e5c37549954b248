package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// way is one way in which a credential, or what it depends on, is switched off.
type way struct {
	name   string
	act    func(t *testing.T, s *servertest.Server, admin servertest.Change, m servertest.Machine)
	status int // what the places answer afterwards; 0: 401
}

func call(method, path string, body any) func(t *testing.T, s *servertest.Server, admin servertest.Change,
	m servertest.Machine) {
	return func(t *testing.T, s *servertest.Server, admin servertest.Change, m servertest.Machine) {
		t.Helper()
		r := strings.NewReplacer("{id}", m.ID, "{owner}", m.Owner, "{client}", m.Client, "{secret}", m.SecretID)
		if res := s.Do(t, method, r.Replace(path), body, admin); res.Status >= 300 {
			t.Fatalf("%s %s: %d %s", method, r.Replace(path), res.Status, res.Body)
		}
	}
}

// paths of the management of each kind.
var managed = map[string]string{"api_key": "/v1/api-keys", "access_token": "/v1/access-tokens",
	"system_token": "/v1/system-tokens", "application_token": "/v1/application-tokens"}

func off(kind string) way {
	return way{"switched off", call("PATCH", managed[kind]+"/{id}", map[string]any{"state": "off"}), 0}
}
func revoked(kind string) way {
	return way{"revoked", call("DELETE", managed[kind]+"/{id}", nil), 0}
}
func rotated(kind string) way {
	return way{"rotated without overlap", call("POST", managed[kind]+"/{id}/rotate", nil), 0}
}

var (
	ownerDisabled = way{"its owner disabled", call("PATCH", "/v1/users/{owner}", map[string]any{"state": "disabled"}),
		0}
	ownerPowerless = way{"its owner's role changed",
		call("PATCH", "/v1/users/{owner}", map[string]any{"role": "nothing"}), 403}
	roleEmptied = way{"its owner's role emptied",
		func(t *testing.T, s *servertest.Server, admin servertest.Change, m servertest.Machine) {
			t.Helper()
			var roles struct{ Data []struct{ ID, Name string } }
			s.Do(t, "GET", "/v1/roles?limit=1000", nil, admin).Want(t, 200).Into(t, &roles)
			name := s.Do(t, "GET", "/v1/users/"+m.Owner, nil, admin).Want(t, 200).String("role")
			for _, r := range roles.Data {
				if r.Name == name {
					s.Do(t, "PATCH", "/v1/roles/"+r.ID, map[string]any{"permissions": []string{}}, admin).Want(t, 200)
					return
				}
			}
			t.Fatalf("there is no role %s", name)
		}, 403}
	tokenRevoked = way{"its jti revoked", func(t *testing.T, s *servertest.Server, admin servertest.Change,
		m servertest.Machine) {
		t.Helper()
		by := m.Send()
		if m.Kind == "client_token" {
			by = servertest.Basic(m.Client, m.Secret)
		}
		s.PostForm(t, "/oauth2/revoke", []string{"token", m.Value}, by).Want(t, 200)
	}, 0}
)

// G7, G12, A15, A17, B7, D1, ATK10, ATK28, ATK31: the matrix of every kind of credential × every way it or what it
// depends on can be switched off × every place it is accepted: the next request is refused on the node that did it, and
// soon on another one.
func TestG7_SwitchedOff(t *testing.T) {
	kinds := []struct {
		kind string
		make func(t *testing.T, s *servertest.Server, admin servertest.Change, n int) servertest.Machine
		ways []way
	}{
		{"API key of a user", func(t *testing.T, s *servertest.Server, admin servertest.Change,
			n int) servertest.Machine {
			return s.Key(t, admin, s.User(t, admin, fmt.Sprintf("key%d", n), fmt.Sprintf("desk%d", n), "person"),
				"tickets:read:all")
		}, []way{off("api_key"), revoked("api_key"), rotated("api_key"), ownerDisabled, ownerPowerless, roleEmptied}},
		{"API key of the organization", func(t *testing.T, s *servertest.Server, admin servertest.Change,
			n int) servertest.Machine {
			return s.Key(t, admin, s.Organization("acme-corp"), "tickets:read:all")
		}, []way{off("api_key"), revoked("api_key"), rotated("api_key"),
			{"its permission taken", call("PATCH", "/v1/api-keys/{id}", map[string]any{"permissions": []string{}}),
				403}}},
		{"access token", func(t *testing.T, s *servertest.Server, admin servertest.Change, n int) servertest.Machine {
			return s.AccessToken(t, admin, s.User(t, admin, fmt.Sprintf("pat%d", n), fmt.Sprintf("desk%d", n),
				"person"))
		}, []way{revoked("access_token"), rotated("access_token"), ownerDisabled, ownerPowerless, roleEmptied,
			{"narrowed", call("PATCH", "/v1/access-tokens/{id}", map[string]any{"resources": []string{"reports"}}),
				403}}},
		{"system access token", func(t *testing.T, s *servertest.Server, admin servertest.Change,
			n int) servertest.Machine {
			return s.SystemToken(t, admin)
		}, []way{off("system_token"), revoked("system_token"), rotated("system_token"),
			{"its permission taken", call("PATCH", "/v1/system-tokens/{id}", map[string]any{"permissions": []string{}}),
				403}}},
		{"application token", func(t *testing.T, s *servertest.Server, admin servertest.Change,
			n int) servertest.Machine {
			return s.ApplicationToken(t, admin, s.User(t, admin, fmt.Sprintf("app%d", n), fmt.Sprintf("desk%d", n),
				"application"))
		}, []way{revoked("application_token"), rotated("application_token"), ownerDisabled, ownerPowerless, roleEmptied,
			{"its owner no application any more", call("PATCH", "/v1/users/{owner}", map[string]any{"type": "person"}),
				0}}},
		{"client's token", func(t *testing.T, s *servertest.Server, admin servertest.Change, n int) servertest.Machine {
			return s.Client(t, admin, map[string]any{"refreshTokens": n%2 == 0}, "tickets:read:all")
		}, []way{tokenRevoked, {"its client off", call("PATCH", "/v1/clients/{client}", map[string]any{"state": "off"}),
			0}, {"its client deleted", call("DELETE", "/v1/clients/{client}", nil), 0},
			{"its client's secret off", call("PATCH", "/v1/clients/{client}/secrets/{secret}",
				map[string]any{"state": "off"}), 0},
			{"its client's secret revoked", call("DELETE", "/v1/clients/{client}/secrets/{secret}", nil), 0},
			{"its client's permission taken", call("PATCH", "/v1/clients/{client}",
				map[string]any{"permissions": []string{}}), 403}}},
		{"session", func(t *testing.T, s *servertest.Server, admin servertest.Change, n int) servertest.Machine {
			name := fmt.Sprintf("session%d", n)
			r := s.Do(t, "POST", "/v1/users", map[string]any{"email": name + "@acme-corp.example",
				"role": "service_desk_manager"}, admin).Want(t, 201)
			_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
			s.Do(t, "POST", "/v1/auth/password/set",
				map[string]any{"token": link, "password": "a passphrase for a test"}).Want(t, 200)
			value := s.Do(t, "POST", "/v1/auth/login",
				map[string]any{"email": name + "@acme-corp.example", "password": "a passphrase for a test"}).
				Want(t, 200).String("accessToken")
			return servertest.Machine{Kind: "session_token", Owner: r.String("id"), Value: value}
		},
			[]way{tokenRevoked, ownerDisabled, {"its user's sessions ended",
				call("DELETE", "/v1/users/{owner}/sessions", nil), 0}}},
	}
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin := s.As(t, servertest.Admin)
		asker := s.Client(t, admin, nil, "introspection:read:all")
		s.Do(t, "POST", "/v1/roles", map[string]any{"name": "nothing", "permissions": []string{}}, admin).Want(t, 201)
		n := 0
		for _, k := range kinds {
			for _, w := range k.ways {
				n++
				s.Do(t, "POST", "/v1/roles", map[string]any{"name": fmt.Sprintf("desk%d", n),
					"permissions": []string{"tickets:read:all"}}, admin).Want(t, 201)
				m := k.make(t, s, admin, n)
				name := k.kind + ", " + w.name
				for _, node := range []*servertest.Server{s, other} {
					for place, got := range places(t, node, m, asker) {
						if got != 200 {
							t.Fatalf("%s: before, %s answers %d", name, place, got)
						}
					}
				}
				w.act(t, s, admin, m)
				refused := refusal(w)
				for place, got := range places(t, s, m, asker) {
					if want := refused(place); got != want {
						t.Errorf("%s: %s answers %d, want %d", name, place, got, want)
					}
				}
				soon(t, name, func() string {
					for place, got := range places(t, other, m, asker) {
						if want := refused(place); got != want {
							return fmt.Sprintf("on the other node %s answers %d, want %d", place, got, want)
						}
					}
					return ""
				})
			}
		}
		if n < 35 {
			t.Errorf("only %d cases", n)
		}
	})
}

// soon tries until it holds, for as long as a slow machine may need.
func soon(t *testing.T, name string, holds func() string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		wrong := holds()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: %s", name, wrong)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// places asks every place where the credential may be used; introspection counts as 200 while the token is active, 401
// while it is not.
func places(t *testing.T, s *servertest.Server, m servertest.Machine, asker servertest.Machine) map[string]int {
	t.Helper()
	out := map[string]int{
		"/v1/tickets": s.Do(t, "GET", "/v1/tickets", nil, m.Send()).Status,
		"/v1/auth/me": s.Do(t, "GET", "/v1/auth/me", nil, m.Send()).Status,
		"/verify":     s.Do(t, "GET", "/verify?permission=tickets:read", nil, m.Send()).Status,
		"introspect":  401,
	}
	r := s.PostForm(t, "/oauth2/introspect", []string{"token", m.Value}, servertest.Basic(asker.Client, asker.Secret))
	switch {
	case r.Status != 200:
		out["introspect"] = r.Status
	case r.Get("active") == true:
		out["introspect"] = 200
	case string(r.Body) != `{"active":false}`:
		t.Errorf("introspection of an ended token tells %s", r.Body)
	}
	return out
}

// refusal tells what each place answers after a way: without the permission a credential still says who it is.
func refusal(w way) func(place string) int {
	return func(place string) int {
		switch {
		case w.status == 0:
			return 401
		case place == "/v1/auth/me" || place == "introspect":
			return 200
		}
		return w.status
	}
}

// A45, G7: an organization that is suspended stops every kind of credential at once with 403, one that is deleted with
// 401, at every place and on every node; resumed, all go on. A client gets no new tokens meanwhile.
func TestA45_SuspensionStopsEveryKind(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		operator := s.As(t, servertest.Operator)
		machines := s.Seeded(t)
		client := s.Seeds.Clients[0]
		// Who asks about tokens lives elsewhere and may see everyone's.
		r := s.Do(t, "POST", "/v1/clients", map[string]any{"name": "gateway",
			"permissions": []string{"organizations:read:all", "introspection:read:all"}}, operator).Want(t, 201)
		asker := servertest.Machine{Client: r.String("id"), Secret: r.String("clientSecret")}
		state := func(state string) {
			path, body := "/v1/organizations/"+s.Organization("acme-corp"), any(map[string]any{"state": state})
			if state == "deleted" {
				s.Do(t, "DELETE", path, nil, operator).Want(t, 204)
				return
			}
			s.Do(t, "PATCH", path, body, operator).Want(t, 200)
		}
		for _, step := range []struct {
			state  string
			status int
			token  int
		}{{"active", 200, 200}, {"suspended", 403, 401}, {"active", 200, 200}, {"deleted", 401, 401}} {
			state(step.state)
			for _, m := range machines {
				check := func(node *servertest.Server) string {
					for place, got := range places(t, node, m, asker) {
						want := step.status
						if place == "introspect" && want != 200 {
							want = 401
						}
						if got != want {
							return fmt.Sprintf("%s: %s of the %s answers %d, want %d", step.state, place, m.Kind, got,
								want)
						}
					}
					return ""
				}
				if wrong := check(s); wrong != "" {
					t.Error(wrong)
				}
				soon(t, m.Kind, func() string { return check(other) })
			}
			got := s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
				servertest.Basic(client.ClientID, client.ClientSecret))
			if got.Status != step.token || (step.token == 401 && got.String("error") != "invalid_client") {
				t.Errorf("%s: the token endpoint answers %d %s", step.state, got.Status, got.Body)
			}
		}
	})
}

// A33, ATK31: every kind of machine credential × every route that asks for a permission: with nothing but that
// permission it passes the route, and with every permission but that one it does not.
func TestATK31_ScopesAreEnforcedEverywhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		ids := things(t, s, servertest.Admin)
		held, _ := permission.BuiltinRole(permission.RoleAdmin)
		wanted := map[string]bool{}
		for _, r := range s.Kit.Routes() {
			if r.Permission != "" && strings.HasPrefix(r.Pattern, "/v1/") &&
				!strings.HasPrefix(r.Permission, permission.PlatformResource) {
				// the dialects: test/doors
				wanted[r.Permission] = true
			}
		}
		for asked := range wanted {
			var just, others []string
			one, _, _ := strings.Cut(asked, "|")
			just = []string{one + ":all"}
			for _, p := range permission.Catalog() {
				matches := false
				for alternative := range strings.SplitSeq(asked, "|") {
					matches = matches || p.Resource+":"+p.Action == alternative ||
						p.Resource+":manage" == strings.Split(alternative, ":")[0]+":"+p.Action
				}
				if !matches && p.Scope == permission.All && held.Permissions.Holds(p) {
					others = append(others, p.String())
				}
			}
			org := s.Organization("acme-corp")
			with, without := s.Key(t, admin, org, just...), s.Key(t, admin, org, others...)
			clientWith, clientWithout := s.Client(t, admin, nil, just...), s.Client(t, admin, nil, others...)
			for _, r := range s.Kit.Routes() {
				if r.Permission != asked || len(r.Accepts) == 1 || !strings.HasPrefix(r.Pattern, "/v1/") {
					continue
				}
				cases := []struct {
					m    servertest.Machine
					pass bool
				}{{with, true}, {without, false}}
				if len(r.Accepts) > 2 {
					cases = append(cases, struct {
						m    servertest.Machine
						pass bool
					}{clientWith, true}, struct {
						m    servertest.Machine
						pass bool
					}{clientWithout, false})
				}
				for _, c := range cases {
					// A body that is no JSON: whoever passes the route is told so, and nothing changes.
					var body any
					if r.Method == "POST" || r.Method == "PATCH" || r.Method == "PUT" {
						body = "{"
					}
					if r.Method == "DELETE" {
						ids := map[string]string{}
						res := s.Do(t, r.Method,
							fill(strings.NewReplacer("{id}", "nothing", "{userId}", "nothing", "{secretId}", "nothing",
								"{name}", "nothing", "{handle}", "nothing", "{connectionId}", "nothing").
								Replace(r.Pattern), ids), body, c.m.Send())
						if (res.Status == 403) == c.pass {
							t.Errorf("%s %s with a %s, pass %v: %d %s", r.Method, r.Pattern, c.m.Kind, c.pass,
								res.Status, res.Body)
						}
						continue
					}
					res := s.Do(t, r.Method, fill(r.Pattern, ids), body, c.m.Send())
					if (res.Status == 403 && strings.Contains(string(res.Body),
						"This needs the permission")) == c.pass {
						t.Errorf("%s %s with a %s, pass %v: %d %s", r.Method, r.Pattern, c.m.Kind, c.pass, res.Status,
							res.Body)
					}
				}
			}
		}
		if len(wanted) < 20 {
			t.Errorf("only %d permissions are asked for?", len(wanted))
		}
	})
}

// G7, ATK28, E8: the same for what a client proves itself with: its secret at every endpoint that asks for it, and its
// refresh token; in each way in which they or what they depend on are switched off, on both nodes.
func TestG7_ClientsSwitchedOff(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		admin := s.As(t, servertest.Admin)
		for name, w := range map[string]struct {
			act   func(t *testing.T, s *servertest.Server, admin servertest.Change, m servertest.Machine)
			spare int // what another secret of the client may still do
		}{
			"secret off": {call("PATCH", "/v1/clients/{client}/secrets/{secret}",
				map[string]any{"state": "off"}), 200},
			"secret revoked": {call("DELETE", "/v1/clients/{client}/secrets/{secret}", nil), 200},
			"secret rotated": {call("POST", "/v1/clients/{client}/secrets/{secret}/rotate", nil), 200},
			"client off": {call("PATCH", "/v1/clients/{client}", map[string]any{"state": "off"}),
				401},
			"client deleted": {call("DELETE", "/v1/clients/{client}", nil), 401},
			"another way of authentication": {call("PATCH", "/v1/clients/{client}",
				map[string]any{"authentication": map[string]any{"method": "self_signed_tls_client_auth",
					"thumbprints": []string{strings.Repeat("A", 43)}}}), 401},
			"secret shown to the revocation endpoint": {func(t *testing.T, s *servertest.Server,
				admin servertest.Change, m servertest.Machine) {
				s.PostForm(t, "/oauth2/revoke", []string{"token", m.Secret}, servertest.Basic(m.Client, m.Secret)).
					Want(t, 200)
			}, 200},
		} {
			m := s.Client(t, admin, map[string]any{"refreshTokens": true}, "tickets:read:all")
			spare := s.Do(t, "POST", "/v1/clients/"+m.ID+"/secrets", map[string]any{"name": "spare"}, admin).
				Want(t, 201).String("secret")
			refresh := s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
				servertest.Basic(m.Client, m.Secret)).Want(t, 200).String("refresh_token")
			places := func(node *servertest.Server, secret string) map[string]int {
				basic := servertest.Basic(m.Client, secret)
				return map[string]int{
					"token": node.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
						basic).Status,
					"introspect": node.PostForm(t, "/oauth2/introspect", []string{"token", "x"}, basic).Status,
					"revoke":     node.PostForm(t, "/oauth2/revoke", []string{"token", "x"}, basic).Status,
				}
			}
			w.act(t, s, admin, m)
			for _, node := range []*servertest.Server{s, other} {
				soon(t, name, func() string {
					for secret, want := range map[string]int{m.Secret: 401, spare: w.spare} {
						for place, got := range places(node, secret) {
							if got != want {
								return fmt.Sprintf("%s: %d, want %d", place, got, want)
							}
						}
					}
					return ""
				})
			}
			if got := places(s, m.Secret); got["token"] != 401 { // at once on the node that did it, which soon forgives
				t.Errorf("%s: %v", name, got)
			}
			// A refresh token goes with the secret it was got with; a rotated secret is the same one.
			r := s.PostForm(t, "/oauth2/token", []string{"grant_type", "refresh_token", "refresh_token", refresh},
				servertest.Basic(m.Client, spare))
			if survives := name == "secret rotated"; (r.Status == 200) != survives {
				t.Errorf("%s: the refresh token: %d %s", name, r.Status, r.Body)
			}
			if rows := s.Do(t, "GET", "/v1/credentials/report?limit=1000", nil, admin).
				Want(t, 200); name == "client deleted" && strings.Contains(string(rows.Body), m.SecretID) {
				t.Errorf("%s: its secret is still reported", name)
			}
		}
	})
}

// A11: a long-lived credential that is switched off is still ended for good by who shows it.
func TestA11_EndedThoughOff(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		for _, m := range []servertest.Machine{s.Key(t, admin, "", "tickets:read:all"), s.SystemToken(t, admin)} {
			s.Do(t, "PATCH", managed[m.Kind]+"/"+m.ID, map[string]any{"state": "off"}, admin).Want(t, 200)
			s.PostForm(t, "/oauth2/revoke", []string{"token", m.Value}, s.As(t, servertest.Foreigner)).Want(t, 200)
			if got := s.Do(t, "GET", managed[m.Kind]+"/"+m.ID, nil, admin).String("state"); got != "off" {
				t.Errorf("%s: another tenant made it %s", m.Kind, got)
			}
			s.PostForm(t, "/oauth2/revoke", []string{"token", m.Value}, admin).Want(t, 200)
			if got := s.Do(t, "GET", managed[m.Kind]+"/"+m.ID, nil, admin).String("state"); got != "revoked" {
				t.Errorf("%s: %s", m.Kind, got)
			}
		}
	})
}

//go:build faults

package faults

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// request is one that succeeds, once, if nothing goes wrong.
type request struct {
	method, path string
	body         any
	as           servertest.Change
	good         int

	probe func() string // after a success: what is wrong; empty: nothing
}

// requests makes a fresh request for every route of a server.
type requests struct {
	t *testing.T
	s *servertest.Server
	n int

	admin, operator, agent servertest.Change
	broker                 servertest.Entity
}

func (q *requests) fresh(what string) string { q.n++; return fmt.Sprintf("%s-%d", what, q.n) }

func (q *requests) email() string { return q.fresh("user") + "@acme-corp.example" }

// signIn replaces the access tokens, which end while the clock is set forward.
func (q *requests) signIn() {
	q.admin, q.operator, q.agent = q.s.As(q.t, servertest.Admin), q.s.As(q.t, servertest.Operator),
		q.s.As(q.t, servertest.Agent)
}

// made makes what a request needs, as the administrator, and gives its answer.
func (q *requests) made(path string, body map[string]any) servertest.Response {
	q.t.Helper()
	return q.s.Do(q.t, "POST", path, body, q.admin).Want(q.t, 201)
}

func (q *requests) user(kind string) string {
	q.t.Helper()
	return q.made("/v1/users", map[string]any{"email": q.email(), "role": "end_user", "type": kind}).String("id")
}

// person is somebody with a password and a session.
type person struct {
	q         *requests
	id, email string
	as        servertest.Change
}

func (q *requests) person() person {
	q.t.Helper()
	name := q.fresh("person")
	p := person{q: q, email: name + "@acme-corp.example", id: q.s.PersonWithPassword(q.t, q.admin, name, "end_user")}
	p.as = servertest.Bearer(q.s.Do(q.t, "POST", "/v1/auth/login", p.login()).Want(q.t, 200).String("accessToken"))
	return p
}

func (p person) login() object {
	return object{"email": p.email, "password": servertest.TestPassword}
}

// waits gives the token of a sign-in that waits for its second factor.
func (p person) waits() string {
	p.q.t.Helper()
	return p.q.s.Do(p.q.t, "POST", "/v1/auth/login", p.login()).Want(p.q.t, 202).String("mfaToken")
}

// ended tells whether what a credential opened is still open.
func (q *requests) ended(credential servertest.Change) func() string {
	return func() string {
		if q.s.Do(q.t, "GET", "/v1/auth/me", nil, credential).Status == 200 {
			return "what was ended works"
		}
		return ""
	}
}

func linkToken(r servertest.Response, member string) string {
	_, token, _ := strings.Cut(r.String(member), "#token=")
	return token
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// formed says that a body is a form.
func formed(changes ...servertest.Change) servertest.Change {
	return all(append(changes, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})...)
}

func all(changes ...servertest.Change) servertest.Change {
	return func(r *http.Request) {
		for _, c := range changes {
			c(r)
		}
	}
}

// object is a JSON object.
type object = map[string]any

// collection are the routes of one kind of thing that is listed, made, read, changed and removed, and of credentials,
// which are rotated.
func (q *requests) collection(path string, body object, change object, rotate bool) map[string]func() request {
	made := func(name string) servertest.Response {
		b := maps.Clone(body)
		for _, k := range []string{"name", "title"} {
			if _, ok := b[k]; ok {
				b[k] = strings.ReplaceAll(q.fresh(name), "-", "_")
			}
		}
		if b["userId"] == "" {
			b["userId"] = q.user("application")
		}
		if b["email"] == "" {
			b["email"] = q.email()
		}
		return q.made(path, b)
	}
	at := func(method string, good int, body any, under string) func() request {
		return func() request {
			r := made("thing")
			return request{method: method, path: path + "/" + r.String("id") + under, body: body, as: q.admin,
				good: good}
		}
	}
	out := map[string]func() request{
		"GET " + path: func() request { return request{method: "GET", path: path, as: q.admin, good: 200} },
		"POST " + path: func() request {
			b := maps.Clone(body)
			for _, k := range []string{"name", "title"} {
				if _, ok := b[k]; ok {
					b[k] = strings.ReplaceAll(q.fresh("new"), "-", "_")
				}
			}
			if b["userId"] == "" {
				b["userId"] = q.user("application")
			}
			if b["email"] == "" {
				b["email"] = q.email()
			}
			return request{method: "POST", path: path, body: b, as: q.admin, good: 201}
		},
		"GET " + path + "/{id}":    at("GET", 200, nil, ""),
		"PATCH " + path + "/{id}":  at("PATCH", 200, change, ""),
		"DELETE " + path + "/{id}": at("DELETE", 204, nil, ""),
	}
	if rotate {
		out["POST "+path+"/{id}/rotate"] = at("POST", 200, object{}, "/rotate")
	}
	return out
}

// table has every route of the server.
func (q *requests) table() map[string]func() request {
	s, t := q.s, q.t
	get := func(path string, as *servertest.Change) func() request {
		return func() request {
			r := request{method: "GET", path: path, good: 200}
			if as != nil {
				r.as = *as
			}
			return r
		}
	}
	c := s.Seeds.Clients[0]
	clientToken := func() string {
		return s.Do(t, "POST", "/oauth2/token", form("grant_type", "client_credentials"),
			formed(servertest.Basic(c.ClientID, c.ClientSecret))).Want(t, 200).String("access_token")
	}
	secretOf := func() (path string) {
		id := q.made("/v1/clients", object{"name": q.fresh("client"), "permissions": []string{"tickets:read:all"}}).
			String("id")
		return "/v1/clients/" + id + "/secrets/" + q.made("/v1/clients/"+id+"/secrets", object{"name": "second"}).
			String("id")
	}
	secret := func(method string, good int, body any, under string) func() request {
		return func() request {
			return request{method: method, path: secretOf() + under, body: body, as: q.admin, good: good}
		}
	}
	secrets := func(method string, good int, body any) func() request {
		return func() request {
			id := q.made("/v1/clients", object{"name": q.fresh("client"), "permissions": []string{"tickets:read:all"}}).
				String("id")
			return request{method: method, path: "/v1/clients/" + id + "/secrets", body: body, as: q.admin, good: good}
		}
	}
	member := func(method string, good int) func() request {
		return func() request {
			team, user := q.made("/v1/teams", object{"name": q.fresh("team")}).String("id"), q.user("person")
			path := "/v1/teams/" + team + "/members/" + user
			if method == "DELETE" {
				s.Do(t, "PUT", path, nil, q.admin).Want(t, 204)
			}
			return request{method: method, path: path, as: q.admin, good: good}
		}
	}
	tenant := func(method string, good int, body any) func() request {
		return func() request {
			name := q.fresh("tenant")
			id := s.Do(t, "POST", "/v1/organizations", object{"slug": name, "name": name}, q.operator).Want(t, 201).
				String("id")
			return request{method: method, path: "/v1/organizations/" + id, body: body, as: q.operator, good: good}
		}
	}
	master := s.Master()
	entity := func(method, path string, good int, body func(id string) any) func() request {
		return func() request {
			e := s.Provision(t, q.fresh("entity"), "SystemAccessToken")
			var b any
			if body != nil {
				b = body(e.EntityID)
			}
			return request{method: method, path: strings.ReplaceAll(path, "{id}", e.EntityID), body: b, as: master,
				good: good}
		}
	}
	entityToken := func(method string, good int, body any) func() request {
		return func() request {
			as := servertest.Bearer(q.broker.JWT)
			id := s.Do(t, "POST", "/up/v5/entityToken", object{"Name": q.fresh("token")}, as).Want(t, 200).String("Id")
			return request{method: method, path: "/up/v5/entityToken/" + id, body: body, as: as, good: good}
		}
	}
	boss := servertest.Demo("admin")
	ev := "/api/v1/" + demo.Tenant
	evToken := func(method string, good int, body any) func() request {
		return func() request {
			id := s.Do(t, "POST", ev+"/tokens", object{"name": q.fresh("token"), "user": "manager"}, boss).Want(t, 201).
				String("id")
			return request{method: method, path: ev + "/tokens/" + id, body: body, as: boss, good: good}
		}
	}
	refresh := func(method string) func() request {
		return func() request {
			return request{method: method, path: "/api/users/refresh",
				as: servertest.Bearer(s.ItemPath(t, "agent").RefreshToken), good: 200}
		}
	}
	brokerToken := func() servertest.Change {
		e := s.Provision(t, q.fresh("broker"), "OAuth2")
		return servertest.Bearer(s.BrokerToken(t, e.ClientID, e.ClientSecret))
	}
	userInfo := func(method string) func() request {
		return func() request {
			return request{method: method, path: "/up/v5/oauth2/userInfo", as: brokerToken(), good: 200}
		}
	}

	applicationTokens := func(tokens servertest.Tokens) (ids []string) {
		var list struct {
			ApplicationTokens []struct{ ID string } `json:"applicationTokens"`
		}
		s.Do(t, "GET", "/api/users/application-tokens?limit=500", nil, servertest.Bearer(tokens.AccessToken)).
			Want(t, 200).Into(t, &list)
		for _, one := range list.ApplicationTokens {
			ids = append(ids, one.ID)
		}
		return ids
	}

	connection := func() string {
		return q.made("/v1/connections", object{"kind": "oidc", "name": q.fresh("connection"), "clientSecret": "x",
			"openId": object{"issuer": "https://idp.example.com", "clientId": "x"}}).String("id")
	}
	provider := idptest.NewSAMLProvider(t)
	provider.URL = "https://idp.example.com" // nobody asks it anything
	metadata := provider.MetadataXML("signing", idptest.NewSAMLKey(t, idptest.RSA(0), time.Now().AddDate(1, 0, 0)))
	// keys does something with the second key of this server in a SAML connection
	keys := func(method string, good int, under string) func() request {
		return func() request {
			c := "/v1/connections/" + q.made("/v1/connections", object{"kind": "saml", "name": q.fresh("connection"),
				"saml": object{"metadata": metadata}}).String("id") + "/keys"
			if under == "" {
				return request{method: method, path: c, as: q.admin, good: good}
			}
			made := q.made(c, nil)
			second := made.Get("serviceProviderKeys").([]any)[1].(object)["fingerprint"].(string)
			return request{method: method, path: c + "/" + second + strings.TrimSuffix(under, "-"), as: q.admin,
				good: good}
		}
	}
	link := func(intent string) servertest.Change {
		return servertest.Bearer(q.made("/v1/setup-links", object{"intent": intent}).String("token"))
	}
	describes := object{"kind": "oidc", "name": "By a link", "clientSecret": "x",
		"openId": object{"issuer": "https://idp.example.com", "clientId": "x"}}
	setUp := func(method, under, intent string, body any, good int) func() request {
		return func() request {
			as := link(intent)
			if strings.HasPrefix(under, "/test") {
				s.Do(t, "PUT", "/v1/connection-setup/connection", describes, as).Want(t, 200)
			}
			if strings.HasSuffix(under, "/tests/") {
				under := under + s.Do(t, "POST", "/v1/connection-setup/test", nil, as).Want(t, 201).String("handle")
				return request{method: method, path: "/v1/connection-setup" + under, as: as, good: good}
			}
			return request{method: method, path: "/v1/connection-setup" + under, body: body, as: as, good: good}
		}
	}
	domain := func(method string, good int, body any, under string) func() request {
		return func() request {
			name := q.made("/v1/domains", object{"name": q.fresh("domain") + ".example"}).String("name")
			return request{method: method, path: "/v1/domains/" + name + under, body: body, as: q.admin, good: good}
		}
	}
	out := map[string]func() request{
		"POST /v1/auth/login": func() request {
			return request{method: "POST", path: "/v1/auth/login",
				body: object{"email": servertest.Agent, "password": demo.Password}, good: 200}
		},
		"POST /v1/auth/refresh": func() request {
			token := s.Login(t, servertest.Agent).RefreshToken
			return request{method: "POST", path: "/v1/auth/refresh", body: object{"refreshToken": token}, good: 200,
				probe: func() string {
					if s.Do(t, "POST", "/v1/auth/refresh", object{"refreshToken": token}).Status == 200 {
						return "the used token works"
					}
					return ""
				}}
		},
		"POST /v1/auth/logout": func() request {
			as := servertest.Bearer(s.Login(t, servertest.EndUser).AccessToken)
			return request{method: "POST", path: "/v1/auth/logout", as: as, good: 200, probe: q.ended(as)}
		},
		"GET /v1/auth/me":       get("/v1/auth/me", &q.admin),
		"GET /v1/auth/sessions": get("/v1/auth/sessions", &q.agent),
		"DELETE /v1/auth/sessions/{id}": func() request {
			as := servertest.Bearer(s.Login(t, servertest.EndUser).AccessToken)
			id := s.Do(t, "GET", "/v1/auth/me", nil, as).Want(t, 200).String("sessionId")
			return request{method: "DELETE", path: "/v1/auth/sessions/" + id, as: q.admin, good: 204,
				probe: q.ended(as)}
		},
		"PUT /v1/auth/password": func() request {
			name := q.fresh("person")
			s.PersonWithPassword(t, q.admin, name, "end_user")
			as := servertest.Bearer(s.Do(t, "POST", "/v1/auth/login",
				object{"email": name + "@acme-corp.example", "password": servertest.TestPassword}).Want(t, 200).
				String("accessToken"))
			return request{method: "PUT", path: "/v1/auth/password",
				body: object{"currentPassword": servertest.TestPassword,
					"newPassword": "another long sentence, " + name}, as: as, good: 200}
		},
		"POST /v1/auth/password/set": func() request {
			token := linkToken(q.made("/v1/users", object{"email": q.email(), "role": "end_user"}), "setPasswordUrl")
			body := object{"token": token, "password": servertest.TestPassword}
			return request{method: "POST", path: "/v1/auth/password/set", body: body, good: 200, probe: func() string {
				if s.Do(t, "POST", "/v1/auth/password/set", body).Status == 200 {
					return "the used link works"
				}
				return ""
			}}
		},
		"POST /v1/auth/invitations/accept": func() request {
			token := linkToken(q.made("/v1/invitations", object{"email": q.email(), "role": "end_user"}), "url")
			return request{method: "POST", path: "/v1/auth/invitations/accept",
				body: object{"token": token, "password": servertest.TestPassword, "name": "Somebody"}, good: 201}
		},
		"POST /v1/auth/links/inspect": func() request {
			token := linkToken(q.made("/v1/users", object{"email": q.email(), "role": "end_user"}), "setPasswordUrl")
			return request{method: "POST", path: "/v1/auth/links/inspect",
				body: object{"page": "set-password", "token": token}, good: 200}
		},
		"POST /v1/setup": func() request { // it is set up; refusing is what it can do
			return request{method: "POST", path: "/v1/setup",
				body: object{"token": "nobody's", "email": "x@platform.example", "name": "x",
					"password": servertest.TestPassword}, good: 401}
		},

		"POST /v1/auth/password/forgot": func() request { // of nobody: a mail would be written later, by somebody else
			return request{method: "POST", path: "/v1/auth/password/forgot",
				body: object{"email": q.fresh("nobody") + "@acme-corp.example"}, good: 202}
		},
		"POST /v1/auth/password/reset": func() request {
			p := q.person()
			s.Do(t, "POST", "/v1/auth/password/forgot", object{"email": p.email}).Want(t, 202)
			token := servertest.Token(t, s.Mail(t, p.email, "Reset", 1))
			return request{method: "POST", path: "/v1/auth/password/reset",
				body: object{"token": token, "password": "another long sentence, " + p.email}, good: 200}
		},
		"POST /v1/auth/mfa/verify": func() request {
			p := q.person()
			app := s.EnrollApp(t, p.as)
			body := object{"mfaToken": p.waits(), "method": "totp", "code": app.Code(t)}
			return request{method: "POST", path: "/v1/auth/mfa/verify", body: body, good: 200, probe: func() string {
				if s.Do(t, "POST", "/v1/auth/mfa/verify", body).Status == 200 {
					return "the used token and code work"
				}
				return ""
			}}
		},
		"POST /v1/auth/mfa/challenge": func() request {
			p := q.person()
			s.EnrollKey(t, servertest.NewAuthenticator(t), p.as)
			return request{method: "POST", path: "/v1/auth/mfa/challenge", body: object{"mfaToken": p.waits()},
				good: 200}
		},
		"POST /v1/auth/passkey/challenge": func() request {
			return request{method: "POST", path: "/v1/auth/passkey/challenge", good: 200}
		},
		"POST /v1/auth/passkey": func() request {
			key := servertest.NewAuthenticator(t)
			s.EnrollKey(t, key, q.person().as)
			options := s.Do(t, "POST", "/v1/auth/passkey/challenge", nil).Want(t, 200)
			return request{method: "POST", path: "/v1/auth/passkey",
				body: object{"credential": key.Get(t, options).JSON(t)}, good: 200}
		},
		"GET /v1/auth/mfa/factors": get("/v1/auth/mfa/factors", &q.agent),
		"POST /v1/auth/mfa/factors": func() request {
			return request{method: "POST", path: "/v1/auth/mfa/factors", body: object{"method": "totp"},
				as: q.person().as, good: 201}
		},
		"POST /v1/auth/mfa/factors/{id}/confirm": func() request {
			p := q.person()
			e := s.Do(t, "POST", "/v1/auth/mfa/factors", object{"method": "totp"}, p.as).Want(t, 201)
			return request{method: "POST", path: "/v1/auth/mfa/factors/" + e.String("id") + "/confirm",
				body: object{"code": servertest.CodeAt(t, e.String("secret"), s.Clock.Now())}, as: p.as, good: 200}
		},
		"PATCH /v1/auth/mfa/factors/{id}": func() request {
			p := q.person()
			return request{method: "PATCH", path: "/v1/auth/mfa/factors/" + s.EnrollApp(t, p.as).ID,
				body: object{"name": "changed"}, as: p.as, good: 200}
		},
		"DELETE /v1/auth/mfa/factors/{id}": func() request {
			p := q.person()
			return request{method: "DELETE", path: "/v1/auth/mfa/factors/" + s.EnrollApp(t, p.as).ID, as: p.as,
				good: 204, probe: func() string {
					if s.Do(t, "POST", "/v1/auth/login", p.login()).Status != 200 {
						return "the removed factor is asked for"
					}
					return ""
				}}
		},
		"POST /v1/auth/mfa/backup-codes": func() request {
			p := q.person()
			s.EnrollApp(t, p.as)
			return request{method: "POST", path: "/v1/auth/mfa/backup-codes", as: p.as, good: 201}
		},
		"POST /v1/auth/reauthenticate": func() request {
			return request{method: "POST", path: "/v1/auth/reauthenticate",
				body: object{"password": servertest.TestPassword}, as: q.person().as, good: 200}
		},
		"POST /v1/auth/reauthenticate/challenge": func() request {
			p := q.person()
			s.EnrollKey(t, servertest.NewAuthenticator(t), p.as)
			return request{method: "POST", path: "/v1/auth/reauthenticate/challenge", as: p.as, good: 200}
		},
		"GET /v1/users/{id}/mfa": func() request {
			return request{method: "GET", path: "/v1/users/" + q.person().id + "/mfa", as: q.admin, good: 200}
		},
		"PATCH /v1/users/{id}/mfa": func() request {
			return request{method: "PATCH", path: "/v1/users/" + q.person().id + "/mfa", body: object{"required": true},
				as: q.admin, good: 200}
		},
		"DELETE /v1/users/{id}/mfa": func() request {
			p := q.person()
			s.EnrollApp(t, p.as)
			return request{method: "DELETE", path: "/v1/users/" + p.id + "/mfa", as: q.admin, good: 204,
				probe: q.ended(p.as)}
		},
		"DELETE /v1/users/{id}/mfa/{factor}": func() request {
			p := q.person()
			return request{method: "DELETE", path: "/v1/users/" + p.id + "/mfa/" + s.EnrollApp(t, p.as).ID, as: q.admin,
				good: 204}
		},
		"POST /v1/users/{id}/unlock": func() request {
			return request{method: "POST", path: "/v1/users/" + q.person().id + "/unlock", as: q.admin, good: 204}
		},

		"GET /v1/users/{id}/sessions": func() request {
			return request{method: "GET", path: "/v1/users/" + q.user("person") + "/sessions", as: q.admin, good: 200}
		},
		"DELETE /v1/users/{id}/sessions": func() request {
			name := q.fresh("person")
			id := s.PersonWithPassword(t, q.admin, name, "end_user")
			as := servertest.Bearer(s.Do(t, "POST", "/v1/auth/login",
				object{"email": name + "@acme-corp.example", "password": servertest.TestPassword}).Want(t, 200).
				String("accessToken"))
			return request{method: "DELETE", path: "/v1/users/" + id + "/sessions", as: q.admin, good: 204,
				probe: q.ended(as)}
		},
		"POST /v1/users/{id}/password-link": func() request {
			return request{method: "POST", path: "/v1/users/" + q.user("person") + "/password-link", as: q.admin,
				good: 200}
		},
		"GET /v1/teams/{id}/members": func() request {
			return request{method: "GET", path: "/v1/teams/" + q.made("/v1/teams", object{"name": q.fresh("team")}).
				String("id") + "/members", as: q.admin, good: 200}
		},
		"PUT /v1/teams/{id}/members/{userId}":    member("PUT", 204),
		"DELETE /v1/teams/{id}/members/{userId}": member("DELETE", 204),

		"GET /v1/clients/{id}/secrets":                    secrets("GET", 200, nil),
		"POST /v1/clients/{id}/secrets":                   secrets("POST", 201, object{"name": "another"}),
		"GET /v1/clients/{id}/secrets/{secretId}":         secret("GET", 200, nil, ""),
		"PATCH /v1/clients/{id}/secrets/{secretId}":       secret("PATCH", 200, object{"name": "changed"}, ""),
		"DELETE /v1/clients/{id}/secrets/{secretId}":      secret("DELETE", 204, nil, ""),
		"POST /v1/clients/{id}/secrets/{secretId}/rotate": secret("POST", 200, object{}, "/rotate"),
		"GET /v1/credentials/report":                      get("/v1/credentials/report", &q.admin),
		"GET /v1/audit-events":                            get("/v1/audit-events?limit=5", &q.admin),
		"GET /v1/reports/sign-ins":                        get("/v1/reports/sign-ins", &q.admin),
		"GET /v1/reports/tickets":                         get("/v1/reports/tickets", &q.admin),
		"GET /v1/sla-policies":                            get("/v1/sla-policies", &q.admin),
		"GET /v1/organization":                            get("/v1/organization", &q.admin),
		"GET /v1/organizations":                           get("/v1/organizations", &q.operator),
		"GET /v1/organizations/{id}":                      tenant("GET", 200, nil),
		"PATCH /v1/organizations/{id}":                    tenant("PATCH", 200, object{"state": "suspended"}),
		"DELETE /v1/organizations/{id}":                   tenant("DELETE", 204, nil),
		"GET /openapi.json":                               get("/openapi.json", nil),
		"GET /.well-known/oauth-authorization-server":     get("/.well-known/oauth-authorization-server", nil),
		"GET /.well-known/openid-configuration":           get("/.well-known/openid-configuration", nil),
		"GET /.well-known/jwks.json":                      get("/.well-known/jwks.json", nil),
		"GET /healthz":                                    get("/healthz", nil),
		// the clock of this server is set forward
		"GET /readyz": func() request {
			return request{method: "GET", path: "/readyz", good: 503}
		},
		"GET /set-password":                         get("/set-password", nil),
		"GET /reset-password":                       get("/reset-password", nil),
		"GET /accept-invitation":                    get("/accept-invitation", nil),
		"GET /setup":                                get("/setup", nil),
		"GET /assets/link.js":                       get("/assets/link.js", nil),
		"GET /assets/link.css":                      get("/assets/link.css", nil),
		"GET /assets/icon.svg":                      get("/assets/icon.svg", nil),
		"GET /start":                                get("/start", nil),
		"any /verify":                               get("/verify?permission=tickets:read", &q.agent),
		"GET " + "/api/v1/{account}/requests":       get(ev+"/requests", &boss),
		"GET " + "/api/v1/{account}/tokens":         get(ev+"/tokens", &boss),
		"GET " + "/api/v1/{account}/tokens/{id}":    evToken("GET", 200, nil),
		"PUT " + "/api/v1/{account}/tokens/{id}":    evToken("PUT", 200, object{"period": 365}),
		"DELETE " + "/api/v1/{account}/tokens/{id}": evToken("DELETE", 204, nil),
		"GET /api/users/refresh":                    refresh("GET"),
		"POST /api/users/refresh":                   refresh("POST"),
		"GET /up/v5/oauth2/userInfo":                userInfo("GET"),
		"POST /up/v5/oauth2/userInfo":               userInfo("POST"),
		"GET /up/v5/entity":                         entity("GET", "/up/v5/entity?EntityId={id}", 200, nil),
		"PUT /up/v5/entity": entity("PUT", "/up/v5/entity", 200, func(id string) any {
			return object{"EntityId": id, "Name": q.fresh("renamed")}
		}),
		"DELETE /up/v5/entity":   entity("DELETE", "/up/v5/entity?EntityId={id}", 204, nil),
		"GET /up/v5/entity/{id}": entity("GET", "/up/v5/entity/{id}", 200, nil),
		"PUT /up/v5/entity/{id}": entity("PUT", "/up/v5/entity/{id}", 200, func(string) any {
			return object{"Name": q.fresh("renamed")}
		}),
		"DELETE /up/v5/entity/{id}":      entity("DELETE", "/up/v5/entity/{id}", 204, nil),
		"PUT /up/v5/entityToken/{id}":    entityToken("PUT", 200, object{"Active": false}),
		"DELETE /up/v5/entityToken/{id}": entityToken("DELETE", 204, nil),

		"PATCH /v1/organization": func() request {
			q.n++
			return request{method: "PATCH", path: "/v1/organization",
				body: object{"settings": object{"sessionIdleSeconds": 100_000 + q.n}}, as: q.admin, good: 200}
		},
		"POST /v1/organizations": func() request {
			name := q.fresh("tenant")
			return request{method: "POST", path: "/v1/organizations", body: object{"slug": name, "name": name},
				as: q.operator, good: 201}
		},
		"PUT /v1/sla-policies": func() request {
			q.n++
			return request{method: "PUT", path: "/v1/sla-policies",
				body: object{"policies": []object{{"priority": "high", "responseMinutes": 10 + q.n%50,
					"resolutionMinutes": 600}}}, as: q.admin, good: 200}
		},

		"POST /oauth2/token": func() request {
			return request{method: "POST", path: "/oauth2/token", body: form("grant_type", "client_credentials"),
				as: formed(servertest.Basic(c.ClientID, c.ClientSecret)), good: 200}
		},
		"POST /oauth2/introspect": func() request {
			return request{method: "POST", path: "/oauth2/introspect", body: form("token", clientToken()),
				as: formed(servertest.Basic(c.ClientID, c.ClientSecret)), good: 200}
		},
		"POST /oauth2/revoke": func() request {
			token := clientToken()
			return request{method: "POST", path: "/oauth2/revoke", body: form("token", token),
				as: formed(servertest.Basic(c.ClientID, c.ClientSecret)), good: 200, probe: func() string {
					if s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)).Status == 200 {
						return "the revoked token works"
					}
					return ""
				}}
		},

		"POST /api/users/login": func() request {
			return request{method: "POST", path: "/api/users/login",
				body: object{"username": "agent", "password": demo.Password}, good: 200}
		},
		"POST /api/users/application-token": func() request {
			tokens := s.ItemPath(t, "integration")
			for i, id := range applicationTokens(tokens) { // a user may have a hundred
				if i > 50 {
					s.Do(t, "DELETE", "/api/users/application-tokens/"+id, nil, servertest.Bearer(tokens.AccessToken)).
						Want(t, 200)
				}
			}
			return request{method: "POST", path: "/api/users/application-token",
				as: servertest.Bearer(tokens.RefreshToken), good: 200}
		},
		"GET /api/users/application-tokens": func() request {
			return request{method: "GET", path: "/api/users/application-tokens",
				as: servertest.Bearer(s.ItemPath(t, "integration").AccessToken), good: 200}
		},
		"DELETE /api/users/application-tokens/{id}": func() request {
			tokens := s.ItemPath(t, "integration")
			token := s.Do(t, "POST", "/api/users/application-token", nil, servertest.Bearer(tokens.RefreshToken)).
				Want(t, 200).String("token")
			ids := applicationTokens(tokens)
			return request{method: "DELETE", path: "/api/users/application-tokens/" + ids[len(ids)-1],
				as: servertest.Bearer(tokens.AccessToken), good: 200, probe: func() string {
					if s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(token)).Status == 200 {
						return "the revoked token works"
					}
					return ""
				}}
		},

		"POST /api/v1/{account}/tokens": func() request {
			return request{method: "POST", path: ev + "/tokens",
				body: object{"name": q.fresh("export"), "user": "manager", "period": 30}, as: boss, good: 201}
		},
		"GET /api/v1/{account}/requests/{id}": func() request {
			id := q.made("/v1/tickets", object{"type": "task", "title": q.fresh("ticket")}).String("id")
			return request{method: "GET", path: ev + "/requests/" + id, as: boss, good: 200}
		},

		"GET /up/v5/entityToken": func() request {
			return request{method: "GET", path: "/up/v5/entityToken", as: servertest.Bearer(q.broker.JWT), good: 200}
		},
		"POST /up/v5/entityToken": func() request {
			return request{method: "POST", path: "/up/v5/entityToken", body: object{"Name": q.fresh("token")},
				as: servertest.Bearer(q.broker.JWT), good: 200}
		},
		"POST /up/v5/entity": func() request {
			return request{method: "POST", path: "/up/v5/entity",
				body: object{"Name": q.fresh("entity"), "AuthType": "OAuth2"}, as: master, good: 200}
		},
		"POST /up/v5/oauth2/accessToken": func() request {
			e := s.Provision(t, q.fresh("broker"), "OAuth2")
			return request{method: "POST", path: "/up/v5/oauth2/accessToken",
				body: object{"ClientId": e.ClientID, "ClientSecret": e.ClientSecret, "GrantType": "ClientCredentials",
					"ExpiresInSeconds": 600}, good: 200}
		},
		"POST /token/{organization}": func() request {
			return request{method: "POST", path: "/token/" + demo.Tenant,
				as: servertest.Basic(c.ClientID, c.ClientSecret), good: 200}
		},

		// Company sign-in. What a browser walks through is swept as far as it refuses; test/sso walks it whole.
		"GET /v1/auth/sso/{provider}": func() request {
			return request{method: "GET", path: "/v1/auth/sso/oidc?organization=nobody&redirect_uri=x&" +
				"code_challenge_method=S256&code_challenge=" + strings.Repeat("a", 43), good: 404}
		},
		"GET /v1/auth/sso/{provider}/callback": func() request {
			return request{method: "GET", path: "/v1/auth/sso/oidc/callback?code=x&state=nobody", good: 401}
		},
		"GET /v1/auth/sso/connections/{id}/callback": func() request {
			return request{method: "GET", path: "/v1/auth/sso/connections/" + connection() +
				"/callback?code=x&state=nobody", good: 401}
		},
		"POST /v1/auth/sso/{provider}/callback": func() request {
			return request{method: "POST", path: "/v1/auth/sso/saml/callback", good: 400}
		},
		"POST /v1/auth/sso/connections/{id}/callback": func() request {
			return request{method: "POST", path: "/v1/auth/sso/connections/" + connection() + "/callback", good: 400}
		},
		"GET /v1/auth/sso/saml/metadata": get("/v1/auth/sso/saml/metadata", nil),
		"GET /v1/auth/sso/connections/{id}/metadata": func() request { // it is none of SAML
			return request{method: "GET", path: "/v1/auth/sso/connections/" + connection() + "/metadata", good: 404}
		},
		"GET /v1/auth/sso/connections/{id}/test": func() request {
			return request{method: "GET", path: "/v1/auth/sso/connections/" + connection() + "/test?handle=nobody",
				good: 401}
		},
		"GET /v1/auth/sso/{provider}/link": func() request {
			return request{method: "GET", path: "/v1/auth/sso/oidc/link?handle=nobody", good: 401}
		},
		"POST /v1/auth/sso/{provider}/link": func() request { // there is no active connection
			return request{method: "POST", path: "/v1/auth/sso/oidc/link", as: q.agent, good: 404,
				body: object{"redirectUri": "https://app.example.com/", "codeChallenge": strings.Repeat("a", 43)}}
		},
		"POST /v1/auth/sso/{provider}/token": func() request {
			return request{method: "POST", path: "/v1/auth/sso/oidc/token", good: 401, body: object{"code": "nobody",
				"codeVerifier": strings.Repeat("a", 43), "redirectUri": "https://app.example.com/"}}
		},
		"GET /v1/auth/sso/discover": get("/v1/auth/sso/discover?email=x@nowhere.example", nil),
		"POST /v1/connections/{id}/test": func() request {
			return request{method: "POST", path: "/v1/connections/" + connection() + "/test", as: q.admin, good: 201}
		},
		"GET /v1/connections/{id}/tests/{handle}": func() request {
			id := connection()
			handle := s.Do(t, "POST", "/v1/connections/"+id+"/test", nil, q.admin).Want(t, 201).String("handle")
			return request{method: "GET", path: "/v1/connections/" + id + "/tests/" + handle, as: q.admin, good: 200}
		},
		"POST /v1/connections/{id}/keys":                   keys("POST", 201, ""),
		"POST /v1/connections/{id}/keys/{fingerprint}/use": keys("POST", 200, "/use"),
		"DELETE /v1/connections/{id}/keys/{fingerprint}":   keys("DELETE", 204, "-"),
		"GET /v1/connection-setup":                         setUp("GET", "", "sso", nil, 200),
		"PUT /v1/connection-setup/connection":              setUp("PUT", "/connection", "sso", describes, 200),
		"POST /v1/connection-setup/test":                   setUp("POST", "/test", "sso", nil, 201),
		"GET /v1/connection-setup/tests/{handle}":          setUp("GET", "/tests/", "sso", nil, 200),
		"PUT /v1/connection-setup/domain": func() request {
			return setUp("PUT", "/domain", "domain", object{"name": q.fresh("domain") + ".example"}, 200)()
		},
		"POST /v1/connection-setup/domain/verify": setUp("POST", "/domain/verify", "domain", nil, 409), // none is named
		"POST /v1/auth/sso/connections/{id}/backchannel-logout": func() request {
			return request{method: "POST", path: "/v1/auth/sso/connections/" + connection() + "/backchannel-logout",
				good: 400}
		},
		"GET /v1/auth/sso/connections/{id}/logout": func() request {
			return request{method: "GET", path: "/v1/auth/sso/connections/" + connection() + "/logout", good: 400}
		},
		"POST /v1/auth/sso/connections/{id}/logout": func() request {
			return request{method: "POST", path: "/v1/auth/sso/connections/" + connection() + "/logout", good: 400}
		},
		"GET /v1/setup-links": get("/v1/setup-links", &q.admin),
		"POST /v1/setup-links": func() request {
			return request{method: "POST", path: "/v1/setup-links", body: object{"intent": "sso"}, as: q.admin,
				good: 201}
		},
		"GET /v1/setup-links/{id}": func() request {
			return request{method: "GET", path: "/v1/setup-links/" + q.made("/v1/setup-links",
				object{"intent": "sso"}).String("id"), as: q.admin, good: 200}
		},
		"DELETE /v1/setup-links/{id}": func() request {
			return request{method: "DELETE", path: "/v1/setup-links/" + q.made("/v1/setup-links",
				object{"intent": "sso"}).String("id"), as: q.admin, good: 204}
		},
		"GET /v1/users/{id}/identities": func() request {
			return request{method: "GET", path: "/v1/users/" + q.user("person") + "/identities", as: q.admin, good: 200}
		},
		"DELETE /v1/users/{id}/identities/{connectionId}": func() request { // has none
			return request{method: "DELETE", path: "/v1/users/" + q.user("person") + "/identities/" + connection(),
				as: q.admin, good: 404}
		},
		"GET /v1/domains": get("/v1/domains", &q.admin),
		"POST /v1/domains": func() request {
			return request{method: "POST", path: "/v1/domains", body: object{"name": q.fresh("domain") + ".example"},
				as: q.admin, good: 201}
		},
		"GET /v1/domains/{name}":         domain("GET", 200, nil, ""),
		"PATCH /v1/domains/{name}":       domain("PATCH", 200, object{"enforced": false}, ""),
		"DELETE /v1/domains/{name}":      domain("DELETE", 204, nil, ""),
		"POST /v1/domains/{name}/verify": domain("POST", 409, nil, "/verify"), // there is no record

		"POST /api/users/login/sso": func() request {
			return request{method: "POST", path: "/api/users/login/sso", good: 401, body: object{"code": "nobody",
				"codeVerifier": strings.Repeat("a", 43), "redirectUri": "https://app.example.com/"}}
		},
		"POST /api/users/login/msal": func() request {
			return request{method: "POST", path: "/api/users/login/msal", good: 401, body: object{"token": "nobody's"}}
		},

		// Beside its route: an operator in a tenant, whose every request leaves an event.
		"an operator abroad": func() request {
			return request{method: "GET", path: "/v1/users",
				as: all(q.operator, servertest.Header("X-Tenant-Slug", demo.Tenant)), good: 200}
		},
		"an API key": func() request {
			key := q.made("/v1/api-keys", object{"name": q.fresh("key"), "permissions": []string{"tickets:read:all"}}).
				String("key")
			return request{method: "GET", path: "/v1/tickets", as: servertest.Header("X-API-Key", key), good: 200}
		},
	}
	change := object{"name": "changed"}
	for _, more := range []map[string]func() request{
		q.collection("/v1/access-tokens", object{"name": ""}, change, true),
		q.collection("/v1/api-keys", object{"name": "", "permissions": []string{"tickets:read:all"}}, change, true),
		q.collection("/v1/application-tokens", object{"name": "", "userId": ""}, change, true),
		q.collection("/v1/system-tokens", object{"name": ""}, change, true),
		q.collection("/v1/clients", object{"name": "", "permissions": []string{"tickets:read:all"}}, change, false),
		q.collection("/v1/connections", object{"kind": "oidc", "name": "", "clientSecret": "x",
			"openId": object{"issuer": "https://idp.example.com", "clientId": "x"}}, change, false),
		q.collection("/v1/invitations", object{"email": "", "role": "end_user"}, change, false),
		q.collection("/v1/roles", object{"name": "", "permissions": []string{"tickets:read:all"}},
			object{"permissions": []string{"tickets:read:all", "teams:read:all"}}, false),
		q.collection("/v1/teams", object{"name": ""}, object{"description": "changed"}, false),
		q.collection("/v1/tickets", object{"title": "", "type": "task"}, object{"status": "open"}, false),
		q.collection("/v1/users", object{"email": "", "role": "end_user"}, object{"role": "service_desk_agent"}, false),
	} {
		maps.Copy(out, more)
	}
	delete(out, "DELETE /v1/tickets/{id}") // there is no such route
	return out
}

package doors

import (
	"fmt"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// places are where a credential of a kind of a dialect is used, and what they answer while its organization is
// suspended.
func places(h holder) map[string]int {
	switch h.kind {
	case authn.ItemPathToken:
		return map[string]int{"/verify": 403, "/api/users/application-tokens": 401}
	case authn.ItemPathRefresh:
		return map[string]int{"/api/users/refresh": 401}
	case authn.ApplicationToken:
		return map[string]int{"/api/users/application-tokens": 401, "/verify": 403}
	case authn.AccessToken, authn.Password:
		suspended := 403
		if h.kind == authn.Password {
			suspended = 401 // A5: as a wrong password
		}
		return map[string]int{"/api/v1/" + h.account + "/requests": suspended}
	case authn.SystemToken:
		return map[string]int{"/up/v5/entity": 401, "/up/v5/entityToken": 401}
	case authn.BrokerToken:
		return map[string]int{"/up/v5/entity": 401, "/up/v5/oauth2/userInfo": 401, "/v1/tickets": 403, "/verify": 403}
	case authn.SecuriThingsToken:
		return map[string]int{"/v1/tickets": 403, "/verify": 403}
	}
	return nil
}

// soon tries until it holds, for as long as a slow machine may need.
func soon(t *testing.T, holds func() string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		wrong := holds()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Error(wrong)
			return
		}
	}
}

// A45, G7: a suspended organization stops every kind of credential at its own door, in that door's form, on every node;
// resumed they go on; deleted they end.
func TestA45_SuspendedAtEveryDoor(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		operator := s.As(t, servertest.Operator)
		var l struct{ Data []struct{ ID, Slug string } }
		list := holders(t, s)
		s.Do(t, "GET", "/v1/organizations?limit=1000", nil, operator).Want(t, 200).Into(t, &l)
		state := func(state string) {
			for _, o := range l.Data {
				switch {
				case o.Slug != "acme-corp" && o.Slug != "broker":
				case state == "deleted":
					s.Do(t, "DELETE", "/v1/organizations/"+o.ID, nil, operator).Want(t, 204)
				default:
					s.Do(t, "PATCH", "/v1/organizations/"+o.ID, map[string]any{"state": state}, operator).Want(t, 200)
				}
			}
		}
		asked := 0
		for _, step := range []string{"active", "suspended", "active", "deleted"} {
			state(step)
			for _, h := range list {
				for path, suspended := range places(h) {
					asked++
					want := map[string]int{"active": 200, "suspended": suspended, "deleted": 401}[step]
					for name, node := range map[string]*servertest.Server{"the same node": s, "another node": other} {
						check := func() string {
							if r := node.Do(t, "GET", path, nil, h.send); r.Status != want {
								return fmt.Sprintf("%s, %s at %s on %s: %d, want %d: %s", step, h.kind, path, name,
									r.Status, want, r.Body)
							}
							return ""
						}
						if node == s {
							if wrong := check(); wrong != "" {
								t.Error(wrong)
							}
							continue
						}
						soon(t, check)
					}
				}
			}
		}
		if asked < 50 {
			t.Errorf("only %d questions", asked)
		}
	})
}

// G7, ATK28: tokens that clients got at the doors of dialects stop with the client, its secret and by themselves, on
// every node.
func TestG7_ClientsOfTheDialects(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		operator := s.As(t, servertest.Operator)
		type made struct{ client, secret, secretID, token, path string }
		n := 0
		for door, make := range map[string]func(as func(method, path string, body any) servertest.Response) made{
			"securithings": func(as func(method, path string, body any) servertest.Response) made {
				c := as("POST", "/v1/clients", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}})
				token := s.Do(t, "POST", "/token/acme-corp", nil,
					servertest.Basic(c.String("id"), c.String("clientSecret"))).Want(t, 200)
				return made{c.String("id"), c.String("clientSecret"), "", token.String("access_token"), "/v1/tickets"}
			},
			"servicebroker": func(as func(method, path string, body any) servertest.Response) made {
				c := as("POST", "/v1/clients", map[string]any{"name": "x",
					"permissions": []string{"tickets:read:all", "entity:read:all"}})
				return made{c.String("id"), c.String("clientSecret"), "",
					s.BrokerToken(t, c.String("id"), c.String("clientSecret")), "/up/v5/entity"}
			},
		} {
			slug := "acme-corp"
			if door == "servicebroker" {
				slug = s.Provision(t, "Switch off", "OAuth2").SID
			}
			as := func(method, path string, body any) servertest.Response {
				r := s.Do(t, method, path, body, operator, servertest.Header("X-Tenant-Slug", slug))
				if r.Status >= 300 {
					t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
				}
				return r
			}
			for name, off := range map[string]func(m made){
				"client off":     func(m made) { as("PATCH", "/v1/clients/"+m.client, map[string]any{"state": "off"}) },
				"client deleted": func(m made) { as("DELETE", "/v1/clients/"+m.client, nil) },
				"secret off": func(m made) {
					as("PATCH", "/v1/clients/"+m.client+"/secrets/"+m.secretID, map[string]any{"state": "off"})
				},
				"secret revoked": func(m made) { as("DELETE", "/v1/clients/"+m.client+"/secrets/"+m.secretID, nil) },
				"token revoked": func(m made) {
					s.PostForm(t, "/oauth2/revoke", []string{"token", m.token}, servertest.Basic(m.client, m.secret)).
						Want(t, 200)
				},
			} {
				n++
				m := make(as)
				var l struct{ Data []struct{ ID string } }
				as("GET", "/v1/clients/"+m.client+"/secrets", nil).Into(t, &l)
				m.secretID = l.Data[0].ID
				ask := func(node *servertest.Server) servertest.Response {
					return node.Do(t, "GET", m.path, nil, servertest.Bearer(m.token))
				}
				if a, b := ask(s), ask(other); a.Status != 200 || b.Status != 200 {
					t.Fatalf("%s, %s: before: %d %s, %d", door, name, a.Status, a.Body, b.Status)
				}
				off(m)
				if r := ask(s); r.Status != 401 {
					t.Errorf("%s, %s: %d %s", door, name, r.Status, r.Body)
				}
				soon(t, func() string {
					if r := ask(other); r.Status != 401 {
						return fmt.Sprintf("%s, %s on another node: %d", door, name, r.Status)
					}
					return ""
				})
				if in := s.PostForm(t, "/oauth2/introspect", []string{"token", m.token},
					servertest.Basic(s.Seeds.Clients[0].ClientID, s.Seeds.Clients[0].ClientSecret)); in.Get(
					"active") != false {
					t.Errorf("%s, %s: introspection %s", door, name, in.Body)
				}
			}
		}
		if n != 10 {
			t.Errorf("%d cases", n)
		}
	})
}

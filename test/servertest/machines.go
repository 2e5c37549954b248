package servertest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Machine is a credential of one kind, made for one test.
type Machine struct {
	Kind   string // as authn names it
	ID     string
	Value  string
	Owner  string // of a user's: the user's id
	Client string // of clients: the client_id
	Secret string // of clients
	// SecretID is the id of a client's secret.
	SecretID string
}

// Send gives the change that authenticates a request.
func (m Machine) Send() Change {
	if m.Kind == "api_key" {
		return Header("X-API-Key", m.Value)
	}
	return Bearer(m.Value)
}

// Altered gives a value with its last character changed.
func Altered(value string) string {
	last := byte('0')
	if value[len(value)-1] == last {
		last = '1'
	}
	return value[:len(value)-1] + string(last)
}

// Form sends a body as a form.
func Form() Change {
	return func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
}

// Basic authenticates an OAuth client (RFC 6749 §2.3.1).
func Basic(id, secret string) Change {
	return Header("Authorization",
		"Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))))
}

// PostForm sends form parameters, given in pairs.
func (s *Server) PostForm(t testing.TB, path string, pairs []string, changes ...Change) Response {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return s.Do(t, "POST", path, form.Encode(), append([]Change{Form()}, changes...)...)
}

// User makes a user in the organization of an administrator and gives its id.
func (s *Server) User(t testing.TB, as Change, name, role, kind string) string {
	t.Helper()
	return s.Do(t, "POST", "/v1/users", map[string]any{"email": name + "@acme-corp.example", "role": role,
		"type": kind}, as).Want(t, 201).String("id")
}

// Key makes an API key with permissions; owner is a user's or the organization's id, or empty for the maker.
func (s *Server) Key(t testing.TB, as Change, owner string, permissions ...string) Machine {
	t.Helper()
	body := map[string]any{"name": "test key", "permissions": append([]string{}, permissions...)}
	if owner != "" {
		body["owner"] = owner
	}
	r := s.Do(t, "POST", "/v1/api-keys", body, as).Want(t, 201)
	return Machine{Kind: "api_key", ID: r.String("id"), Value: r.String("key"), Owner: r.String("owner")}
}

// AccessToken makes an access token of a user.
func (s *Server) AccessToken(t testing.TB, as Change, user string) Machine {
	t.Helper()
	r := s.Do(t, "POST", "/v1/access-tokens", map[string]any{"name": "test token", "userId": user}, as).Want(t, 201)
	return Machine{Kind: "access_token", ID: r.String("id"), Value: r.String("token"), Owner: user}
}

// SystemToken makes a system access token with the default permissions.
func (s *Server) SystemToken(t testing.TB, as Change) Machine {
	t.Helper()
	r := s.Do(t, "POST", "/v1/system-tokens", map[string]any{"name": "test token"}, as).Want(t, 201)
	return Machine{Kind: "system_token", ID: r.String("id"), Value: r.String("token")}
}

// ApplicationToken makes an application token of an application user.
func (s *Server) ApplicationToken(t testing.TB, as Change, user string) Machine {
	t.Helper()
	r := s.Do(t, "POST", "/v1/application-tokens", map[string]any{"name": "test token", "userId": user}, as).
		Want(t, 201)
	return Machine{Kind: "application_token", ID: r.String("id"), Value: r.String("token"), Owner: user}
}

// Client makes an OAuth client and gets it a token. More are further members of the body.
func (s *Server) Client(t testing.TB, as Change, more map[string]any, permissions ...string) Machine {
	t.Helper()
	body := map[string]any{"name": "test client", "permissions": append([]string{}, permissions...)}
	for k, v := range more {
		body[k] = v
	}
	r := s.Do(t, "POST", "/v1/clients", body, as).Want(t, 201)
	m := Machine{Kind: "client_token", ID: r.String("id"), Client: r.String("id"), Secret: r.String("clientSecret")}
	if m.Secret == "" {
		return m
	}
	var list struct{ Data []struct{ ID string } }
	s.Do(t, "GET", "/v1/clients/"+m.ID+"/secrets", nil, as).Want(t, 200).Into(t, &list)
	m.SecretID = list.Data[0].ID
	m.Value = s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"}, Basic(m.Client, m.Secret)).
		Want(t, 200).String("access_token")
	return m
}

// Seeded gives the demo's credentials of acme-corp, one of each kind, and an access token of a session.
func (s *Server) Seeded(t testing.TB) []Machine {
	t.Helper()
	c := s.Seeds.Clients[0]
	return []Machine{
		{Kind: "session_token", Value: s.Login(t, Manager).AccessToken},
		{Kind: "api_key", ID: s.Seeds.APIKeys[0].ID, Value: s.Seeds.APIKeys[0].Key},
		{Kind: "access_token", ID: s.Seeds.AccessTokens[0].ID, Value: s.Seeds.AccessTokens[0].Token},
		{Kind: "system_token", ID: s.Seeds.SystemAccessTokens[0].ID, Value: s.Seeds.SystemAccessTokens[0].Token},
		{Kind: "application_token", ID: s.Seeds.ApplicationTokens[0].ID, Value: s.Seeds.ApplicationTokens[0].Token},
		{Kind: "client_token", ID: c.ClientID, Client: c.ClientID, Secret: c.ClientSecret,
			Value: s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
				Basic(c.ClientID, c.ClientSecret)).Want(t, 200).String("access_token")},
	}
}

// Shorten gives the beginning of a secret, for messages.
func Shorten(value string) string { return strings.Clone(value[:min(len(value), 16)]) + "…" }

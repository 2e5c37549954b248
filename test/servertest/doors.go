package servertest

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

// Password authenticates with user name and password (RFC 7617).
func Password(name, password string) Change {
	return Header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
}

// Demo authenticates with the user name and password of a demo user.
func Demo(username string) Change { return Password(username, demo.Password) }

// ItemPath signs a demo user of acme-corp in at ItemPath's door.
func (s *Server) ItemPath(t testing.TB, username string) Tokens {
	t.Helper()
	var tokens Tokens
	s.Do(t, "POST", "/api/users/login", map[string]any{"username": username, "password": demo.Password}).
		Want(t, 200).Into(t, &tokens)
	return tokens
}

// Master gives the change that authenticates the platform's provisioning token.
func (s *Server) Master() Change {
	list := s.Seeds.SystemAccessTokens
	return Bearer(list[len(list)-1].Token)
}

// Entity is an organization provisioned at ServiceBroker's door.
type Entity struct {
	EntityID     string `json:"EntityId"`
	JWT          string `json:"JWT"`
	ClientID     string `json:"ClientId"`
	ClientSecret string `json:"ClientSecret"`
	SID          string `json:"SID"`
}

// Provision makes an organization whose systems use one of the kinds of credential.
func (s *Server) Provision(t testing.TB, name, authType string) Entity {
	t.Helper()
	var e Entity
	s.Do(t, "POST", "/up/v5/entity", map[string]any{"Name": name, "AuthType": authType}, s.Master()).Want(t, 200).
		Into(t, &e)
	return e
}

// BrokerToken gets an access token at ServiceBroker's door.
func (s *Server) BrokerToken(t testing.TB, clientID, secret string) string {
	t.Helper()
	body := map[string]any{"ClientId": clientID, "ClientSecret": secret, "GrantType": "ClientCredentials",
		"ExpiresInSeconds": 600}
	return s.Do(t, "POST", "/up/v5/oauth2/accessToken", body).Want(t, 200).String("access_token")
}

// SecuriThings gets an access token at SecuriThings' door of acme-corp for the demo's client.
func (s *Server) SecuriThings(t testing.TB) string {
	t.Helper()
	c := s.Seeds.Clients[0]
	return s.Do(t, "POST", "/token/acme-corp", nil, Basic(c.ClientID, c.ClientSecret)).Want(t, 200).
		String("access_token")
}

// TestPassword is what PersonWithPassword chooses.
const TestPassword = "a passphrase for a test"

// PersonWithPassword makes a person in the organization of an administrator who has chosen a password, and gives their
// id.
func (s *Server) PersonWithPassword(t testing.TB, as Change, name, role string) string {
	t.Helper()
	r := s.Do(t, "POST", "/v1/users", map[string]any{"email": name + "@acme-corp.example", "role": role}, as).
		Want(t, 201)
	_, link, _ := strings.Cut(r.String("setPasswordUrl"), "#token=")
	s.Do(t, "POST", "/v1/auth/password/set", map[string]any{"token": link, "password": TestPassword}).Want(t, 200)
	return r.String("id")
}

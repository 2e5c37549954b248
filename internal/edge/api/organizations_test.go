package api_test

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

type object = map[string]any

// A55, C7, D6, D7: what the dialects know of an organization is managed at /v1: operators give the account number, the
// kind of machine credential and the SID, an organization the rest of its profile. What is wrong is refused, what is
// taken too; a number that is taken away names nothing from the next request on, on every node; and every change is in
// the audit log with its values.
func TestA55_OrganizationProfile(t *testing.T) {
	t.Parallel()
	eachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		operator, admin := s.As(t, servertest.Operator), s.As(t, servertest.Admin)
		path := "/v1/organizations/" + s.Organization("acme-corp")
		patch := func(body object) servertest.Response { return s.Do(t, "PATCH", path, body, operator) }
		token := servertest.Bearer(s.Seeds.AccessTokens[0].Token)
		account := func(node *servertest.Server, name string) int {
			return node.Do(t, "GET", "/api/v1/"+name+"/requests", nil, token).Status
		}
		if a, b := account(s, "50001"), account(other, "50001"); a != 200 || b != 200 {
			t.Fatalf("the seeded number: %d, %d", a, b)
		}
		r := patch(object{"accountNumber": "777", "profile": object{"sid": "S-1", "email": "it@acme-corp.example",
			"externalId": "X-9", "description": "Makes everything", "domain": "acme-corp.example"}}).Want(t, 200)
		if r.String("accountNumber") != "777" || r.String("profile.sid") != "S-1" ||
			r.String("profile.externalId") != "X-9" || r.String("profile.description") != "Makes everything" ||
			r.String("machineCredential") != "system_token" {
			t.Errorf("changed: %s", r.Body)
		}
		for _, node := range []*servertest.Server{s, other} {
			soon(t, "account number", func() string {
				if account(node, "50001") != 403 || account(node, "777") != 200 || account(node, "acme-corp") != 200 {
					return "the former number still names it, or the new one does not"
				}
				return ""
			})
		}
		if account(s, "50001") != 403 {
			t.Error("the former number names it on the node that changed it")
		}
		for name, c := range map[string]struct {
			body   object
			status int
		}{
			"taken": {object{"accountNumber": "50002"}, 409}, "letters": {object{"accountNumber": "12a"}, 400},
			"short": {object{"accountNumber": "12"}, 400}, "a slug": {object{"accountNumber": "second-tenant"}, 400},
			"kind":     {object{"machineCredential": "password"}, 400},
			"e-mail":   {object{"profile": object{"email": "nobody"}}, 400},
			"long":     {object{"profile": object{"sid": strings.Repeat("x", 101)}}, 400},
			"control":  {object{"profile": object{"domain": "a\u0007b"}}, 400},
			"lifetime": {object{"settings": object{"requestedTokenSeconds": 59}}, 400},
		} {
			if r := patch(c.body); r.Status != c.status {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		s.Do(t, "POST", "/v1/organizations", object{"slug": "third-tenant", "name": "Third", "accountNumber": "777"},
			operator).Want(t, 409)
		third := s.Do(t, "POST", "/v1/organizations",
			object{"slug": "third-tenant", "name": "Third", "accountNumber": "778", "machineCredential": "oauth2",
				"profile": object{"email": "x@third.example"}}, operator).Want(t, 201)
		if third.String("accountNumber") != "778" || third.String("machineCredential") != "oauth2" ||
			third.String("profile.sid") != "third-tenant" || third.String("profile.email") != "x@third.example" {
			t.Errorf("made: %s", third.Body)
		}
		// The kind of machine credential acts at once.
		sat := servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)
		s.Do(t, "GET", "/v1/tickets", nil, sat).Want(t, 200)
		patch(object{"machineCredential": "oauth2"}).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, sat).Want(t, 401)
		patch(object{"machineCredential": "system_token"}).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, sat).Want(t, 200)
		patch(object{"accountNumber": ""}).Want(t, 200)
		if account(s, "777") != 403 {
			t.Error("a number that was taken away still names it")
		}
		// An administrator changes the profile but for what the platform decides.
		mine := s.Do(t, "PATCH", "/v1/organization", object{"profile": object{"description": "Ours"}}, admin).
			Want(t, 200)
		if mine.String("profile.description") != "Ours" || mine.String("profile.sid") != "S-1" {
			t.Errorf("by its administrator: %s", mine.Body)
		}
		for _, body := range []object{{"accountNumber": "888"}, {"machineCredential": "oauth2"},
			{"profile": object{"sid": "mine"}}, {"state": "suspended"}} {
			s.Do(t, "PATCH", "/v1/organization", body, admin).Want(t, 400)
		}
		events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, s.As(t, servertest.Admin)).
			Want(t, 200).Body)
		for _, change := range []string{`"accountNumber":"50001 -`, `"machineCredential":"system_token -`,
			`Makes everything`, `X-9`} {
			if !strings.Contains(events, change) {
				t.Errorf("%s is not in the audit log", change)
			}
		}
	})
}

package credential

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// issuing is a case of making a credential.
type issuing struct {
	name string
	p    principal.Principal
	ask  Request
	want string
	held string // what it gives, if it is made
}

func issueAll(t *testing.T, w *world, cases []issuing) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.ask.Name == "" {
				c.ask.Name = "a name"
			}
			before, _ := w.Count(t.Context(), w.system, c.ask.Kind, "")
			got, err := w.Issue(t.Context(), c.p, c.ask)
			faulttest.Check(t, err, c.want)
			if err != nil {
				if after, _ := w.Count(t.Context(), w.system, c.ask.Kind, ""); after != before {
					t.Error("what was refused was made")
				}
				return
			}
			kept, err := w.Find(t.Context(), w.Digest(c.ask.Kind, got.Value.Reveal()))
			if err != nil || kept.ID != got.ID || strings.Join(kept.Permissions.Strings(), " ") != c.held {
				t.Errorf("%s gives %v, %v", kept.ID, kept.Permissions.Strings(), err)
			}
		})
	}
}

// A15, A40, ATK31, ATK32: an API key never gives more than its maker and its owner hold.
func TestA15_IssueAPIKey(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, chief, maker := w.as(w.admin), w.as(w.chief), w.as(w.maker)
		stale := maker // a session from better days
		stale.Permissions = admin.Permissions
		key := func(owner *Owner, permissions ...string) Request {
			return Request{Kind: APIKey, Owner: owner, Permissions: permissions}
		}
		const grant, less, owner = "FORBIDDEN: You do not hold ",
			"FORBIDDEN: You hold tickets:read:own for less than all",
			"FORBIDDEN: The owner does not hold "
		issueAll(t, w, []issuing{
			{"nothing", maker, key(nil), ok, ""},
			{"what one holds", maker, key(nil, "tickets:read:own", "tickets:create:own"), ok,
				"tickets:create:own tickets:read:own"},
			{"a part of what one holds", admin, key(nil, "tickets:read:own"), ok, "tickets:read:own"},
			{"twice the same", maker, key(nil, "tickets:read:own", "tickets:read:own"), ok, "tickets:read:own"},
			{"another resource", maker, key(nil, "users:read:all"), grant + "users:read:all", ""},
			{"a wider scope", maker, key(nil, "tickets:read:team"), grant + "tickets:read:team", ""},
			{"another action", maker, key(nil, "tickets:manage:own"), grant + "tickets:manage:own", ""},
			{"one of two", maker, key(nil, "tickets:read:own", "users:read:all"), grant + "users:read:all", ""},
			{"what one's role gives no more", stale, key(nil, "users:read:all"), owner + "users:read:all", ""},
			{"a word that is none", maker, key(nil, "tickets:read:own", "tickets:fly:all"), invalid("permissions[1]"),
				""},
			{"the platform's", admin, key(nil, "organizations:read:all"), invalid("permissions[0]"), ""},
			{"the most", maker, key(nil, same(200, "tickets:read:own")...), ok, "tickets:read:own"},
			{"one too many", maker, key(nil, same(201, "tickets:read:own")...), invalid("permissions"), ""},

			{"of the organization", admin, key(w.ofAcme(), "tickets:read:all"), ok, "tickets:read:all"},
			{"of the organization, of nobody's own", admin, key(w.ofAcme(), "tickets:read:own"),
				invalid("permissions[0]"),
				""},
			{"of the organization, of no team", admin, key(w.ofAcme(), "tickets:read:team"), invalid("permissions[0]"),
				""},
			{"of the organization, more than one holds", chief, key(w.ofAcme(), "tickets:read:all"),
				grant + "tickets:read:all", ""},
			{"of the organization by who makes own ones", maker, key(w.ofAcme()),
				"FORBIDDEN: You may make these for yourself only.", ""},
			{"of another organization", admin, key(&Owner{OwnedByOrganization, string(w.other)}), invalid("owner"), ""},

			{"for another", admin, key(ofUser(w.idle), "tickets:read:own"), ok, "tickets:read:own"},
			{"for another, more than they hold", admin, key(ofUser(w.idle), "tickets:read:team"),
				owner + "tickets:read:team", ""},
			{"for another, of what one holds for a team", chief, key(ofUser(w.idle), "tickets:read:own"), less, ""},
			{"for another by who makes own ones", maker, key(ofUser(w.idle)),
				"FORBIDDEN: You may make these for yourself only.", ""},
			{"for one who is disabled", admin, key(ofUser(w.gone)), invalid("owner"), ""},
			{"for one of another organization", admin, key(ofUser(w.stranger)), invalid("owner"), ""},
			{"for a client", admin, key(w.ofClient(client.Authentication{Method: client.Secret})), invalid("owner"),
				""},
			{"without the right", w.as(w.idle), key(nil), "FORBIDDEN: This needs api_keys:create", ""},
			{"a wrong field", maker, Request{Kind: APIKey, Name: "\n"}, invalid("name"), ""},
			{"an end in the past", maker, Request{Kind: APIKey, ExpiresAt: w.now().Add(-1)}, invalid("expiresAt"), ""},
			{"an end soon", maker, Request{Kind: APIKey, ExpiresAt: w.now().Add(time.Minute)}, ok, ""},
		})
	})
}

// C1: an access token is one user's, gives what their role gives, and is made by nobody who holds less.
func TestC1_IssueAccessToken(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, issuer, maker := w.as(w.admin), w.as(w.issuer), w.as(w.maker)
		token := func(owner *Owner, resources ...string) Request {
			return Request{Kind: AccessToken, Owner: owner, Resources: resources}
		}
		issueAll(t, w, []issuing{
			{"one's own", maker, token(nil), ok, ""},
			{"narrowed", maker, token(nil, "tickets"), ok, ""},
			{"with permissions", maker, Request{Kind: AccessToken, Permissions: []string{"tickets:read:own"}},
				invalid("permissions"), ""},
			{"with no permissions", maker, Request{Kind: AccessToken, Permissions: []string{}}, invalid("permissions"),
				""},
			{"another's", admin, token(ofUser(w.agent)), ok, ""},
			{"another's who holds as much", issuer, token(ofUser(w.agent)), ok, ""},
			{"another's who holds more", issuer, token(ofUser(w.admin)), "FORBIDDEN: The owner holds ", ""},
			{"another's who holds more, narrowed to what one holds", issuer, token(ofUser(w.admin), "tickets"),
				"FORBIDDEN: The owner holds ", ""},
			{"another's by who makes own ones", maker, token(ofUser(w.agent)),
				"FORBIDDEN: You may make these for yourself only.", ""},
			{"the organization's", admin, token(w.ofAcme()), invalid("owner"), ""},
			{"of one who is disabled", admin, token(ofUser(w.gone)), invalid("owner"), ""},
			{"of one of another organization", admin, token(ofUser(w.stranger)), invalid("owner"), ""},
			{"without the right", w.as(w.idle), token(nil), "FORBIDDEN: This needs access_tokens:create", ""},
		})
	})
}

// D1, D2: a system token is the organization's, never ends, and holds nothing about people, roles or settings.
func TestD1_IssueSystemToken(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin := w.as(w.admin)
		token := func(list ...string) Request { return Request{Kind: SystemToken, Permissions: list} }
		cases := []issuing{
			{"nothing said", admin, token(), ok, "entity:manage:all reports:read:all sla_policies:manage:all " +
				"system_tokens:manage:all tickets:manage:all"},
			{"nothing at all", admin, Request{Kind: SystemToken, Permissions: []string{}}, ok, ""},
			{"something said", admin, token("tickets:read:all"), ok, "tickets:read:all"},
			{"of nobody's own", admin, token("tickets:read:own"), invalid("permissions[0]"), ""},
			{"a user's", admin, Request{Kind: SystemToken, Owner: ofUser(w.admin)}, invalid("owner"), ""},
			{"with an end", admin, Request{Kind: SystemToken, ExpiresAt: w.now().Add(time.Hour)}, invalid("expiresAt"),
				""},
			{"without the right", w.as(w.chief), token(), "FORBIDDEN: ", ""},
		}
		for _, never := range []string{"users:read:all", "roles:read:all", "organization:read:all", "sso:read:all",
			"api_keys:read:all", "clients:read:all", "sessions:read:all", "audit:read:all", "invitations:read:all",
			"teams:read:all", "access_tokens:read:all", "application_tokens:read:all", "organizations:read:all"} {
			cases = append(cases, issuing{never, admin, token(never), invalid("permissions[0]"), ""})
		}
		issueAll(t, w, cases)
		// One of the platform may provision organizations, and nothing else besides.
		for _, c := range []struct{ held, want string }{{"organizations:create:all", ok},
			{"users:read:all", invalid("permissions[0]")}} {
			_, err := w.Issue(t.Context(), w.as(w.abroad), Request{Kind: SystemToken, Name: "a name",
				Permissions: []string{c.held}})
			faulttest.Check(t, err, c.want)
		}
	})
}

// B6, A15: an application token is an application's, of which one has a hundred at most; a secret is a client's that
// authenticates with one.
func TestB6_IssueOtherKinds(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, issuer := w.as(w.admin), w.as(w.issuer)
		secret := w.ofClient(client.Authentication{Method: client.Secret}, "users:read:all")
		other := w.ofClient(client.Authentication{Method: client.TLS, SubjectDN: "CN=a"})
		issueAll(t, w, []issuing{
			{"an application's", admin, Request{Kind: ApplicationToken, Owner: ofUser(w.app)}, ok, ""},
			{"a person's", admin, Request{Kind: ApplicationToken, Owner: ofUser(w.idle)}, invalid("owner"), ""},
			{"one's own as a person", admin, Request{Kind: ApplicationToken}, invalid("owner"), ""},
			{"without the right", issuer, Request{Kind: ApplicationToken, Owner: ofUser(w.app)}, "FORBIDDEN: ", ""},
			{"with permissions", admin, Request{Kind: ApplicationToken, Owner: ofUser(w.app),
				Permissions: []string{"tickets:read:own"}}, invalid("permissions"), ""},
			{"with an end", admin, Request{Kind: ApplicationToken, Owner: ofUser(w.app),
				ExpiresAt: w.now().Add(time.Hour)}, invalid("expiresAt"), ""},

			{"a client's secret", admin, Request{Kind: ClientSecret, Owner: secret}, ok, ""},
			{"a secret with an end", admin, Request{Kind: ClientSecret, Owner: secret,
				ExpiresAt: w.now().Add(time.Hour)}, ok, ""},
			{"a secret of one that has none", admin, Request{Kind: ClientSecret, Owner: other},
				"CONFLICT: The client authenticates with tls_client_auth", ""},
			{"a secret of no client", admin, Request{Kind: ClientSecret, Owner: &Owner{OwnedByClient, "cli_1"}},
				"NOT_FOUND: There is no such client.", ""},
			{"a secret of nobody", admin, Request{Kind: ClientSecret}, invalid("owner"), ""},
			{"a user's secret", admin, Request{Kind: ClientSecret, Owner: ofUser(w.admin)}, "NOT_FOUND: ", ""},
			{"a secret without the right", issuer, Request{Kind: ClientSecret, Owner: secret}, "FORBIDDEN: ", ""},
		})
		clients := caller(w, "clients:manage:all")
		_, err := w.Issue(t.Context(), clients, Request{Kind: ClientSecret, Name: "a name", Owner: secret})
		faulttest.Check(t, err, "FORBIDDEN: The owner holds users:read:all, which you do not.")

		// An application makes its own by being one, whatever its role gives; nobody else does.
		for _, c := range []struct {
			p    principal.Principal
			want string
		}{{w.as(w.app), ok}, {admin, "FORBIDDEN: Application tokens are for users of the type application."},
			{w.as(w.idle), "FORBIDDEN: Application tokens are for"}} {
			_, err := w.IssueOwn(t.Context(), c.p, "a name")
			faulttest.Check(t, err, c.want)
		}
		for range 98 {
			w.issue(Request{Kind: ApplicationToken, Owner: ofUser(w.app)})
		}
		_, err = w.IssueOwn(t.Context(), w.as(w.app), "one too many")
		faulttest.Check(t, err, "CONFLICT: There are 100 of these already")
		list, err := w.ListOwn(t.Context(), w.as(w.app), "", 1)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if err := w.RevokeOwn(t.Context(), w.as(w.app), list[0].ID); err != nil {
			t.Fatal(err)
		}
		_, err = w.IssueOwn(t.Context(), w.as(w.app), "one is revoked")
		faulttest.Check(t, err, ok)
	})
}

// ATK31, G12: what a machine makes has its maker's bounds where nothing is said, and none makes another kind.
func TestATK31_MadeByMachine(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		rate, soon, list := 100, w.now().Add(time.Hour), networks(t, "192.0.2.0/24")
		parent := w.with(w.issue(Request{Kind: APIKey, Owner: w.ofAcme(), RateLimit: &rate, ExpiresAt: soon,
			Addresses: list, Permissions: []string{"api_keys:manage:all", "tickets:read:all"}}).Credential)
		weak := w.with(w.issue(Request{Kind: APIKey, Permissions: []string{"api_keys:create:all"}}).Credential)
		system := w.with(w.issue(Request{Kind: SystemToken}).Credential)
		access := w.with(w.issue(Request{Kind: AccessToken}).Credential)
		application := w.with(w.issue(Request{Kind: ApplicationToken, Owner: ofUser(w.app)}).Credential)
		const cannot = "FORBIDDEN: This kind of machine credential cannot make another"
		more := 101
		issueAll(t, w, []issuing{
			{"with its bounds", parent, Request{Kind: APIKey, Permissions: []string{"tickets:read:all"}}, ok,
				"tickets:read:all"},
			{"more than it holds", parent, Request{Kind: APIKey, Permissions: []string{"users:read:all"}},
				"FORBIDDEN: You do not hold users:read:all", ""},
			{"a higher rate", parent, Request{Kind: APIKey, RateLimit: &more}, "FORBIDDEN: What a credential", ""},
			{"a later end", parent, Request{Kind: APIKey, ExpiresAt: soon.Add(time.Second)},
				"FORBIDDEN: What a credential", ""},
			{"other addresses", parent, Request{Kind: APIKey, Addresses: networks(t, "198.51.100.7")},
				"FORBIDDEN: What a credential", ""},
			{"by one that may not manage", weak, Request{Kind: APIKey}, cannot, ""},
			{"a system token by an API key", parent, Request{Kind: SystemToken}, cannot, ""},
			{"a system token by one", system, Request{Kind: SystemToken}, ok, "entity:manage:all reports:read:all " +
				"sla_policies:manage:all system_tokens:manage:all tickets:manage:all"},
			{"an API key by a system token", system, Request{Kind: APIKey}, cannot, ""},
			{"an access token by one", access, Request{Kind: AccessToken}, cannot, ""},
			{"an API key by an access token", access, Request{Kind: APIKey}, cannot, ""},
			{"an application token by one", application, Request{Kind: ApplicationToken}, cannot, ""},
		})
		got, err := w.Issue(t.Context(), parent, Request{Kind: APIKey, Name: "a name"})
		if err != nil || got.RateLimit != rate || !got.ExpiresAt.Equal(soon) || len(got.Addresses) != 1 ||
			got.Owner != *w.ofAcme() {
			t.Errorf("the child: %+v, %v", got.Credential, err)
		}
	})
}

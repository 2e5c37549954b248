package credential

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// edit changes a credential as a table says.
type edit = func(ch *Change)

func (w *world) edit(p principal.Principal, c Credential, change edit) (Credential, error) {
	w.t.Helper()
	return w.Update(w.t.Context(), p, c.Kind, c.ID, func(ch *Change) error { change(ch); return nil })
}

// put writes a state past the rules, as a restore from a backup does.
func (w *world) put(c Credential, state State) {
	w.t.Helper()
	err := w.db.Tx(w.t.Context(), c.Organization, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(w.t.Context(), `UPDATE credentials SET state = $1 WHERE organization_id = $2 AND id = $3`,
			string(state), c.Organization, c.ID)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// each makes one credential of each kind.
func (w *world) each() map[Kind]Issued {
	w.t.Helper()
	secret := w.ofClient(client.Authentication{Method: client.Secret})
	return map[Kind]Issued{APIKey: w.issue(Request{Kind: APIKey}), AccessToken: w.issue(Request{Kind: AccessToken}),
		SystemToken:      w.issue(Request{Kind: SystemToken}),
		ApplicationToken: w.issue(Request{Kind: ApplicationToken, Owner: ofUser(w.app)}),
		ClientSecret:     w.issue(Request{Kind: ClientSecret, Owner: secret})}
}

// A17, C5, D2: which kind can be switched off, ended at a time, given permissions and another owner; all are switched
// on again after a restore, and none comes back once revoked.
func TestC5_StatesOfKinds(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin := w.as(w.admin)
		off := func(ch *Change) { ch.State = Off }
		on := func(ch *Change) { ch.State = Active }
		end := func(ch *Change) { ch.ExpiresAt = w.now().Add(time.Hour) }
		give := func(ch *Change) { ch.PermissionList = []string{"tickets:read:all"} }
		move := func(ch *Change) { ch.Owner = *ofUser(w.idle) }
		for _, c := range []struct {
			kind                  Kind
			off, end, give, owner string
		}{
			{APIKey, ok, ok, ok, ok},
			{AccessToken, invalid("state"), ok, invalid("permissions"), invalid("owner")},
			{SystemToken, ok, invalid("expiresAt"), ok, invalid("owner")},
			{ApplicationToken, invalid("state"), invalid("expiresAt"), invalid("permissions"), invalid("owner")},
			{ClientSecret, ok, ok, invalid("permissions"), invalid("owner")},
		} {
			t.Run(string(c.kind), func(t *testing.T) {
				cr := w.each()[c.kind].Credential
				for _, step := range []struct {
					name   string
					before func()
					change edit
					want   string
				}{
					{"off", nil, off, c.off},
					{"on", func() { w.put(cr, Off) }, on, ok},
					{"revoked by a change", nil, func(ch *Change) { ch.State = Revoked }, invalid("state")},
					{"no state", nil, func(ch *Change) { ch.State = "" }, invalid("state")},
					{"revoked while off", func() { w.put(cr, Off) }, func(ch *Change) { ch.State = Revoked },
						invalid("state")},
					{"on again", nil, on, ok},
					{"an end", nil, end, c.end},
					{"permissions", nil, give, c.give},
					{"another owner", nil, move, c.owner},
					{"a name", nil, func(ch *Change) { ch.Name = "another name" }, ok},
					{"no name", nil, func(ch *Change) { ch.Name = "" }, invalid("name")},
					{"on when revoked", func() { w.put(cr, Revoked) }, on, "CONFLICT: It is revoked for good."},
					{"a name when revoked", nil, func(ch *Change) { ch.Name = "a name" },
						"CONFLICT: It is revoked for good."},
				} {
					if step.before != nil {
						step.before()
					}
					t.Run(step.name, func(t *testing.T) {
						_, err := w.edit(admin, cr, step.change)
						faulttest.Check(t, err, step.want)
					})
				}
			})
		}
	})
}

// A14, C4: each field's bounds hold for changes too; an end in the past cannot be chosen, but stays if it is there.
func TestC4_ChangedEnd(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		end := w.now().Add(time.Hour)
		for _, c := range []struct {
			name   string
			change edit
			want   string
		}{
			{"later", func(ch *Change) { ch.ExpiresAt = end.Add(time.Hour) }, ok},
			{"never", func(ch *Change) { ch.ExpiresAt = time.Time{} }, ok},
			{"now", func(ch *Change) { ch.ExpiresAt = w.now() }, invalid("expiresAt")},
			{"in a hundred years", func(ch *Change) { ch.ExpiresAt = end.Add(maxLifetime) }, invalid("expiresAt")},
			{"a name after the end", func(ch *Change) { ch.Name = "b" }, ok},
			{"a rate past the bound", func(ch *Change) { ch.RateLimit = maxRateLimit + 1 },
				invalid("rateLimitPerMinute")},
			{"a resource", func(ch *Change) { ch.Resources = []string{"tickets"} }, invalid("resources")},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.later.Store(0)
				cr := w.issue(Request{Kind: APIKey, ExpiresAt: end}).Credential
				if strings.Contains(c.name, "after") {
					w.later.Store(int64(2 * time.Hour))
				}
				_, err := w.edit(w.as(w.admin), cr, c.change)
				faulttest.Check(t, err, c.want)
			})
		}
	})
}

// A15, A33, ATK31, ATK59: who may change whose, and nobody hands power to a credential that they lack themselves.
func TestATK59_WhoChanges(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, chief, maker, issuer := w.as(w.admin), w.as(w.chief), w.as(w.maker), w.as(w.issuer)
		reader := caller(w, "api_keys:read:all", "api_keys:update:own")
		key := func(owner *Owner, list ...string) Request {
			return Request{Kind: APIKey, Owner: owner, Permissions: list}
		}
		makers, admins := key(ofUser(w.maker), "tickets:read:own"), key(nil, "users:read:all")
		ours, token := key(w.ofAcme(), "tickets:read:all"), Request{Kind: AccessToken, Owner: ofUser(w.agent),
			Resources: []string{"tickets"}}
		name := func(ch *Change) { ch.Name = "another" }
		off := func(ch *Change) { ch.State = Off }
		rate := func(ch *Change) { ch.RateLimit = 1 }
		give := func(list ...string) edit { return func(ch *Change) { ch.PermissionList = list } }
		const gives, none = "FORBIDDEN: This credential gives ", "NOT_FOUND: There is no such credential."
		for _, c := range []struct {
			name   string
			p      principal.Principal
			of     Request
			change edit
			want   string
		}{
			{"one's own", maker, makers, name, ok},
			{"one's own, less", maker, makers, give(), ok},
			{"one's own, what one holds", maker, makers, give("tickets:create:own"), ok},
			{"one's own, more", maker, makers, give("tickets:read:own", "users:read:all"),
				"FORBIDDEN: You do not hold "},
			{"one's own, of another scope", maker, makers, give("tickets:read:all"), "FORBIDDEN: You do not hold "},
			{"one's own, a word that is none", maker, makers, give("tickets:fly:own"), invalid("permissions[0]")},
			{"another's by who has own ones", maker, admins, name, none},
			{"the organization's by who has own ones", maker, ours, name, none},
			{"another's that one sees", reader, makers, name, "FORBIDDEN: This needs api_keys:update"},
			{"another's", admin, makers, name, ok},
			{"another's, more than they hold", admin, makers, give("users:read:all"),
				"FORBIDDEN: The owner does not hold "},
			{"one that gives more", chief, admins, name, gives + "users:read:all"},
			{"one that gives more, a bound", chief, admins, rate, gives + "users:read:all"},
			{"one that gives more, switched off", chief, admins, off, ok},
			{"one of the organization that gives more", chief, ours, name, gives + "tickets:read:all"},
			{"one that gives another's own things", chief, makers, name, gives + "tickets:read:own of somebody else"},
			{"the organization's, of nobody's own", admin, ours, give("tickets:read:own"), invalid("permissions[0]")},
			{"an access token", issuer, token, name, ok},
			{"an access token, narrower", issuer, token, func(ch *Change) { ch.Resources = []string{"reports"} }, ok},
			{"by a user of another organization", w.as(w.stranger), makers, name, none},
			{"by an operator at home", w.as(w.abroad), makers, name, none},
		} {
			t.Run(c.name, func(t *testing.T) {
				cr := w.issue(c.of).Credential
				_, err := w.edit(c.p, cr, c.change)
				faulttest.Check(t, err, c.want)
			})
		}
		t.Run("an access token, wider than one holds", func(t *testing.T) {
			cr := w.issue(Request{Kind: AccessToken, Owner: ofUser(w.maker), Resources: []string{"tickets"}}).Credential
			for _, wider := range [][]string{nil, {"api_keys"}, {"tickets", "api_keys"}} {
				_, err := w.edit(issuer, cr, func(ch *Change) { ch.Resources = wider })
				faulttest.Check(t, err, gives+"api_keys:manage:own")
			}
			_, err := w.edit(issuer, cr, func(ch *Change) { ch.Resources = []string{"tickets", "access_tokens"} })
			faulttest.Check(t, err, ok)
		})
		t.Run("under another kind's name", func(t *testing.T) {
			cr := w.issue(admins).Credential
			cr.Kind = SystemToken
			_, err := w.edit(admin, cr, name)
			faulttest.Check(t, err, none)
			cr.ID = id.Credential("key_1")
			_, err = w.edit(admin, cr, name)
			faulttest.Check(t, err, none)
		})
	})
}

// A15: an API key is given to another owner by who may change all, and gives afterwards what it gave before, what the
// new owner holds and what the giver reaches, and no more.
func TestA15_Transfer(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, chief := w.as(w.admin), w.as(w.chief)
		for _, c := range []struct {
			name     string
			p        principal.Principal
			from, to *Owner
			list     string
			want     string
			held     string
		}{
			{"to another", admin, ofUser(w.maker), ofUser(w.idle), "tickets:create:own tickets:read:own", ok,
				"tickets:create:own tickets:read:own"},
			{"to one who holds less", admin, ofUser(w.admin), ofUser(w.idle), "tickets:read:all users:read:all", ok,
				"tickets:read:own"},
			{"to the organization", admin, ofUser(w.admin), w.ofAcme(), "tickets:read:all users:read:all", ok,
				"tickets:read:all users:read:all"},
			{"to the organization, of nobody's own", admin, ofUser(w.maker), w.ofAcme(), "tickets:read:own", ok, ""},
			{"from the organization", admin, w.ofAcme(), ofUser(w.maker), "tickets:read:all", ok, "tickets:read:own"},
			{"by who changes own ones", w.as(w.maker), ofUser(w.maker), ofUser(w.idle), "tickets:read:own",
				"FORBIDDEN: Giving it to another owner needs api_keys:update:all.", ""},
			{"by who holds less", chief, ofUser(w.admin), ofUser(w.chief), "users:read:all",
				"FORBIDDEN: This credential gives users:read:all", ""},
			{"to one who is disabled", admin, ofUser(w.admin), ofUser(w.gone), "tickets:read:all", invalid("owner"),
				""},
			{"to one of another organization", admin, ofUser(w.admin), ofUser(w.stranger), "", invalid("owner"), ""},
			{"to another organization", admin, ofUser(w.admin), &Owner{OwnedByOrganization, string(w.other)}, "",
				invalid("owner"), ""},
			{"to a client", admin, ofUser(w.admin), w.ofClient(client.Authentication{Method: client.Secret}), "",
				invalid("owner"), ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				cr := w.issue(Request{Kind: APIKey, Owner: c.from, Permissions: strings.Fields(c.list)}).Credential
				got, err := w.edit(c.p, cr, func(ch *Change) { ch.Owner = *c.to })
				faulttest.Check(t, err, c.want)
				if err == nil && (got.Permissions.Line() != c.held || got.Owner != *c.to) {
					t.Errorf("%v holds %q, want %q", got.Owner, got.Permissions.Line(), c.held)
				}
			})
		}
	})
}

// G12: a machine names credentials and cuts them; it lifts no bound and switches nothing on, but for system tokens.
func TestG12_ChangedByMachine(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		all := []string{"api_keys:manage:all", "tickets:read:all"}
		key := w.with(w.issue(Request{Kind: APIKey, Owner: w.ofAcme(), Permissions: all}).Credential)
		system := w.with(w.issue(Request{Kind: SystemToken}).Credential)
		clerk := w.with(w.issue(Request{Kind: SystemToken,
			Permissions: []string{"system_tokens:update:all"}}).Credential)
		on := func(ch *Change) { ch.State = Active }
		const cannot, never = "FORBIDDEN: A machine credential cannot change the ",
			"FORBIDDEN: A machine credential cannot switch on"
		for _, c := range []struct {
			name   string
			p      principal.Principal
			of     Kind
			begin  State
			change edit
			want   string
		}{
			{"a name", key, APIKey, Active, func(ch *Change) { ch.Name = "b" }, ok},
			{"a purpose", key, APIKey, Active, func(ch *Change) { ch.Purpose = "b" }, ok},
			{"fewer permissions", key, APIKey, Active, func(ch *Change) { ch.PermissionList = nil }, ok},
			{"off", key, APIKey, Active, func(ch *Change) { ch.State = Off }, ok},
			{"a rate", key, APIKey, Active, func(ch *Change) { ch.RateLimit = 1 }, cannot + "rateLimitPerMinute"},
			{"an end", key, APIKey, Active, func(ch *Change) { ch.ExpiresAt = w.now().Add(time.Hour) },
				cannot + "expiresAt"},
			{"addresses", key, APIKey, Active, func(ch *Change) { ch.Addresses = networks(t, "192.0.2.7") },
				cannot + "allowedAddresses"},
			{"an owner", key, APIKey, Active, func(ch *Change) { ch.Owner = *ofUser(w.admin) }, cannot},
			{"on", key, APIKey, Off, on, never},
			{"a system token on", system, SystemToken, Off, on, ok},
			{"a system token on by one that makes none", clerk, SystemToken, Off, on, never},
			{"a system token off", system, SystemToken, Active, func(ch *Change) { ch.State = Off }, ok},
			{"another kind", system, APIKey, Active, func(ch *Change) { ch.Name = "b" }, "NOT_FOUND: "},
		} {
			t.Run(c.name, func(t *testing.T) {
				n := Request{Kind: c.of, Owner: w.ofAcme(), Permissions: []string{"tickets:read:all"}}
				if c.p.ID == clerk.ID {
					n.Permissions = []string{"system_tokens:update:all"}
				}
				cr := w.issue(n).Credential
				w.put(cr, c.begin)
				_, err := w.edit(c.p, cr, c.change)
				faulttest.Check(t, err, c.want)
			})
		}
	})
}

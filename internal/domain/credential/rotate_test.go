package credential

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// opened tells whether a value opens a credential now.
func (w *world) opened(kind Kind, value secret.Secret) bool {
	w.t.Helper()
	c, err := w.Find(w.t.Context(), w.Digest(kind, value.Reveal()))
	if err != nil && faulttest.Outcome(err) != "NOT_FOUND: There is no such credential." {
		w.t.Fatal(err)
	}
	return err == nil && c.Live(w.now())
}

// A14, G12, ATK31: who gets another value of what, and when not.
func TestA14_Rotate(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		admin, chief, maker := w.as(w.admin), w.as(w.chief), w.as(w.maker)
		all := []string{"api_keys:manage:all", "tickets:read:all"}
		free := w.with(w.issue(Request{Kind: APIKey, Owner: w.ofAcme(), Permissions: all}).Credential)
		bound := w.with(w.issue(Request{Kind: APIKey, Owner: w.ofAcme(), Permissions: all,
			Addresses: networks(t, "192.0.2.7")}).Credential)
		weak := w.with(w.issue(Request{Kind: APIKey, Owner: w.ofAcme(),
			Permissions: []string{"api_keys:update:all", "tickets:read:all"}}).Credential)
		ours := Request{Kind: APIKey, Owner: w.ofAcme(), Permissions: []string{"tickets:read:all"}}
		makers := Request{Kind: APIKey, Owner: ofUser(w.maker), Permissions: []string{"tickets:read:own"}}
		leaver := w.idle
		const resting = "CONFLICT: Only an active credential that has not expired can be rotated."
		for _, c := range []struct {
			name    string
			p       principal.Principal
			of      Request
			overlap time.Duration
			before  func(c Credential)
			want    string
		}{
			{"one's own", maker, makers, 0, nil, ok},
			{"another's", admin, makers, 0, nil, ok},
			{"another's by who has own ones", maker, ours, 0, nil, "NOT_FOUND: "},
			{"one that gives more", chief, ours, 0, nil, "FORBIDDEN: This credential gives tickets:read:all"},
			{"one that gives another's own things", chief, makers, 0, nil,
				"FORBIDDEN: This credential gives tickets:read"},
			{"the longest overlap", admin, ours, 30 * 24 * time.Hour, nil, ok},
			{"a longer overlap", admin, ours, 30*24*time.Hour + 1, nil, invalid("overlapSeconds")},
			{"a negative overlap", admin, ours, -1, nil, invalid("overlapSeconds")},
			{"one that is off", admin, ours, 0, func(c Credential) { w.put(c, Off) }, resting},
			{"one that is revoked", admin, ours, 0, func(c Credential) { w.put(c, Revoked) }, resting},
			{"one that has expired", admin, Request{Kind: APIKey, ExpiresAt: w.now().Add(time.Hour)}, 0,
				func(Credential) { w.later.Store(int64(time.Hour)) }, resting},
			{"one whose owner is disabled", admin, Request{Kind: AccessToken, Owner: ofUser(leaver)}, 0,
				func(Credential) { w.disable(leaver) }, "CONFLICT: Its owner is not active"},
			{"a system token", admin, Request{Kind: SystemToken}, 0, nil, ok},
			{"by a machine", free, ours, 0, nil, ok},
			{"by a machine, one with an end", free, Request{Kind: APIKey, Owner: w.ofAcme(),
				ExpiresAt: w.now().Add(time.Hour)}, 0, nil, ok},
			{"by a machine, one with wider bounds", bound, ours, 0, nil,
				"FORBIDDEN: What a credential makes, rotates or gives more to"},
			{"by a machine that makes none", weak, ours, 0, nil,
				"FORBIDDEN: A machine credential cannot get the value of another one."},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.later.Store(0)
				cr := w.issue(c.of)
				if c.before != nil {
					c.before(cr.Credential)
				}
				got, err := w.Rotate(t.Context(), c.p, c.of.Kind, cr.ID, c.overlap)
				faulttest.Check(t, err, c.want)
				if err != nil {
					if !got.Value.IsZero() {
						t.Error("a value was given")
					}
					return
				}
				if !w.opened(c.of.Kind, got.Value) || w.opened(c.of.Kind, cr.Value) != (c.overlap > 0) {
					t.Errorf("the value opens %v, the former one %v", w.opened(c.of.Kind, got.Value),
						w.opened(c.of.Kind, cr.Value))
				}
			})
		}
		w.later.Store(0)
		_, err := w.Rotate(t.Context(), bound, APIKey, id.Credential(bound.ID), 0)
		faulttest.Check(t, err, ok) // itself, whatever its bounds
	})
}

// A14: of three values two work during the overlap, and one after it.
func TestA14_Overlap(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		first := w.issue(Request{Kind: APIKey})
		next := func(overlap time.Duration) secret.Secret {
			t.Helper()
			i, err := w.Rotate(t.Context(), w.as(w.admin), APIKey, first.ID, overlap)
			if err != nil {
				t.Fatal(err)
			}
			return i.Value
		}
		values := []secret.Secret{first.Value, next(time.Hour)}
		check := func(when string, want ...bool) {
			t.Helper()
			for i, v := range values {
				if got := w.opened(APIKey, v); got != want[i] {
					t.Errorf("%s: value %d opens: %v", when, i+1, got)
				}
			}
		}
		check("in the overlap", true, true)
		w.later.Store(int64(time.Hour + time.Second))
		check("after the overlap", false, true)
		w.later.Store(0)
		check("the time set back", true, true)
		values = append(values, next(time.Hour))
		check("rotated again in the overlap", false, true, true)
		values = append(values, next(0))
		check("rotated without an overlap", false, false, false, true)
		if err := w.Revoke(t.Context(), w.as(w.admin), APIKey, first.ID); err != nil {
			t.Fatal(err)
		}
		check("revoked", false, false, false, false)
	})
}

// C5, A33: who may end what; ending twice changes nothing.
func TestC5_Revoke(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		const none = "NOT_FOUND: There is no such credential."
		for kind, cr := range w.each() {
			t.Run(string(kind), func(t *testing.T) {
				r := kind.Resource()
				faulttest.Check(t, w.Revoke(t.Context(), caller(w, r+":update:all"), kind, cr.ID), none)
				faulttest.Check(t, w.Revoke(t.Context(), caller(w, r+":read:all"), kind, cr.ID),
					"FORBIDDEN: This needs "+
						r+":delete")
				faulttest.Check(t, w.Revoke(t.Context(), w.as(w.stranger), kind, cr.ID), none)
				if !w.opened(kind, cr.Value) {
					t.Error("it was revoked")
				}
				for range 2 {
					faulttest.Check(t, w.Revoke(t.Context(), caller(w, r+":delete:all"), kind, cr.ID), ok)
				}
				if w.opened(kind, cr.Value) {
					t.Error("it still opens")
				}
			})
		}
		mine, yours := w.issue(Request{Kind: APIKey, Owner: ofUser(w.maker)}), w.issue(Request{Kind: APIKey})
		faulttest.Check(t, w.Revoke(t.Context(), w.as(w.maker), APIKey, yours.ID), none)
		faulttest.Check(t, w.Revoke(t.Context(), w.as(w.maker), APIKey, mine.ID), ok)
		apps := w.issue(Request{Kind: ApplicationToken, Owner: ofUser(w.app)})
		faulttest.Check(t, w.RevokeOwn(t.Context(), w.as(w.admin), apps.ID), "FORBIDDEN: Application tokens are for")
		faulttest.Check(t, w.RevokeOwn(t.Context(), w.as(w.app), apps.ID), ok)
	})
}

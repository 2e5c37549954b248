package user

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

const chosen = "a kettle under violet stairs"

// whileHeld begins acts one after the other while a user is held, each when those before it wait with what they have
// done so far, then lets them go and waits for their end. SQLite has one writer, and nothing happens in between.
func (w *world) whileHeld(u User, acts ...func()) {
	w.t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = w.db.Tx(w.t.Context(), u.Organization, func(tx *sqldb.Tx) error {
			_, err := userdb.New(tx).Hold(w.t.Context(), u.Organization, u.ID)
			close(held)
			<-release
			return err
		})
	})
	<-held
	for i, act := range acts {
		all.Go(act)
		w.untilWaiting(i + 1)
	}
	close(release)
	all.Wait()
}

// untilWaiting returns when so many transactions wait for a lock in PostgreSQL, or do not come to that.
func (w *world) untilWaiting(n int) {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); w.db.Engine() == sqldb.Postgres; time.Sleep(10 * time.Millisecond) {
		var waiting int
		if err := w.db.Platform("who waits for a lock").QueryRow(w.t.Context(), `SELECT count(DISTINCT l.pid)
			FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
			WHERE NOT l.granted AND a.datname = current_database()`).Scan(&waiting); err != nil {
			w.t.Fatal(err)
		}
		if waiting >= n || time.Now().After(end) {
			return
		}
	}
}

// ATK53: a link that is made while its user becomes somebody else opens nothing: not for the clerk who asked for it
// when the user had few rights, and not in the former mailbox.
func TestATK53_LinkOfWhoTheUserWas(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(u *User){
		"promoted": func(u *User) { u.Role = permission.RoleAdmin },
		"moved":    func(u *User) { u.Email = "moved@acme-corp.example" },
	} {
		sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
			w := newWorld(t, db)
			var link secret.Secret
			var refused, failed error
			w.whileHeld(w.idle,
				func() { link, _, refused = w.PasswordLink(t.Context(), w.as(w.clerk), w.idle.ID) },
				func() { _, failed = w.Update(t.Context(), w.as(w.admin), w.idle.ID, change) })
			if failed != nil {
				t.Fatalf("%s: %v", name, failed)
			}
			if name == "promoted" && fault.Is(refused, fault.Forbidden) {
				return // the change was first
			}
			if refused != nil {
				t.Fatalf("%s: %v", name, refused)
			}
			var last string
			if err := db.Tenant(w.acme).QueryRow(t.Context(), `SELECT act FROM audit_events WHERE organization_id = $1
				AND target_id = $2 ORDER BY id DESC LIMIT 1`, w.acme, w.idle.ID).Scan(&last); err != nil {
				t.Fatal(err)
			}
			if name == "moved" && last == "user.password_link_issued" {
				return // it was made for who the user is now, after another look
			}
			if _, err := w.AtLink(t.Context(), "set-password", link); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("%s: the page shows the link as good: %v", name, err)
			}
			if u, err := w.SetPasswordByLink(t.Context(), principal.Source{}, link, chosen, nothing); err == nil {
				t.Errorf("%s: the link opened %s, a %s", name, u.Email, u.Role)
			}
		})
	}
}

// Whoever does something with the links of a user at the same time waits for no more than a moment: all hold the user
// first.
func TestLinksAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		handed, _, err := w.PasswordLink(t.Context(), w.as(w.admin), w.idle.ID)
		if err != nil {
			t.Fatal(err)
		}
		reset := func() (link secret.Secret) {
			err := db.Tx(t.Context(), w.acme, func(tx *sqldb.Tx) (err error) {
				link, err = w.onetime.Issue(t.Context(), tx, w.acme, purposeReset, string(w.idle.ID),
					origin{Proves: true}.payload(), w.now(), w.now().Add(time.Hour))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return link
		}
		for name, acts := range map[string][2]func(link secret.Secret) error{
			"a link is used and the password changed": {
				func(link secret.Secret) error {
					_, err := w.ResetPassword(t.Context(), principal.Source{}, link, chosen, nothing)
					return err
				}, func(secret.Secret) error {
					place, err := w.pool.Enter("test")
					if err != nil {
						return err
					}
					defer place.Leave()
					_, err = w.ChangePassword(t.Context(), w.as(w.idle), place, good, "an otter on the seventh train",
						nothing)
					return err
				}},
			"two links are used": {
				func(link secret.Secret) error {
					_, err := w.ResetPassword(t.Context(), principal.Source{}, link, chosen, nothing)
					return err
				}, func(secret.Secret) error {
					_, err := w.SetPasswordByLink(t.Context(), principal.Source{}, handed, chosen, nothing)
					return err
				}},
			"a link is used and another made": {
				func(link secret.Secret) error {
					_, err := w.ResetPassword(t.Context(), principal.Source{}, link, chosen, nothing)
					return err
				}, func(secret.Secret) error {
					_, _, err := w.PasswordLink(t.Context(), w.as(w.admin), w.idle.ID)
					return err
				}},
		} {
			link := reset()
			var errs [2]error
			w.whileHeld(w.idle, func() { errs[0] = acts[0](link) }, func() { errs[1] = acts[1](link) })
			for _, err := range errs {
				if fault.Is(err, fault.Unavailable) {
					t.Errorf("%s: a deadlock: %v", name, err)
				}
			}
			if errs[0] != nil && errs[1] != nil {
				t.Errorf("%s: neither was done: %v; %v", name, errs[0], errs[1])
			}
		}
	})
}

// A55: two invitations of one address and role that are made at the same time leave one that waits.
func TestA55_InvitationsAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		for i := range 5 {
			email := fmt.Sprintf("guest%d@acme-corp.example", i)
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if _, _, err := w.Invite(t.Context(), w.as(w.admin), NewUser{Email: email,
						Role: permission.RoleEndUser}); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			pending, err := w.ListInvitations(t.Context(), w.as(w.admin), Pending, "", 100)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, p := range pending {
				if p.Email == email {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d invitations of %s wait", n, email)
			}
		}
	})
}

// A1: an address in another spelling is the same address, and stays proven.
func TestA1_SpellingKeepsTheProof(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		for _, spelled := range []string{" " + w.idle.Email + " ", strings.ToUpper(w.idle.Email), w.idle.Email} {
			u, err := w.Update(t.Context(), w.as(w.admin), w.idle.ID, func(u *User) { u.Email = spelled })
			if err != nil || !u.EmailVerified {
				t.Errorf("%q: proven %v: %v", spelled, u.EmailVerified, err)
			}
		}
		u, err := w.Update(t.Context(), w.as(w.admin), w.idle.ID, func(u *User) { u.Email = "other@acme-corp.example" })
		if err != nil || u.EmailVerified {
			t.Errorf("another address: proven %v: %v", u.EmailVerified, err)
		}
	})
}

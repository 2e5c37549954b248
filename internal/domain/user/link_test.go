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

// whileHeld begins acts one after the other while a user is held, so that each waits with what it has done before, then
// lets them go and waits for their end. SQLite has one writer, and nothing to wait in between.
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
	for _, act := range acts {
		all.Go(act)
		time.Sleep(300 * time.Millisecond)
	}
	close(release)
	all.Wait()
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
			if refused != nil { // the change was first
				return
			}
			f, err := w.onetime.Look(t.Context(), purposeSetPassword, link, w.now())
			if err == nil && strings.Contains(f.Payload, "moved@") { // likewise, and the link is of afterwards
				return
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

// A user who changes the password while a link is used waits for no more than a moment: both take the links first.
func TestPasswordAndLinkAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		link, _, err := w.PasswordLink(t.Context(), w.as(w.admin), w.idle.ID)
		if err != nil {
			t.Fatal(err)
		}
		var changed, set error
		w.whileHeld(w.idle, func() {
			place, err := w.pool.Enter("test")
			if err != nil {
				t.Error(err)
				return
			}
			defer place.Leave()
			_, changed = w.ChangePassword(t.Context(), w.as(w.idle), place, good, "an otter on the seventh train",
				nothing)
		}, func() { _, set = w.SetPasswordByLink(t.Context(), principal.Source{}, link, chosen, nothing) })
		for _, err := range []error{changed, set} {
			if fault.Is(err, fault.Unavailable) {
				t.Errorf("a deadlock: %v", err)
			}
		}
		if changed != nil && set != nil {
			t.Errorf("neither was done: %v; %v", changed, set)
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

package user

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A12: how long a new password must be, and what it must not be made of.
func TestA12_Policy(t *testing.T) {
	t.Parallel()
	text := "quiz otter lamp" + strings.Repeat(" and more of it", 40)
	for _, c := range []struct {
		name  string
		least int64
		u     User
		plain string
		good  bool
	}{
		{"the shortest", 15, User{}, text[:15], true},
		{"shorter", 15, User{}, text[:14], false},
		{"the shortest where another factor is asked for", 8, User{}, text[:8], true},
		{"shorter where another factor is asked for", 8, User{}, text[:7], false},
		{"of an application, which may be exempted", 8, User{Kind: Application}, text[:15], true},
		{"of an application, shorter", 8, User{Kind: Application}, text[:14], false},
		{"of an application where more is asked for", 20, User{Kind: Application}, text[:19], false},
		{"the longest", 15, User{}, text[:256], true},
		{"longer", 15, User{}, text[:257], false},
		{"counted in characters", 15, User{}, "žluťoučký kůň", false},
		{"no UTF-8", 15, User{}, good + "\xff", false},
		{"the organization's slug", 8, User{}, "acme-corp-2026!", false},
		{"the organization's name", 8, User{}, "2026 Acme Company!", false},
		{"the product", 8, User{}, "Gatehouse#2026", false},
		{"a blocked word", 8, User{}, "warehouse12345", false},
		{"a blocked word among others", 8, User{}, "warehouse of good words", true},
		{"one's address", 8, User{Email: "roberta@b.example"}, "roberta@b.example1", false},
		{"the beginning of one's address", 8, User{Email: "roberta@b.example"}, "roberta12345", false},
		{"one's user name", 8, User{Username: "rob.ert"}, "rob.ert#2026", false},
		{"a part of one's name", 8, User{Name: "Roberta Kowalczyk"}, "!kowalczyk!2026", false},
		{"a short part of one's name", 8, User{Name: "Jo Li"}, "7hq2 jo xw9 !", true},
		{"another's name", 8, User{Name: "Roberta"}, "kowalczyk!2026", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			org := organization.Organization{Slug: "acme-corp", Name: "Acme Company",
				Settings: organization.DefaultSettings()}
			org.Settings.PasswordMinLength = c.least
			org.Settings.PasswordBlockedWords = []string{"warehouse"}
			if err := (&Service{}).policy(org, c.u, contextWords(c.u)...).Check(c.plain); (err == nil) != c.good {
				t.Errorf("%q: %v", c.plain, err)
			}
		})
	}
	want := faulttest.Invalid("password")
	org := organization.Organization{Settings: organization.DefaultSettings()}
	faulttest.Check(t, (&Service{}).CheckPassword(org, "short"), want)
	faulttest.Check(t, (&Service{}).CheckPassword(org, "roberta12345678", "roberta"), want)
	faulttest.Check(t, (&Service{}).CheckPassword(org, good), ok)
}

// nothing is what else happens with a password.
func nothing(*sqldb.Tx, User) error { return nil }

// A12, A32: one changes one's own password by the present one; the others' sessions end, links made before are
// worthless, and what cannot be done beside it undoes it.
func TestA12_ChangePassword(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		none, err := w.Create(t.Context(), w.system, NewUser{Email: address("none"), Role: "clerk"})
		if err != nil {
			t.Fatal(err)
		}
		const next, wrong = "another fine passphrase", "INVALID_CREDENTIALS: The current password is wrong."
		failing := func(*sqldb.Tx, User) error { return errors.New("not now") }
		for _, c := range []struct {
			name       string
			of         User
			now, plain string
			within     Within
			want       string
		}{
			{"a wrong one", w.idle, "wrong", next, nothing, wrong},
			{"no present one", w.idle, "", next, nothing, wrong},
			{"a wrong one and a weak one", w.idle, "wrong", "weak", nothing, wrong},
			{"a weak one", w.idle, good, "weak", nothing, invalid("newPassword")},
			{"one's own name", w.idle, good, "idle@acme-corp.example", nothing, invalid("newPassword")},
			{"a longer one than is looked at", w.idle, good, strings.Repeat("a b c", 1000), nothing,
				invalid("newPassword")},
			{"one who has none", none.User, "", next, nothing, "CONFLICT: This account has no password."},
			{"not now", w.idle, good, next, failing, "unclassified: not now"},
			{"another", w.idle, good, next, nothing, ok},
			{"the former one", w.idle, good, next, nothing, wrong},
			{"the same", w.idle, next, next, nothing, ok},
		} {
			t.Run(c.name, func(t *testing.T) {
				clear(w.ended.sessions)
				before, _ := w.Read(t.Context(), w.acme, c.of.ID)
				place, err := w.pool.Enter("test")
				if err != nil {
					t.Fatal(err)
				}
				defer place.Leave()
				p := w.as(c.of)
				_, err = w.ChangePassword(t.Context(), p, place, c.now, c.plain, c.within)
				faulttest.Check(t, err, c.want)
				after, _ := w.Read(t.Context(), w.acme, c.of.ID)
				if changed := after.passwordHash != before.passwordHash; changed != (c.want == ok) {
					t.Errorf("changed: %v", changed)
				}
				if c.want == ok && w.ended.sessions[c.of.ID] != "password_changed" {
					t.Error("the sessions go on")
				}
			})
		}
	})
}

// A12, ATK53: a link at which a password is chosen works once, in time, for one who is active, and by whoever may
// change them only.
func TestATK53_Link(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		source, admin := principal.Source{Address: "192.0.2.7"}, w.as(w.admin)
		const next, dead = "another fine passphrase", "INVALID_TOKEN: "
		for _, c := range []struct {
			name  string
			p     principal.Principal
			plain string
			of    func(u User) id.User
			then  func(u User)
			link  string // the outcome of making it
			want  string
		}{
			{"in time", admin, next, nil, nil, ok, ok},
			{"at its end", admin, next, nil, func(User) { w.later.Store(int64(LinkLifetime)) }, ok, dead},
			{"just before its end", admin, next, nil, func(User) { w.later.Store(int64(LinkLifetime - time.Minute)) },
				ok, ok},
			{"a weak password", admin, "weak", nil, nil, ok, invalid("password")},
			{"after another was made", admin, next, nil, func(u User) {
				if _, _, err := w.PasswordLink(context.Background(), admin, u.ID); err != nil {
					t.Fatal(err)
				}
			}, ok, dead},
			{"after they were disabled", admin, next, nil, func(u User) {
				if _, err := w.Update(context.Background(), admin, u.ID,
					func(u *User) { u.State = Disabled }); err != nil {
					t.Fatal(err)
				}
			}, ok, "FORBIDDEN: The account is not active."},
			{"by one who may do less", w.as(w.idle), next, func(User) id.User { return w.agent.ID }, nil,
				"FORBIDDEN: This user holds ", ""},
			{"for nobody", admin, next, func(User) id.User { return "usr_1" }, nil, "NOT_FOUND: ", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.later.Store(0)
				u := w.add("u"+strings.ReplaceAll(c.name, " ", "-"), "clerk", Person)
				of := u.ID
				if c.of != nil {
					of = c.of(u)
				}
				link, _, err := w.PasswordLink(t.Context(), c.p, of)
				faulttest.Check(t, err, c.link)
				if err != nil {
					return
				}
				_, err = w.ResetPassword(t.Context(), source, link, next, nothing)
				faulttest.Check(t, err, dead) // a link of one purpose is none of another
				if c.then != nil {
					c.then(u)
				}
				_, err = w.SetPasswordByLink(t.Context(), source, link, c.plain, nothing)
				faulttest.Check(t, err, c.want)
				if err == nil {
					_, err = w.SetPasswordByLink(t.Context(), source, link, c.plain, nothing)
					faulttest.Check(t, err, dead)
				}
			})
		}
		off := w.add("off", "clerk", Person)
		if _, err := w.Update(t.Context(), admin, off.ID, func(u *User) { u.State = Disabled }); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.PasswordLink(t.Context(), admin, off.ID)
		faulttest.Check(t, err, "CONFLICT: The user is not active.")
	})
}

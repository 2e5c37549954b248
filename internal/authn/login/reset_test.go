package login_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// left is how many rows there are of what a reset writes.
func (w *world) left() string {
	w.t.Helper()
	var mails, links, events, tries int
	err := w.DB.Platform("what a test left").QueryRow(w.t.Context(), `SELECT (SELECT COUNT(*) FROM mails),
		(SELECT COUNT(*) FROM onetime), (SELECT COUNT(*) FROM audit_events), (SELECT COUNT(*) FROM login_attempts)`).
		Scan(&mails, &links, &events, &tries)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%d mails, %d links, %d events, %d counters", mails, links, events, tries)
}

// ATK55: until the answer, asking for a new password writes the same and hands the same on, whether there is such an
// account or not. Whoever works off what was handed on writes to those who have one, and not before the pause is over.
func TestATK55_ForgottenIsOneWork(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, hashing.Options{})
		acme := login.Tenant{ID: w.acme}
		type asked struct {
			name, address string
			tenant        login.Tenant
			mails         int
		}
		ask := func(a account, tenant login.Tenant, mails int) asked {
			name, address := w.next()
			if a.org != "" {
				w.add(name, a)
			}
			return asked{name, address, tenant, mails}
		}
		cases := map[string]asked{
			"known":              ask(account{org: w.acme, password: &cheap}, acme, 1),
			"known, no hint":     ask(account{org: w.acme, password: &cheap}, login.Tenant{}, 1),
			"unknown":            ask(account{}, acme, 0),
			"unknown, no hint":   ask(account{}, login.Tenant{}, 0),
			"no such tenant":     ask(account{}, login.Tenant{Unknown: true, Named: "nowhere"}, 0),
			"without a password": ask(account{org: w.acme}, acme, 0),
			"disabled":           ask(account{org: w.acme, password: &cheap, disabled: true}, acme, 0),
			"suspended": ask(account{org: w.resting, password: &cheap},
				login.Tenant{ID: w.resting}, 0),
		}
		before, counters, want := w.left(), w.counters(), 0
		for name, c := range cases {
			waiting := w.ResetsWaiting()
			if err := w.Forgotten(t.Context(), login.Forgot{Name: mailOf(c.name), Tenant: c.tenant,
				Source: principal.Source{Address: c.address}}); err != nil {
				t.Fatal(err)
			}
			if n := w.ResetsWaiting() - waiting; n != 1 {
				t.Errorf("%s: %d were handed on", name, n)
			}
			if got := w.since(counters); got != "1 1 1" { // the address, the name and the account, or nobody
				t.Errorf("%s: counted %s", name, got)
			}
			counters = w.counters()
			want += c.mails
		}
		var mails, links, events, tries int
		fmt.Sscanf(before, "%d mails, %d links, %d events, %d counters", &mails, &links, &events, &tries)
		written := func(more, counted int) string {
			return fmt.Sprintf("%d mails, %d links, %d events, %d counters", mails+more, links+more, events+more,
				tries+3*len(cases)+counted)
		}
		if got := w.left(); got != written(0, 0) {
			t.Errorf("before the job: %s, want %s", got, written(0, 0))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		w.MailResets(ended) // those that wait are written all the same
		// the mails are counted: two by address for each, one for the organization, one for all
		if got := w.left(); got != written(want, 2*want+2) {
			t.Errorf("after the job: %s, want %s", got, written(want, 2*want+2))
		}

		// While the job runs, the answer is there long before the mail.
		running, stop := context.WithCancel(t.Context())
		done := inBackground(func() { w.MailResets(running) })
		name, address := w.next()
		u := w.add(name, account{org: w.acme, password: &cheap})
		start := time.Now()
		if err := w.Forgotten(t.Context(), login.Forgot{Name: mailOf(name), Tenant: acme,
			Source: principal.Source{Address: address}}); err != nil {
			t.Fatal(err)
		}
		for n := int64(0); n == 0; {
			var err error
			if n, err = w.Mails.Written(t.Context(), w.acme, string(u.ID), mail.ResetPassword,
				time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); n > 0 && took < login.ResetPause || took > 30*time.Second {
				t.Fatalf("%d mails after %v", n, took)
			}
		}
		stop()
		<-done
	})
}

// inBackground runs something and tells when it has ended.
func inBackground(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}

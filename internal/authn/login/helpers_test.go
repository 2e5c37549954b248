package login_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

const good = "a perfectly fine passphrase"

// cheap are the costs of the hashes; cheaper are outdated.
var (
	cheap   = password.Params{MemoryKiB: 128, Iterations: 1, Parallelism: 1}
	cheaper = password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
)

// limits are the usual ones but for few failures of an address.
var limits = attempt.Limits{AccountFailures: 5, ForgetAfter: 24 * time.Hour, AddressFailures: 20,
	AddressWindow: 15 * time.Minute, LockUnit: time.Minute}

// world is a sign-in machine on one database.
type world struct {
	*login.Service
	t     *testing.T
	later atomic.Int64 // what the test added to the time
	seq   int

	platform, acme, strict, resting, restingStrict id.Organization // the last three: with MFA, suspended, both
}

// noSessions stands in for the sessions, of which there are none.
type noSessions struct{}

func (noSessions) EndAll(context.Context, *sqldb.Tx, id.Organization, id.User, id.Session, string) (int, error) {
	return 0, nil
}

// noTokens stands in for the credentials, of which there are none.
type noTokens struct{}

func (noTokens) EndApplicationTokens(context.Context, *sqldb.Tx, principal.Principal, id.Organization, id.User,
	string) error {
	return nil
}

func (noTokens) Works(context.Context, id.Organization, id.Credential) (bool, error) {
	return false, nil
}

// noSender stands in for the mail server: what is sent, is in the outbox.
type noSender struct{}

func (noSender) Send(context.Context, mail.Mail) error { return nil }

// newService makes the services that a proof of a password needs. The feed does not run, so that every read asks the
// database.
func newService(t *testing.T, db *sqldb.DB, now func() time.Time, o hashing.Options) *login.Service {
	t.Helper()
	ring, err := keyring.New([]secret.Secret{keyring.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	log, once, pool := slog.New(slog.DiscardHandler), onetime.New(db, ring), hashing.New(o)
	caches := &cache.Group{Feed: invalidation.New(db, log)}
	organizations := organization.New(db, caches, organization.MFAOptional, now)
	roles := role.New(db, caches, now)
	attempts := attempt.New(db, ring, limits, now)
	mails := mail.NewOutbox(mail.Deps{DB: db, Now: now, Log: log, Ring: ring, Holder: "test",
		Public: &url.URL{Scheme: "https", Host: "auth.example.com"}, Sender: noSender{}, Count: attempts.CountMail})
	users := user.New(user.Deps{DB: db, Now: now, Caches: caches, Organizations: organizations, Roles: roles,
		OneTime: once,
		Hasher:  pool, Mails: mails})
	users.UseSessions(noSessions{})
	users.UseCredentials(noTokens{})
	return login.New(
		login.Services{DB: db, Companies: noCompanies{}, Now: now, Log: log, Hasher: pool, Attempts: attempts,
			Organizations: organizations, Users: users, OneTime: once, Mails: mails,
			Factors: mfa.New(mfa.Deps{DB: db, Now: now, Ring: ring, Organizations: organizations, Users: users,
				OneTime: once,
				Mails:   mails})},
	)
}

func newWorld(t *testing.T, db *sqldb.DB, o hashing.Options) *world {
	t.Helper()
	o.Params = cheap
	w := &world{t: t}
	w.Service = newService(t, db, func() time.Time {
		return time.Now().UTC().Truncate(time.Millisecond).Add(time.Duration(w.later.Load()))
	}, o)
	organize := func(slug string, policy organization.MFAPolicy, suspended bool) id.Organization {
		s := organization.DefaultSettings()
		s.MFA = policy
		o, err := w.Organizations.Create(t.Context(), principal.NewSystem("test", ""), organization.NewOrganization{
			Slug: slug, Name: slug, Settings: &s, Suspended: suspended, Platform: slug == "platform"})
		if err != nil {
			t.Fatal(err)
		}
		return o.ID
	}
	w.platform = organize("platform", organization.MFAOptional, false)
	w.acme, w.strict = organize("acme-corp", organization.MFAOptional, false),
		organize("acme-corp-strict", organization.MFARequired, false)
	w.resting, w.restingStrict = organize("acme-corp-resting", organization.MFAOptional, true),
		organize("acme-corp-resting-strict", organization.MFARequired, true)
	return w
}

// next is a name that nobody has had, and an address that nobody has called from.
func (w *world) next() (name, address string) {
	w.seq++
	return fmt.Sprintf("user%d", w.seq), fmt.Sprintf("192.0.%d.%d", 2+w.seq/250, 1+w.seq%250)
}

func mailOf(name string) string { return name + "@acme-corp.example" }

// account is what a user is made of.
type account struct {
	org      id.Organization
	kind     user.Kind
	password *password.Params // the costs; nil: none
	disabled bool
	factor   bool
	exempt   bool
}

// add makes a user whose password is good.
func (w *world) add(name string, a account) user.User {
	w.t.Helper()
	ctx, p := w.t.Context(), principal.NewSystem("test", a.org)
	n := user.NewUser{Email: mailOf(name), Username: name, Role: permission.RoleEndUser, Kind: a.kind}
	if a.exempt {
		n.Kind = user.Application
	}
	var err error
	if a.password != nil {
		if n.PasswordHash, err = password.Hash(good, *a.password); err != nil {
			w.t.Fatal(err)
		}
	}
	made, err := w.Users.Create(ctx, p, n)
	if err != nil {
		w.t.Fatal(err)
	}
	if a.exempt || a.disabled {
		if _, err := w.Users.Update(ctx, p, made.ID, func(u *user.User) {
			u.MFAExempt = a.exempt
			if a.disabled {
				u.State = user.Disabled
			}
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	if a.factor {
		if err := w.DB.Tx(ctx, a.org, func(tx *sqldb.Tx) error {
			return w.Users.SetSecondFactors(ctx, tx, made.User, []string{user.TOTP})
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	return made.User
}

// counters are the failures of every counter there is, by its digest.
func (w *world) counters() map[string]int {
	w.t.Helper()
	var list string
	err := w.DB.Platform("what a test counted").QueryRow(w.t.Context(),
		`SELECT COALESCE(string_agg(digest || '=' || failures, ' '), '') FROM login_attempts`).Scan(&list)
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(map[string]int)
	for field := range strings.FieldsSeq(list) {
		digest, text, _ := strings.Cut(field, "=")
		if out[digest], err = strconv.Atoi(text); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

// since are the failures of the counters that are new, in order.
func (w *world) since(before map[string]int) string {
	w.t.Helper()
	var list []string
	for digest, n := range w.counters() {
		if _, old := before[digest]; !old {
			list = append(list, fmt.Sprint(n))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// refused are the events of refused sign-ins from an address, in order: where, whose, why if it is told, and whether
// the try locked.
func (w *world) refused(address string) []string {
	w.t.Helper()
	var list string
	err := w.DB.Platform("what a test recorded").QueryRow(w.t.Context(), `SELECT
		COALESCE(string_agg(organization_id || ' ' || target_id || '=' || details, '|'), '') FROM audit_events
		WHERE act = 'session.refused' AND outcome = 'failure' AND address = $1`, address).Scan(&list)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for event := range strings.SplitSeq(list, "|") {
		if event == "" {
			continue
		}
		whose, text, _ := strings.Cut(event, "=")
		var details struct{ Locked, Reason string }
		if err := json.Unmarshal([]byte(text), &details); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, strings.Join(strings.Fields(whose+" "+details.Reason+" locked:"+details.Locked), " "))
	}
	slices.Sort(out)
	return out
}

// noCompanies are companies none of which has made its own sign-in the only one.
type noCompanies struct{}

// Holds is always so.
func (noCompanies) Holds(context.Context, id.Organization, id.Connection, string, time.Time) (bool, error) {
	return true, nil
}

// Enforced is never so.
func (noCompanies) Enforced(context.Context, id.Organization, string) (bool, error) {
	return false, nil
}

package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
)

// span writes a duration for people.
func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d%u.unit == 0 && d >= u.unit {
			n := int(d / u.unit)
			if n == 1 {
				return "1 " + u.name
			}
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return d.String()
}

// mails writes how many mails there may be.
func mails(l mail.Limits) string {
	return fmt.Sprintf("within %s: %d from one organization to one address, %d from all to it, %d from one "+
		"organization, %d altogether", span(mail.Window), l.ToAddressOfOrganization, l.ToAddress, l.OfOrganization,
		l.Altogether)
}

// A5, A27, A28, ASVS 6.1.1: the numbers of docs/auth-limits.md are those of the code.
func TestA5_LimitsAreDocumented(t *testing.T) {
	t.Parallel()
	l := attempt.DefaultLimits
	var b strings.Builder
	b.WriteString("| what | how much |\n| --- | --- |\n")
	for _, row := range [][2]string{
		{"Failures that lock a name or an account", fmt.Sprint(l.AccountFailures)},
		{"The lock after them, and after each further failure",
			fmt.Sprintf("%s; then %s, %s, %s and always %s", span(l.LockUnit), span(2*l.LockUnit), span(4*l.LockUnit),
				span(8*l.LockUnit), span(15*l.LockUnit))},
		{"A name without a try is forgotten after", span(l.ForgetAfter)},
		{"Failures that lock an address (IPv6: a /64)",
			fmt.Sprintf("%d within %s", l.AddressFailures, span(l.AddressWindow))},
		{"Tries of one account looked at at once, by each node", fmt.Sprint(login.TriesAtOnce)},
		{"Tries of one account that wait, and how long",
			fmt.Sprintf("%d, %s", login.TriesWaiting, span(login.TurnstileWait))},
		{"Passwords that wait for a processor, by each node",
			fmt.Sprintf("%d (`password_hashing.max_waiting`)", config.Default().Hashing.MaxWaiting)},
		{"The token of a first step works for", fmt.Sprintf("%s and %d tries", span(login.WaitingLifetime),
			login.WaitingTries)},
		{"A time step of an app", fmt.Sprintf("%s; the present one or the one before, each once", span(mfa.Period))},
		{"An enrolment waits for its confirmation", span(mfa.EnrollmentLifetime)},
		{"A WebAuthn challenge works for", span(mfa.ChallengeLifetime)},
		{"Backup codes", fmt.Sprintf("%d of %d characters; few are %d", mfa.CodeCount, mfa.CodeLength, mfa.CodesLow)},
		{"A known device is known for", fmt.Sprintf("%s; %d a user", span(mfa.DeviceLifetime), mfa.MaxDevices)},
		{"A link from an administrator works for", span(user.LinkLifetime)},
		{"A link that somebody asked for works for", span(user.ResetLifetime)},
		{"Mails with such a link to one account", fmt.Sprintf("%d an hour", login.ResetsPerHour)},
		{"Mails that somebody with a credential causes (invitations, links, changed addresses)",
			mails(mail.CausedLimits)},
		{"Mails that anybody asks for (forgotten passwords)", mails(mail.ResetLimits)},
		{"Notices to a user of what happened to their account", mails(mail.NoticeLimits)},
		{"A proof is recent for", fmt.Sprintf("%s (`stepUpSeconds`)", span(organization.DefaultStepUp))},
		{"Characters of a password",
			fmt.Sprintf("%d to %d (`passwordMinLength`; down to %d where everybody has a second factor)",
				password.MinAlone, password.MaxLength, password.MinWithMFA)},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	equalDocument(t, "auth-limits.md", b.String())
}

package organization_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

// ok is the outcome of settings that are good.
const ok = faulttest.OK

var invalid = faulttest.Invalid

// day is in seconds, as settings are.
const day = 24 * 60 * 60

// origins makes n different origins.
func origins(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("https://app%d.example.com", i)
	}
	return out
}

// repeated makes n entries of one word; words may be listed twice.
func repeated(word string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = word
	}
	return out
}

// roles makes a map with n roles.
func roles[V any](n int, v V) map[string]V {
	out := make(map[string]V, n)
	for i := range n {
		out[fmt.Sprintf("role_%d", i)] = v
	}
	return out
}

// limits is one role with limits.
func limits(idle, lifetime int64) map[string]organization.SessionLimits {
	return map[string]organization.SessionLimits{"agent": {IdleSeconds: idle, LifetimeSeconds: lifetime}}
}

// A7, A8, A12, A32: every setting has a smallest and a largest value, and one past each is refused by its name.
func TestSettings(t *testing.T) {
	t.Parallel()
	type settings = organization.Settings
	for _, c := range []struct {
		name   string
		change func(s *settings)
		want   string
	}{
		{"the defaults", func(*settings) {}, ok},

		{"no origin", func(s *settings) { s.AllowedOrigins = nil }, ok},
		{"the most origins", func(s *settings) { s.AllowedOrigins = origins(50) }, ok},
		{"one origin too many", func(s *settings) { s.AllowedOrigins = origins(51) }, invalid("allowedOrigins")},
		{"a wrong origin", func(s *settings) { s.AllowedOrigins = []string{"https://a.example", "*"} },
			invalid("allowedOrigins[1]")},
		{"an origin twice", func(s *settings) { s.AllowedOrigins = append(origins(2), origins(1)...) },
			invalid("allowedOrigins[2]")},

		{"no session lifetime", func(s *settings) { s.SessionLifetimeSeconds = 0 }, ok},
		{"the shortest session lifetime", func(s *settings) { s.SessionLifetimeSeconds = 300 }, ok},
		{"the longest session lifetime", func(s *settings) { s.SessionLifetimeSeconds = 400 * day }, ok},
		{"a shorter session lifetime", func(s *settings) { s.SessionLifetimeSeconds = 299 },
			invalid("sessionLifetimeSeconds")},
		{"a longer session lifetime", func(s *settings) { s.SessionLifetimeSeconds = 400*day + 1 },
			invalid("sessionLifetimeSeconds")},
		{"a negative session lifetime", func(s *settings) { s.SessionLifetimeSeconds = -1 },
			invalid("sessionLifetimeSeconds")},

		{"the shortest idle time", func(s *settings) { s.SessionIdleSeconds = 300 }, ok},
		{"the longest idle time", func(s *settings) { s.SessionIdleSeconds = 90 * day }, ok},
		{"no idle time", func(s *settings) { s.SessionIdleSeconds = 0 }, invalid("sessionIdleSeconds")},
		{"a shorter idle time", func(s *settings) { s.SessionIdleSeconds = 299 }, invalid("sessionIdleSeconds")},
		{"a longer idle time", func(s *settings) { s.SessionIdleSeconds = 90*day + 1 }, invalid("sessionIdleSeconds")},

		{"no limit of sessions", func(s *settings) { s.SessionsPerUser = 0 }, ok},
		{"one session", func(s *settings) { s.SessionsPerUser = 1 }, ok},
		{"the most sessions", func(s *settings) { s.SessionsPerUser = 1000 }, ok},
		{"one session too many", func(s *settings) { s.SessionsPerUser = 1001 }, invalid("sessionsPerUser")},
		{"negative sessions", func(s *settings) { s.SessionsPerUser = -1 }, invalid("sessionsPerUser")},

		{"no overlap", func(s *settings) { s.RefreshOverlapSeconds = 0 }, ok},
		{"the longest overlap", func(s *settings) { s.RefreshOverlapSeconds = 30 }, ok},
		{"a longer overlap", func(s *settings) { s.RefreshOverlapSeconds = 31 }, invalid("refreshOverlapSeconds")},
		{"a negative overlap", func(s *settings) { s.RefreshOverlapSeconds = -1 }, invalid("refreshOverlapSeconds")},

		{"the most roles that slide", func(s *settings) { s.SlidingByRole = roles(100, true) }, ok},
		{"one role too many that slides", func(s *settings) { s.SlidingByRole = roles(101, true) },
			invalid("slidingExpirationByRole")},
		{"the most roles with limits", func(s *settings) {
			s.SessionLimitsByRole = roles(100, organization.SessionLimits{})
		}, ok},
		{"one role too many with limits", func(s *settings) {
			s.SessionLimitsByRole = roles(101, organization.SessionLimits{})
		}, invalid("sessionLimitsByRole")},
		{"a role as the organization has it", func(s *settings) { s.SessionLimitsByRole = limits(0, 0) }, ok},
		{"the shortest limits of a role", func(s *settings) { s.SessionLimitsByRole = limits(300, 300) }, ok},
		{"the longest limits of a role", func(s *settings) { s.SessionLimitsByRole = limits(90*day, 400*day) }, ok},
		{"shorter limits of a role", func(s *settings) { s.SessionLimitsByRole = limits(299, 299) },
			invalid("sessionLimitsByRole.agent.idleSeconds", "sessionLimitsByRole.agent.lifetimeSeconds")},
		{"a longer idle time of a role", func(s *settings) { s.SessionLimitsByRole = limits(90*day+1, 0) },
			invalid("sessionLimitsByRole.agent.idleSeconds")},
		{"a longer lifetime of a role", func(s *settings) { s.SessionLimitsByRole = limits(0, 400*day+1) },
			invalid("sessionLimitsByRole.agent.lifetimeSeconds")},

		{"a zone with three names", func(s *settings) { s.TimeZone = "America/Argentina/Buenos_Aires" }, ok},
		{"no zone", func(s *settings) { s.TimeZone = "" }, invalid("timeZone")},
		{"the machine's zone", func(s *settings) { s.TimeZone = "Local" }, invalid("timeZone")},
		{"a zone that is none", func(s *settings) { s.TimeZone = "Europe/Atlantis" }, invalid("timeZone")},
		{"a zone that is a path", func(s *settings) { s.TimeZone = "../../etc/localtime" }, invalid("timeZone")},
		{"a zone that is an offset", func(s *settings) { s.TimeZone = "+02:00" }, invalid("timeZone")},

		{"mfa for administrators", func(s *settings) { s.MFA = organization.MFAAdministrators }, ok},
		{"mfa for all", func(s *settings) { s.MFA = organization.MFARequired }, ok},
		{"no mfa policy", func(s *settings) { s.MFA = "" }, invalid("mfa")},
		{"an unknown mfa policy", func(s *settings) { s.MFA = "Required" }, invalid("mfa")},

		{"the shortest step-up", func(s *settings) { s.StepUpSeconds = 60 }, ok},
		{"the longest step-up", func(s *settings) { s.StepUpSeconds = day }, ok},
		{"no step-up", func(s *settings) { s.StepUpSeconds = 0 }, invalid("stepUpSeconds")},
		{"a shorter step-up", func(s *settings) { s.StepUpSeconds = 59 }, invalid("stepUpSeconds")},
		{"a longer step-up", func(s *settings) { s.StepUpSeconds = day + 1 }, invalid("stepUpSeconds")},

		{"the shortest requested token", func(s *settings) { s.RequestedTokenSeconds = 60 }, ok},
		{"the longest requested token", func(s *settings) { s.RequestedTokenSeconds = day }, ok},
		{"no requested token", func(s *settings) { s.RequestedTokenSeconds = 0 }, invalid("requestedTokenSeconds")},
		{"a shorter requested token", func(s *settings) { s.RequestedTokenSeconds = 59 },
			invalid("requestedTokenSeconds")},
		{"a longer requested token", func(s *settings) { s.RequestedTokenSeconds = day + 1 },
			invalid("requestedTokenSeconds")},

		{"several at once", func(s *settings) { s.TimeZone, s.MFA, s.StepUpSeconds = "", "", 0 },
			invalid("mfa", "stepUpSeconds", "timeZone")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := organization.DefaultSettings()
			c.change(&s)
			faulttest.Check(t, s.Validate(), c.want)
		})
	}
}

// A12: a password that is the only factor has 15 characters; fewer are allowed only where everybody has another factor.
func TestA12_PasswordLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mfa    organization.MFAPolicy
		length int64
		want   string
	}{
		{organization.MFAOptional, 15, ok},
		{organization.MFAOptional, 14, invalid("passwordMinLength")},
		{organization.MFAOptional, 64, ok},
		{organization.MFAOptional, 65, invalid("passwordMinLength")},
		{organization.MFAAdministrators, 15, ok},
		{organization.MFAAdministrators, 14, invalid("passwordMinLength")},
		{organization.MFARequired, 14, ok},
		{organization.MFARequired, 8, ok},
		{organization.MFARequired, 7, invalid("passwordMinLength")},
		{organization.MFARequired, 64, ok},
		{organization.MFARequired, 65, invalid("passwordMinLength")},
		{organization.MFARequired, 0, invalid("passwordMinLength")},
		{organization.MFARequired, -8, invalid("passwordMinLength")},
	} {
		t.Run(fmt.Sprintf("%d with mfa %s", c.length, c.mfa), func(t *testing.T) {
			t.Parallel()
			s := organization.DefaultSettings()
			s.MFA, s.PasswordMinLength = c.mfa, c.length
			faulttest.Check(t, s.Validate(), c.want)
		})
	}
}

// A12: the words that a password must not be made of are counted in characters, not in bytes.
func TestA12_BlockedWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		words []string
		want  string
	}{
		{"none", nil, ok},
		{"the shortest", []string{"acme"}, ok},
		{"the shortest of another script", []string{"ацме"}, ok},
		{"the longest", []string{strings.Repeat("ä", 100)}, ok},
		{"with a space", []string{"acme corp"}, ok},
		{"as many as there may be", repeated("acme", 200), ok},
		{"one too many", repeated("acme", 201), invalid("passwordBlockedWords")},
		{"too short", []string{"acme", "acm"}, invalid("passwordBlockedWords[1]")},
		{"two characters of two bytes", []string{"éé"}, invalid("passwordBlockedWords[0]")},
		{"too long", []string{strings.Repeat("a", 101)}, invalid("passwordBlockedWords[0]")},
		{"empty", []string{""}, invalid("passwordBlockedWords[0]")},
		{"a line break", []string{"ac\nme"}, invalid("passwordBlockedWords[0]")},
		{"a NUL", []string{"acme\x00"}, invalid("passwordBlockedWords[0]")},
		{"no UTF-8", []string{"acme\xff"}, invalid("passwordBlockedWords[0]")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := organization.DefaultSettings()
			s.PasswordBlockedWords = c.words
			faulttest.Check(t, s.Validate(), c.want)
		})
	}
}

// Package organization owns the tenants: their slugs, states and settings. It knows nothing of users or credentials;
// whoever joins a principal asks it whether the organization is active.
package organization

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // machines without zone files know the zones too
	"unicode"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
)

// State of an organization.
type State string

// Suspended stops every credential until resumed; Deleted is for good.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Deleted   State = "deleted"
)

// Organization is a tenant. Exactly one is the platform: the home of its operators.
type Organization struct {
	ID                id.Organization
	Slug              string
	AccountNumber     string // digits; other systems name the account by it. Empty: none
	Name              string
	Platform          bool
	State             State
	MachineCredential MachineCredential
	Profile           Profile
	Settings          Settings
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// MachineCredential is the one kind of credential with which an organization's systems speak ServiceBroker. Those of
// the other kind rest: they are refused everywhere, and work again when the organization changes back.
type MachineCredential string

// The kinds.
const (
	SystemTokens MachineCredential = "system_token"
	OAuth2       MachineCredential = "oauth2"
)

// Profile is how others know an organization. It decides nothing.
type Profile struct {
	Email       string `json:"email,omitzero"`
	ExternalID  string `json:"externalId,omitzero"` // in the system that provisioned it
	Description string `json:"description,omitzero"`
	SID         string `json:"sid,omitzero"`    // its identifier there; the slug unless something else was given
	Domain      string `json:"domain,omitzero"` // of its addresses on the internet
}

// Settings are what an organization decides for itself.
type Settings struct {
	AllowedOrigins         []string `json:"allowedOrigins"`         // exact origins of its browser applications
	SessionLifetimeSeconds int64    `json:"sessionLifetimeSeconds"` // absolute; 0: none
	SessionIdleSeconds     int64    `json:"sessionIdleSeconds"`     // how long a session lives unused
	// at once; a further sign-in ends the oldest. 0: no limit
	SessionsPerUser        int64           `json:"sessionsPerUser"`
	RefreshOverlapSeconds  int64           `json:"refreshOverlapSeconds"`   // 0–30
	SlidingExpiration      bool            `json:"slidingExpiration"`       // each request extends the session
	SlidingByRole          map[string]bool `json:"slidingExpirationByRole"` // exceptions, by role name
	RoleChangesApplyAtOnce bool            `json:"roleChangesApplyAtOnce"`  // else with the next access token
	TimeZone               string          `json:"timeZone"`                // IANA name
	// where a door takes user name and password with each request
	BasicAuthentication bool `json:"basicAuthentication"`
	// the longest lifetime that a token request may ask for
	RequestedTokenSeconds int64 `json:"requestedTokenSeconds"`

	SessionLimitsByRole map[string]SessionLimits `json:"sessionLimitsByRole"` // exceptions, by role name

	MFA           MFAPolicy `json:"mfa"`           // who must have a second factor
	PasskeySignIn bool      `json:"passkeySignIn"` // a passkey that verifies its user is enough
	// how long ago the last proof may be where something delicate is changed
	StepUpSeconds        int64    `json:"stepUpSeconds"`
	PasswordMinLength    int64    `json:"passwordMinLength"`    // below 15 only where everybody has a second factor
	PasswordBlockedWords []string `json:"passwordBlockedWords"` // words that a password must not be made of
}

// MFAPolicy is who must have a second factor. Everybody may.
type MFAPolicy string

// The policies.
const (
	MFAOptional       MFAPolicy = "optional"
	MFAAdministrators MFAPolicy = "administrators"
	MFARequired       MFAPolicy = "required"
)

// MFAPolicies are all of them.
var MFAPolicies = []MFAPolicy{MFAOptional, MFAAdministrators, MFARequired}

// StepUp is how long ago the last proof may be.
func (s Settings) StepUp() time.Duration { return time.Duration(s.StepUpSeconds) * time.Second }

// signInChanged tells whether what people must prove is another.
func (s Settings) signInChanged(t Settings) bool {
	return s.MFA != t.MFA || s.PasskeySignIn != t.PasskeySignIn || s.StepUpSeconds != t.StepUpSeconds ||
		s.PasswordMinLength != t.PasswordMinLength || !slices.Equal(s.PasswordBlockedWords, t.PasswordBlockedWords)
}

// When writes a moment for the organization's people.
func (s Settings) When(t time.Time) string {
	return t.In(s.Location()).Format("2 January 2006, 15:04 MST")
}

// SessionLimits are how long the sessions of a role live. 0 is as the organization has it.
type SessionLimits struct {
	IdleSeconds     int64 `json:"idleSeconds"`
	LifetimeSeconds int64 `json:"lifetimeSeconds"`
}

// SessionIdle is how long a session of a role lives unused.
func (s Settings) SessionIdle(role string) time.Duration {
	if l := s.SessionLimitsByRole[role]; l.IdleSeconds > 0 {
		return time.Duration(l.IdleSeconds) * time.Second
	}
	return time.Duration(s.SessionIdleSeconds) * time.Second
}

// SessionLifetime is how long a session of a role lives at most; 0: as long as it is used.
func (s Settings) SessionLifetime(role string) time.Duration {
	if l := s.SessionLimitsByRole[role]; l.LifetimeSeconds > 0 {
		return time.Duration(l.LifetimeSeconds) * time.Second
	}
	return time.Duration(s.SessionLifetimeSeconds) * time.Second
}

// Location is the organization's time zone.
func (s Settings) Location() *time.Location {
	l, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return time.UTC // a zone that was known when it was set and is not any more
	}
	return l
}

// The bounds of settings.
const (
	DefaultSessionLifetime = 30 * 24 * time.Hour
	MaxRefreshOverlap      = 30 * time.Second
	maxSessionLifetime     = 400 * 24 * time.Hour
	minSessionLifetime     = 5 * time.Minute
	DefaultSessionIdle     = 7 * 24 * time.Hour
	maxSessionIdle         = 90 * 24 * time.Hour
	minSessionIdle         = 5 * time.Minute // uses are written in batches: less could end a session in use
	defaultSessionsPerUser = 100
	maxSessionsPerUser     = 1000
	maxOrigins             = 50

	DefaultStepUp      = 15 * time.Minute
	minStepUp          = time.Minute
	maxStepUp          = 24 * time.Hour
	maxPasswordMinimum = 64
	maxBlockedWords    = 200
	minBlockedWord     = 4 // shorter ones are in half of all words

	minRequestedToken = time.Minute
	maxRequestedToken = 24 * time.Hour
)

// DefaultSettings are those that an organization has where it says nothing, be it because it is older than a setting.
func DefaultSettings() Settings {
	return Settings{
		AllowedOrigins: []string{}, SessionLifetimeSeconds: int64(DefaultSessionLifetime / time.Second),
		SessionIdleSeconds: int64(DefaultSessionIdle / time.Second),
		SessionsPerUser:    defaultSessionsPerUser, SessionLimitsByRole: map[string]SessionLimits{},
		SlidingExpiration: true,
		SlidingByRole:     map[string]bool{permission.RoleSuperUser: false}, TimeZone: "UTC", BasicAuthentication: true,
		RequestedTokenSeconds: int64(time.Hour / time.Second),
		MFA:                   MFAOptional, PasskeySignIn: true, StepUpSeconds: int64(DefaultStepUp / time.Second),
		PasswordMinLength: password.MinAlone, PasswordBlockedWords: []string{},
	}
}

// Sliding tells whether requests extend the sessions of a role.
func (s Settings) Sliding(role string) bool {
	if v, ok := s.SlidingByRole[role]; ok {
		return v
	}
	return s.SlidingExpiration
}

// Validate names every wrong field.
func (s Settings) Validate() error {
	var wrong []fault.Field
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if len(s.AllowedOrigins) > maxOrigins {
		add("allowedOrigins", "at most %d", maxOrigins)
	}
	seen := make(map[string]bool)
	for i, o := range s.AllowedOrigins {
		if err := CheckOrigin(o); err != nil {
			add(fmt.Sprintf("allowedOrigins[%d]", i), "%v", err)
		}
		if seen[o] {
			add(fmt.Sprintf("allowedOrigins[%d]", i), "is listed twice")
		}
		seen[o] = true
	}
	between := func(field string, seconds int64, least, most time.Duration, zero string) {
		if low, high := int64(least/time.Second), int64(most/time.Second); (seconds != 0 || zero == "") &&
			(seconds < low || seconds > high) {
			add(field, "must be %sfrom %d to %d", zero, low, high)
		}
	}
	between("sessionLifetimeSeconds", s.SessionLifetimeSeconds, minSessionLifetime, maxSessionLifetime,
		"0 (no limit) or ")
	between("sessionIdleSeconds", s.SessionIdleSeconds, minSessionIdle, maxSessionIdle, "")
	if s.SessionsPerUser < 0 || s.SessionsPerUser > maxSessionsPerUser {
		add("sessionsPerUser", "must be 0 (no limit) or from 1 to %d", maxSessionsPerUser)
	}
	if len(s.SessionLimitsByRole) > 100 {
		add("sessionLimitsByRole", "at most 100 roles")
	}
	for name, l := range s.SessionLimitsByRole {
		between("sessionLimitsByRole."+name+".idleSeconds", l.IdleSeconds, minSessionIdle, maxSessionIdle,
			"0 (as the organization has it) or ")
		between("sessionLimitsByRole."+name+".lifetimeSeconds", l.LifetimeSeconds, minSessionLifetime,
			maxSessionLifetime, "0 (as the organization has it) or ")
	}
	if s.RefreshOverlapSeconds < 0 || s.RefreshOverlapSeconds > int64(MaxRefreshOverlap/time.Second) {
		add("refreshOverlapSeconds", "must be from 0 to %d", int64(MaxRefreshOverlap/time.Second))
	}
	if len(s.SlidingByRole) > 100 {
		add("slidingExpirationByRole", "at most 100 roles")
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
		add("timeZone", "must be an IANA time zone such as Europe/Madrid")
	}
	if !slices.Contains(MFAPolicies, s.MFA) {
		add("mfa", "must be optional, administrators or required")
	}
	between("stepUpSeconds", s.StepUpSeconds, minStepUp, maxStepUp, "")
	switch n := s.PasswordMinLength; {
	case n < password.MinWithMFA || n > maxPasswordMinimum:
		add("passwordMinLength", "must be from %d to %d", password.MinWithMFA, maxPasswordMinimum)
	case n < password.MinAlone && s.MFA != MFARequired:
		add("passwordMinLength", "must be at least %d unless mfa is required: a password that is the only factor "+
			"must be longer", password.MinAlone)
	}
	if len(s.PasswordBlockedWords) > maxBlockedWords {
		add("passwordBlockedWords", "at most %d", maxBlockedWords)
	}
	for i, w := range s.PasswordBlockedWords {
		if n := utf8.RuneCountInString(w); n < minBlockedWord || n > 100 || !utf8.ValidString(w) ||
			strings.ContainsFunc(w, unicode.IsControl) {
			add(fmt.Sprintf("passwordBlockedWords[%d]", i), "must have %d to 100 characters and no control characters",
				minBlockedWord)
		}
	}
	between("requestedTokenSeconds", s.RequestedTokenSeconds, minRequestedToken, maxRequestedToken, "")
	if len(wrong) > 0 {
		return fault.InvalidFields(wrong)
	}
	return nil
}

var accountPattern = regexp.MustCompile(`^[0-9]{3,20}$`)

// check validates what others know the organization by.
func (o *Organization) check() error {
	var wrong []fault.Field
	if o.Profile.SID = strings.TrimSpace(o.Profile.SID); o.Profile.SID == "" {
		o.Profile.SID = o.Slug
	}
	if o.AccountNumber != "" && !accountPattern.MatchString(o.AccountNumber) {
		wrong = append(wrong, fault.Field{Field: "accountNumber", Message: "must have 3 to 20 digits"})
	}
	if o.MachineCredential != SystemTokens && o.MachineCredential != OAuth2 {
		wrong = append(wrong, fault.Field{Field: "machineCredential", Message: "must be system_token or oauth2"})
	}
	for _, f := range []struct {
		name string
		text *string
		most int
	}{
		{"profile.email", &o.Profile.Email, 254}, {"profile.externalId", &o.Profile.ExternalID, 200},
		{"profile.description", &o.Profile.Description, 1000},
		{"profile.sid", &o.Profile.SID, 100}, {"profile.domain", &o.Profile.Domain, 253},
	} {
		*f.text = strings.TrimSpace(*f.text)
		if utf8.RuneCountInString(*f.text) > f.most || !utf8.ValidString(*f.text) ||
			strings.ContainsFunc(*f.text, unicode.IsControl) {
			wrong = append(wrong, fault.Field{Field: f.name,
				Message: fmt.Sprintf("must have at most %d characters and no control characters", f.most)})
		}
	}
	if e := o.Profile.Email; e != "" {
		if a, err := mail.ParseAddress(e); err != nil || a.Address != e {
			wrong = append(wrong, fault.Field{Field: "profile.email",
				Message: "must be one e-mail address such as ana@example.com"})
		}
	}
	if len(wrong) > 0 {
		return fault.InvalidFields(wrong)
	}
	return nil
}

// CheckOrigin accepts a web origin as browsers write it: scheme and host, with a port unless it is the scheme's own.
// Plain http is for loopback only.
func CheckOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || len(o) > 300 || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme+"://"+u.Host != o || o != strings.ToLower(o) {
		return fmt.Errorf("must be an origin such as https://app.example.com: lower case, without path")
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return fmt.Errorf("must be https unless it is loopback")
	}
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		return fmt.Errorf("must leave out the scheme's own port, as browsers do")
	}
	return nil
}

var slugPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)

// CheckSlug accepts 3–63 lower-case letters, digits and hyphens, as a DNS label.
func CheckSlug(slug string) error {
	if !slugPattern.MatchString(slug) || strings.Contains(slug, "--") {
		return fault.Invalidf("slug", "must have 3 to 63 lower-case letters, digits and single hyphens, begin with a "+
			"letter and not end with a hyphen")
	}
	return nil
}

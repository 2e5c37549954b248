package organization

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
)

// Settings are what an organization decides for itself. They are stored, and shown, as one flat object.
type Settings struct {
	BrowserSettings
	SessionSettings
	SignInSettings
	TokenSettings

	TimeZone string `json:"timeZone"` // IANA name
	// how long events of the audit log are kept; 0: as long as the installation keeps them
	AuditRetentionDays int64 `json:"auditRetentionDays"`
}

// BrowserSettings are about pages of others.
type BrowserSettings struct {
	AllowedOrigins []string `json:"allowedOrigins"` // exact origins of its browser applications
	RedirectURIs   []string `json:"redirectUris"`   // exact addresses to which a company sign-in leads back
}

// SessionSettings are how long sessions live.
type SessionSettings struct {
	SessionLifetimeSeconds int64 `json:"sessionLifetimeSeconds"` // absolute; 0: none
	SessionIdleSeconds     int64 `json:"sessionIdleSeconds"`     // how long a session lives unused
	// at once; a further sign-in ends the oldest. 0: no limit
	SessionsPerUser     int64                    `json:"sessionsPerUser"`
	SlidingExpiration   bool                     `json:"slidingExpiration"`       // each request extends the session
	SlidingByRole       map[string]bool          `json:"slidingExpirationByRole"` // exceptions, by role name
	SessionLimitsByRole map[string]SessionLimits `json:"sessionLimitsByRole"`     // exceptions, by role name
}

// SignInSettings are what people must prove.
type SignInSettings struct {
	MFA           MFAPolicy `json:"mfa"`           // who must have a second factor
	PasskeySignIn bool      `json:"passkeySignIn"` // a passkey that verifies its user is enough
	// how long ago the last proof may be where something delicate is changed
	StepUpSeconds        int64    `json:"stepUpSeconds"`
	PasswordMinLength    int64    `json:"passwordMinLength"`    // below 15 only where everybody has a second factor
	PasswordBlockedWords []string `json:"passwordBlockedWords"` // words that a password must not be made of
	// where a door takes user name and password with each request
	BasicAuthentication bool `json:"basicAuthentication"`
}

// TokenSettings are about what a sign-in gives.
type TokenSettings struct {
	RefreshOverlapSeconds  int64 `json:"refreshOverlapSeconds"`  // 0–30
	RoleChangesApplyAtOnce bool  `json:"roleChangesApplyAtOnce"` // else with the next access token
	// the longest lifetime that a token request may ask for
	RequestedTokenSeconds int64 `json:"requestedTokenSeconds"`
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

// harmless are the settings that protect nobody, by name. Whoever holds a machine's credential may change them; every
// other one needs a person, so that a stolen key cannot open the doors that stand after it is revoked.
var harmless = []string{"timeZone"}

// protected gives the name of a setting that differs and is not harmless; "" for none.
func protected(before, after Settings) string {
	was, is := members(before), members(after)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if !slices.Contains(harmless, name) && string(was[name]) != string(is[name]) {
			return name
		}
	}
	return ""
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
	maxRedirects           = 100

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
		BrowserSettings: BrowserSettings{AllowedOrigins: []string{}, RedirectURIs: []string{}},
		SessionSettings: SessionSettings{
			SessionLifetimeSeconds: int64(DefaultSessionLifetime / time.Second),
			SessionIdleSeconds:     int64(DefaultSessionIdle / time.Second),
			SessionsPerUser:        defaultSessionsPerUser,
			SessionLimitsByRole:    map[string]SessionLimits{},
			SlidingExpiration:      true,
			SlidingByRole:          map[string]bool{permission.RoleSuperUser: false},
		},
		SignInSettings: SignInSettings{
			MFA:                  MFAOptional,
			PasskeySignIn:        true,
			StepUpSeconds:        int64(DefaultStepUp / time.Second),
			PasswordMinLength:    password.MinAlone,
			PasswordBlockedWords: []string{},
			BasicAuthentication:  true,
		},
		TokenSettings: TokenSettings{RequestedTokenSeconds: int64(time.Hour / time.Second)},
		TimeZone:      "UTC",
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
func (s Settings) Validate() error { return s.validate(nil) }

// validate looks at what changed only: an origin of known was right by the rules of its time, and must not keep others
// from being changed, or the organization from being suspended.
func (s Settings) validate(known []string) error {
	var w faults
	s.BrowserSettings.check(&w, known)
	s.SessionSettings.check(&w)
	s.SignInSettings.check(&w)
	s.TokenSettings.check(&w)
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
		w.add("timeZone", "must be an IANA time zone such as Europe/Madrid")
	}
	if n := s.AuditRetentionDays; n != 0 && (n < int64(MinRetention/day) || n > int64(maxRetention/day)) {
		w.add("auditRetentionDays", "must be 0 (as the installation keeps them) or from %d to %d", MinRetention/day,
			maxRetention/day)
	}
	return w.err()
}

func (s BrowserSettings) check(w *faults, known []string) {
	if len(s.AllowedOrigins) > maxOrigins {
		w.add("allowedOrigins", "at most %d", maxOrigins)
	}
	seen := make(map[string]bool)
	for i, o := range s.AllowedOrigins {
		if err := CheckOrigin(o); err != nil && !slices.Contains(known, o) {
			w.add(fmt.Sprintf("allowedOrigins[%d]", i), "%v", err)
		}
		if seen[o] {
			w.add(fmt.Sprintf("allowedOrigins[%d]", i), "is listed twice")
		}
		seen[o] = true
	}
	if len(s.RedirectURIs) > maxRedirects {
		w.add("redirectUris", "at most %d", maxRedirects)
	}
	for i, uri := range s.RedirectURIs {
		if err := CheckRedirect(uri); err != nil {
			w.add(fmt.Sprintf("redirectUris[%d]", i), "%v", err)
		}
		if slices.Contains(s.RedirectURIs[:i], uri) {
			w.add(fmt.Sprintf("redirectUris[%d]", i), "is listed twice")
		}
	}
}

func (s SessionSettings) check(w *faults) {
	w.seconds("sessionLifetimeSeconds", s.SessionLifetimeSeconds, minSessionLifetime, maxSessionLifetime,
		"0 (no limit) or ")
	w.seconds("sessionIdleSeconds", s.SessionIdleSeconds, minSessionIdle, maxSessionIdle, "")
	if s.SessionsPerUser < 0 || s.SessionsPerUser > maxSessionsPerUser {
		w.add("sessionsPerUser", "must be 0 (no limit) or from 1 to %d", maxSessionsPerUser)
	}
	if len(s.SessionLimitsByRole) > 100 {
		w.add("sessionLimitsByRole", "at most 100 roles")
	}
	const asOthers = "0 (as the organization has it) or "
	for name, l := range s.SessionLimitsByRole {
		w.seconds("sessionLimitsByRole."+name+".idleSeconds", l.IdleSeconds, minSessionIdle, maxSessionIdle, asOthers)
		w.seconds("sessionLimitsByRole."+name+".lifetimeSeconds", l.LifetimeSeconds, minSessionLifetime,
			maxSessionLifetime, asOthers)
	}
	if len(s.SlidingByRole) > 100 {
		w.add("slidingExpirationByRole", "at most 100 roles")
	}
}

func (s SignInSettings) check(w *faults) {
	if !slices.Contains(MFAPolicies, s.MFA) {
		w.add("mfa", "must be optional, administrators or required")
	}
	w.seconds("stepUpSeconds", s.StepUpSeconds, minStepUp, maxStepUp, "")
	switch n := s.PasswordMinLength; {
	case n < password.MinWithMFA || n > maxPasswordMinimum:
		w.add("passwordMinLength", "must be from %d to %d", password.MinWithMFA, maxPasswordMinimum)
	case n < password.MinAlone && s.MFA != MFARequired:
		w.add("passwordMinLength", "must be at least %d unless mfa is required: a password that is the only factor "+
			"must be longer", password.MinAlone)
	}
	if len(s.PasswordBlockedWords) > maxBlockedWords {
		w.add("passwordBlockedWords", "at most %d", maxBlockedWords)
	}
	for i, word := range s.PasswordBlockedWords {
		if n := utf8.RuneCountInString(word); n < minBlockedWord || n > 100 || !utf8.ValidString(word) ||
			strings.ContainsFunc(word, unicode.IsControl) {
			w.add(fmt.Sprintf("passwordBlockedWords[%d]", i),
				"must have %d to 100 characters and no control characters", minBlockedWord)
		}
	}
}

func (s TokenSettings) check(w *faults) {
	if s.RefreshOverlapSeconds < 0 || s.RefreshOverlapSeconds > int64(MaxRefreshOverlap/time.Second) {
		w.add("refreshOverlapSeconds", "must be from 0 to %d", int64(MaxRefreshOverlap/time.Second))
	}
	w.seconds("requestedTokenSeconds", s.RequestedTokenSeconds, minRequestedToken, maxRequestedToken, "")
}

// Package organization owns the tenants: their slugs, states and settings. It knows nothing of users or credentials; whoever joins a
// principal asks it whether the organization is active.
package organization

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"gatehouse/internal/core/fault"
	"gatehouse/internal/core/id"
	"gatehouse/internal/core/permission"
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
	ID        id.Organization
	Slug      string
	Name      string
	Platform  bool
	State     State
	Settings  Settings
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Settings are what an organization decides for itself.
type Settings struct {
	AllowedOrigins         []string        `json:"allowedOrigins"`          // exact origins of its browser applications
	SessionLifetimeSeconds int64           `json:"sessionLifetimeSeconds"`  // absolute; 0: none
	RefreshOverlapSeconds  int64           `json:"refreshOverlapSeconds"`   // 0–30
	SlidingExpiration      bool            `json:"slidingExpiration"`       // each request extends the session
	SlidingByRole          map[string]bool `json:"slidingExpirationByRole"` // exceptions, by role name
	RoleChangesApplyAtOnce bool            `json:"roleChangesApplyAtOnce"`  // else with the next access token
	TimeZone               string          `json:"timeZone"`                // IANA name
}

// The bounds of settings.
const (
	DefaultSessionLifetime = 30 * 24 * time.Hour
	MaxRefreshOverlap      = 30 * time.Second
	maxSessionLifetime     = 400 * 24 * time.Hour
	minSessionLifetime     = 5 * time.Minute
	maxOrigins             = 50
)

// DefaultSettings are those of a new organization.
func DefaultSettings() Settings {
	return Settings{
		AllowedOrigins: []string{}, SessionLifetimeSeconds: int64(DefaultSessionLifetime / time.Second), SlidingExpiration: true,
		SlidingByRole: map[string]bool{permission.RoleSuperUser: false}, TimeZone: "UTC",
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
	if l := time.Duration(s.SessionLifetimeSeconds) * time.Second; s.SessionLifetimeSeconds != 0 && (s.SessionLifetimeSeconds < 0 || l < minSessionLifetime || l > maxSessionLifetime) {
		add("sessionLifetimeSeconds", "must be 0 (no limit) or from %d to %d", int64(minSessionLifetime/time.Second), int64(maxSessionLifetime/time.Second))
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
	if len(wrong) > 0 {
		return fault.InvalidFields(wrong)
	}
	return nil
}

// CheckOrigin accepts a web origin as browsers write it: scheme and host, with a port unless it is the scheme's own. Plain http is for
// loopback only.
func CheckOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || len(o) > 300 || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme+"://"+u.Host != o || o != strings.ToLower(o) {
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
		return fault.Invalidf("slug", "must have 3 to 63 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen")
	}
	return nil
}

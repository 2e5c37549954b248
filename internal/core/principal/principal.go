// Package principal is what every credential becomes: who, of which organization, with which permissions, in which
// session. Only authn makes one from a request; everything behind it receives one as an argument.
package principal

import (
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
)

// Kind is what sort of caller a principal is.
type Kind string

// The kinds. System is the server itself: command line, jobs, set-up.
const (
	User             Kind = "user"
	APIKey           Kind = "api_key"
	AccessToken      Kind = "access_token"
	SystemToken      Kind = "system_token"
	ApplicationToken Kind = "application_token"
	Client           Kind = "client"
	SetupLink        Kind = "setup_link"
	System           Kind = "system"
)

// Source is where a request came from, for the audit log.
type Source struct {
	Request   id.Request
	Address   string
	UserAgent string // printable, at most 300 characters
}

// Principal is an authenticated caller. It is a value: joined anew for each request and never stored.
type Principal struct {
	Kind Kind
	ID   string // usr_…, key_…, or the name of a system principal
	Name string // machines: their name; people: their display name

	Home             id.Organization // where the user or credential lives
	Organization     id.Organization // where it acts; differs from Home only for a super_admin in another tenant
	OrganizationSlug string          // of Organization
	Permissions      permission.Set

	Role     string     // of people, and of the user a machine belongs to
	Narrowed bool       // it gives less than its role
	Email    string     // people only
	Session  id.Session // people only
	Owner    id.User    // machines owned by a user: that user

	AuthTime  time.Time // when the first factor was proven
	Weak      bool      // their user has a second factor, and this session never proved it
	ExpiresAt time.Time // of the credential; zero: never
	Source    Source
}

// Scope is how far the principal may go with the action on the resource.
func (p Principal) Scope(resource, action string) permission.Scope {
	return p.Permissions.Scope(resource, action)
}

// UserID is the user that "own" means: the person, or the user who owns the machine credential. Empty for an
// organization's own.
func (p Principal) UserID() id.User {
	if p.Kind == User {
		return id.User(p.ID)
	}
	return p.Owner
}

// WholeRole is the role, unless the principal gives less than it: nobody shall decide by a role that is not there in
// full.
func (p Principal) WholeRole() string {
	if p.Narrowed {
		return ""
	}
	return p.Role
}

// Abroad tells whether the principal acts outside its home.
func (p Principal) Abroad() bool { return p.Home != p.Organization }

// IsSystem tells whether this is the server itself.
func (p Principal) IsSystem() bool { return p.Kind == System }

// NewSystem is the server acting by itself in one organization (empty: on the platform), under a name that the audit
// log shows.
func NewSystem(name string, organization id.Organization) Principal {
	return Principal{Kind: System, ID: name, Name: name, Home: organization, Organization: organization,
		Permissions: permission.Everything()}
}

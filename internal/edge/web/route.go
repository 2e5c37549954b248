package web

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
)

// Route is one method and path and what it demands. Exactly one of Permission, Self and Public is set.
type Route struct {
	Method  string // empty: any
	Pattern string // net/http ServeMux syntax without the method

	// "resource:action", or several with "|": some scope of one is needed; how far it reaches is the service's to say
	Permission string
	Self       string // any caller of an accepted kind, since it is about the caller alone; the reason why
	Public     string // no credential is looked at; the reason why

	StepUp bool // a person's last proof must be recent, as their organization has it (RFC 9470)

	// A session's token is enough for what its user's role has lost since it was minted, also when something is changed
	// (A41): that is for the service desk alone, and for proxies, which ask about requests of others.
	Lags bool

	Accepts    []authn.Kind // kinds of credential
	MaxBody    int64        // bytes; 0: DefaultMaxBody
	BodyTypes  []string     // media types of a body; nil: application/json
	Query      []string     // parameters; any other is refused. nil: the handler judges which there are
	WriteError ErrorWriter  // nil: problem documents

	observers *[len(usual)]atomic.Pointer[prometheus.Observer] // of the usual statuses
}

// ErrorWriter writes a failure in a protocol's own form.
type ErrorWriter func(w http.ResponseWriter, r *http.Request, err error)

// DefaultMaxBody bounds a request body.
const DefaultMaxBody = 64 << 10

// What routes accept (G12).
var (
	// OnlySessions are for people: their own sessions, factors and passwords, and making credentials that only a person
	// may make.
	OnlySessions = []authn.Kind{authn.SessionToken}
	// Enrolling adds a factor: in a session, or before the first, since one is demanded.
	Enrolling = []authn.Kind{authn.SessionToken, authn.WaitingSignIn}
	// SettingUp is for who holds a set-up link.
	SettingUp = []authn.Kind{authn.SetupLink}
	// SessionsAndKeys reach the whole management API as far as their permissions go.
	SessionsAndKeys = authn.Management
	// Everyone reaches the service desk.
	Everyone = authn.Desk
	// Anyone is asked about by forward authentication.
	Anyone = authn.Tokens
)

// AccountParameter is the part of a pattern that names an organization, by its slug or its account number: a credential
// of another one is refused.
const AccountParameter = "account"

func (r Route) check() string {
	marks := 0
	for _, m := range []string{r.Permission, r.Self, r.Public} {
		if m != "" {
			marks++
		}
	}
	unknown := ""
	for _, p := range r.permissions() {
		if !permission.Known(p[0], p[1]) {
			unknown = p[0] + ":" + p[1]
		}
	}
	switch {
	case marks != 1:
		return "needs exactly one of Permission, Self and Public"
	case r.Public != "" && r.StepUp:
		return "asks nobody for a newer proof"
	case r.Public == "" && len(r.Accepts) == 0:
		return "accepts no credential"
	case unknown != "":
		return "asks for the unknown permission " + unknown
	}
	return ""
}

// permissions splits Permission into resources and actions.
func (r Route) permissions() [][2]string {
	var out [][2]string
	if r.Permission != "" {
		for p := range strings.SplitSeq(r.Permission, "|") {
			resource, action, _ := strings.Cut(p, ":")
			out = append(out, [2]string{resource, action})
		}
	}
	return out
}

package signin

import (
	"net/url"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// Deps are the services behind the routes.
type Deps struct {
	PublicURL *url.URL
	Now       func() time.Time
	Login     *login.Service
	Factors   *mfa.Service
	Tokens    *token.Service
	Sessions  *session.Service
	Users     *user.Service
	SSO       *sso.Service
}

type routes struct {
	Deps
	*v1.API
}

// Register adds the routes.
func Register(to *v1.API, d Deps) {
	a := &routes{d, to}
	a.registerAuth()
	a.registerFactors()
	a.registerPasswords()
	a.registerSessions()
	a.registerInvitations()
	a.registerCompany()
}

// Package api serves the management resources of /v1, one file each: users, teams, roles, invitations, organizations,
// credentials, clients, connections, sessions, audit events and the service desk. Signing in is edge/signin's. No rule
// and no SQL lives here.
package api

import (
	"net/url"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// Deps are the domains behind the resources.
type Deps struct {
	PublicURL     *url.URL
	Now           func() time.Time
	Login         *login.Service
	Factors       *mfa.Service
	Organizations *organization.Service
	Roles         *role.Service
	Users         *user.Service
	Sessions      *session.Service
	Credentials   *credential.Service
	Clients       *client.Service
	Audit         *audit.Service
	Desk          *servicedesk.Service
	Connections   *connection.Service
	SSO           *sso.Service
	Setup         Setup
}

type routes struct {
	Deps
	*v1.API
}

// Register adds the routes.
func Register(to *v1.API, d Deps) {
	a := &routes{d, to}
	a.registerSessions()
	a.registerUsers()
	a.registerUserFactors()
	a.registerTeams()
	a.registerRoles()
	a.registerInvitations()
	a.registerOrganizations()
	a.registerCredentials()
	a.registerClients()
	a.registerConnections()
	a.registerSetupLinks()
	a.registerAudit()
	a.registerTickets()
	a.registerReports()
	a.registerSetup()
	a.registerLinks()
}

package server

import (
	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/easyvista"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/itempath"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/securithings"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/servicebroker"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// registerDialects adds the wire formats of the products whose place the server takes.
func (s *Server) registerDialects(signIn *login.Service, clients *clientauth.Authenticator, cursors web.Cursors) {
	itempath.Register(s.Kit, itempath.Services{DefaultOrganization: s.Config.ItemPath.DefaultOrganization,
		Cursors: cursors, Login: signIn, Tokens: s.Tokens, Credentials: s.Credentials})
	easyvista.Register(s.Kit, easyvista.Services{PublicURL: s.Public, Now: s.now, Cursors: cursors,
		Organizations: s.Organizations, Users: s.Users, Credentials: s.Credentials, Desk: s.Desk})
	servicebroker.Register(s.Kit, servicebroker.Services{Clients: clients, Organizations: s.Organizations,
		Credentials: s.Credentials, Tokens: s.Tokens})
	securithings.Register(s.Kit, securithings.Services{Clients: clients, Tokens: s.Tokens})
}

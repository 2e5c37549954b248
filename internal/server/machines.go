package server

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/edge/gateway"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// clientAuthentication builds what proves OAuth clients.
func (s *Server) clientAuthentication(services authn.Services, issuer string) (*clientauth.Authenticator, error) {
	reachable, err := s.Config.Reachable()
	if err != nil {
		return nil, fmt.Errorf("outbound.allowed_networks: %w", err)
	}
	c := &clientauth.Authenticator{Services: services, OneTime: s.OneTime, Issuer: issuer,
		Keys: clientauth.NewKeySets(outbound.New(reachable), s.now), Log: s.log}
	if path := s.Config.MTLS.CAFile; path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("mtls.ca_file: %w", err)
		}
		if c.Roots = x509.NewCertPool(); !c.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("mtls.ca_file: %s holds no certificate in PEM", path)
		}
	}
	return c, nil
}

// registerGateway adds forward authentication.
func (s *Server) registerGateway() error {
	var rules *gateway.Rules
	if path := s.Config.Gateway.RoutesFile; path != "" {
		var err error
		if rules, err = gateway.LoadRules(path); err != nil {
			return fmt.Errorf("gateway.routes_file: %w", err)
		}
	}
	gateway.Register(s.Kit, s.Tokens, rules, s.now, s.log)
	return nil
}

package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/edge/api"
	"github.com/itsm-automation/gatehouse/internal/edge/console"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/easyvista"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/itempath"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/securithings"
	"github.com/itsm-automation/gatehouse/internal/edge/dialect/servicebroker"
	"github.com/itsm-automation/gatehouse/internal/edge/gateway"
	"github.com/itsm-automation/gatehouse/internal/edge/health"
	"github.com/itsm-automation/gatehouse/internal/edge/oauth"
	"github.com/itsm-automation/gatehouse/internal/edge/signin"
	companysignin "github.com/itsm-automation/gatehouse/internal/edge/sso"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/certfile"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/jobs"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
)

// parts are what a node is made of, each built on those above it.
var parts = []func(context.Context, *Server) error{
	feedPart, limitsPart, mailPart, hashingPart,
	peoplePart, keysPart, sessionsPart, machinesPart, tokensPart, factorsPart, deskPart,
	outboundPart, connectionsPart, knots,
	authnPart, companyPart, kitPart,
	v1Part, oauthPart, gatewayPart, dialectsPart, pagesPart, healthPart, tracingPart,
	housekeepingPart, auditSizePart, searchPart,
}

// factsOf names the form of shared facts: nodes of a release that knows fewer of a session's or a user's facts keep
// theirs apart from those of one that decides by more.
const factsOf = "2 "

// feedPart hears of changes that other processes make. Redis makes it quicker, and carries shared facts.
func feedPart(_ context.Context, s *Server) (err error) {
	s.Feed = invalidation.New(s.DB, s.log)
	s.caches = &cache.Group{Feed: s.Feed}
	s.run(s.Feed.Run)
	if s.Config.Redis.IsZero() {
		return nil
	}
	if s.Redis, err = redis.New(s.Config.Redis.Reveal(), s.Config.RedisPrefix, s.log, s.Feed.Pushed); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	s.Feed.UsePush(s.Redis)
	s.caches.Store = cache.NewStore(s.Redis, s.ring, factsOf+strings.Join(s.Config.Resources, " "))
	s.counter = s.Redis
	s.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_redis_up",
		Help: "1 while Redis answers; the server works without it."}, func() float64 {
		if s.Redis.Up() {
			return 1
		}
		return 0
	}))
	return nil
}

const forgetEvery = 2 * time.Minute

// limitsPart counts: requests of machines, and tries at names.
func limitsPart(_ context.Context, s *Server) error {
	s.Leases = jobs.NewLeases(s.DB, s.node, s.now)
	s.Limiter = ratelimit.New(s.DB, s.counter, s.Feed.Nodes, s.log)
	s.Attempts = attempt.New(s.DB, s.ring, s.options.Limits, s.now)
	s.own(s.Leases, s.Limiter, s.Attempts)
	s.every("rate counts", forgetEvery, func(context.Context) error {
		s.Limiter.Forget(s.now())
		return nil
	})
	return nil
}

const deliverEvery = time.Second

// mailPart sends mails, if the installation does.
func mailPart(_ context.Context, s *Server) (err error) {
	sender := s.options.Mail
	if sender == nil && s.Config.Mail.SMTP != "" {
		if sender, err = mail.NewSMTP(s.Config.SMTP()); err != nil {
			return fmt.Errorf("mail: %w", err)
		}
	}
	s.Mails = mail.NewOutbox(mail.Deps{DB: s.DB, Now: s.now, Log: s.log, Ring: s.ring, Public: s.Public,
		Sender: sender, Count: s.Attempts.CountMail, Holder: s.node})
	s.own(s.Mails)
	s.every("mail", deliverEvery, s.Mails.Deliver)
	return nil
}

func hashingPart(_ context.Context, s *Server) error {
	s.Hasher = hashing.New(s.options.Hashing)
	s.Metrics.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: "gatehouse_password_hashes_total", Help: "Password hashes computed."},
		func() float64 { return float64(s.Hasher.Done()) }))
	return nil
}

// peoplePart is organizations, roles, users, and the secrets that they use once.
func peoplePart(_ context.Context, s *Server) error {
	s.Audit = audit.New(s.DB)
	s.OneTime = onetime.New(s.DB, s.ring)
	s.Organizations = organization.New(s.DB, s.caches, organization.MFAPolicy(s.Config.DefaultMFA), s.now)
	s.Organizations.UseRetention(time.Duration(s.Config.AuditRetention))
	s.Roles = role.New(s.DB, s.caches, s.now)
	s.Users = user.New(user.Deps{DB: s.DB, Now: s.now, Caches: s.caches, Organizations: s.Organizations,
		Roles: s.Roles, OneTime: s.OneTime, Hasher: s.Hasher, Mails: s.Mails})
	s.own(s.Audit, s.OneTime, s.Organizations, s.Roles, s.Users)
	return nil
}

func keysPart(ctx context.Context, s *Server) error {
	s.Keys = signingkey.New(signingkey.Deps{DB: s.DB, Now: s.now, Log: s.log, Feed: s.Feed, Ring: s.ring,
		Bits: s.Config.Signing.KeyBits, Generate: s.options.Generate})
	s.own(s.Keys)
	return s.Keys.Ensure(ctx)
}

func sessionsPart(_ context.Context, s *Server) error {
	s.Sessions = session.New(session.Deps{DB: s.DB, Now: s.now, Caches: s.caches, Organizations: s.Organizations,
		Users: s.Users, Keys: s.Keys})
	s.own(s.Sessions)
	return nil
}

func machinesPart(_ context.Context, s *Server) error {
	s.Clients = client.New(s.DB, s.caches, s.Organizations, s.now)
	s.Credentials = credential.New(credential.Deps{DB: s.DB, Now: s.now, Caches: s.caches, Ring: s.ring,
		Organizations: s.Organizations, Roles: s.Roles, Users: s.Users, Clients: s.Clients})
	s.own(s.Clients, s.Credentials)
	return nil
}

func tokensPart(_ context.Context, s *Server) error {
	s.Tokens = token.New(token.Deps{DB: s.DB, Now: s.now, Caches: s.caches, Issuer: s.Public.String(), Keys: s.Keys,
		Organizations: s.Organizations, Roles: s.Roles, Users: s.Users, Sessions: s.Sessions,
		Credentials: s.Credentials})
	s.own(s.Tokens)
	return nil
}

func factorsPart(_ context.Context, s *Server) error {
	rpID, origins := s.Config.RelyingParty()
	s.Factors = mfa.New(mfa.Deps{DB: s.DB, Now: s.now, Ring: s.ring, Organizations: s.Organizations, Users: s.Users,
		Sessions: s.Sessions, OneTime: s.OneTime, Mails: s.Mails,
		Parties: mfa.RelyingParties{Default: mfa.RelyingParty{ID: rpID, Origins: origins},
			TenantHosts: s.Config.TenantHosts}})
	s.own(s.Factors)
	return nil
}

func deskPart(_ context.Context, s *Server) error {
	s.Desk = servicedesk.New(s.DB, s.now)
	s.own(s.Desk)
	return nil
}

// outboundPart is how the server asks what customers name.
func outboundPart(_ context.Context, s *Server) error {
	reachable, err := s.Config.Reachable()
	if err != nil {
		return fmt.Errorf("outbound.allowed_networks: %w", err)
	}
	s.outbound = outbound.New(reachable)
	return nil
}

const recheckDomains = 10 * time.Minute

// connectionsPart is organizations' own identity providers.
func connectionsPart(_ context.Context, s *Server) error {
	s.Connections = connection.New(connection.Deps{DB: s.DB, Now: s.now, Caches: s.caches, Ring: s.ring,
		Organizations: s.Organizations, Roles: s.Roles, Users: s.Users, Places: s.options.Providers,
		Allowed: s.outbound.CheckURL, Resolver: s.options.Resolver, Mails: s.Mails, OneTime: s.OneTime,
		Generate: func(name string) (connection.OwnKey, error) {
			k, err := s.options.Generate(s.Config.Signing.KeyBits)
			if err != nil {
				return connection.OwnKey{}, err
			}
			return connection.NewOwnKey(k, name, s.now())
		}})
	s.own(s.Connections)
	s.every("domains", recheckDomains, func(ctx context.Context) error {
		held, err := s.Leases.Hold(ctx, "domains", 2*recheckDomains)
		if err != nil || !held {
			return err
		}
		return s.Connections.Recheck(ctx, domainsAtOnce)
	})
	return nil
}

// domainsAtOnce are looked at in one round.
const domainsAtOnce = 200

// companyPart signs people in through those providers.
func companyPart(_ context.Context, s *Server) error {
	s.SSO = sso.New(sso.Deps{DB: s.DB, Now: s.now, Log: s.log, PublicURL: s.Public, Organizations: s.Organizations,
		Users: s.Users, Connections: s.Connections, OneTime: s.OneTime, Login: s.Login, Limiter: s.Limiter,
		Sessions: s.Sessions, OpenID: upstream.NewOpenID(s.outbound, s.options.Providers, s.now, s.log),
		SAML: upstream.NewSAML(s.outbound, s.Public, s.now, s.log)})
	warned := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_connection_warnings",
		Help: "Connections to identity providers that need attention. Only the node that looks after them counts."})
	s.Metrics.MustRegister(warned)
	s.every("connections", recheckDomains, func(ctx context.Context) error {
		held, err := s.Leases.Hold(ctx, "connections", 2*recheckDomains)
		if err != nil || !held {
			warned.Set(0)
			return err
		}
		failed := s.Connections.LookAfter(ctx, domainsAtOnce, s.SSO.Refresh)
		_, n, err := s.Connections.Warned(ctx, 0)
		if err == nil {
			warned.Set(float64(n))
		}
		return errors.Join(failed, err)
	})
	return nil
}

// knots ties what must call upward: a domain calls what is built on it through an interface of its own.
func knots(_ context.Context, s *Server) error {
	s.Users.UseSessions(s.Sessions)
	s.Users.UseCredentials(s.Credentials)
	s.Credentials.UseMinter(s.Tokens)
	s.Sessions.UseConnections(s.Connections)
	return nil
}

// authnPart turns what requests bring into principals, and OAuth clients into proven ones.
func authnPart(_ context.Context, s *Server) error {
	s.Login = login.New(login.Services{DB: s.DB, Now: s.now, Log: s.log, Hasher: s.Hasher, Attempts: s.Attempts,
		Organizations: s.Organizations, Users: s.Users, Sessions: s.Sessions, Tokens: s.Tokens, Factors: s.Factors,
		OneTime: s.OneTime, Mails: s.Mails, Companies: s.Connections})
	s.run(s.Login.MailResets)
	services := authn.Services{DB: s.DB, Now: s.now, Organizations: s.Organizations, Users: s.Users,
		Sessions: s.Sessions, Tokens: s.Tokens, Credentials: s.Credentials, Clients: s.Clients, Limiter: s.Limiter,
		Certificates: web.ClientCertificates(s.Config.MTLS.CertificateHeader, s.proxies), Login: s.Login,
		Connections: s.Connections}
	s.authenticator = authn.New(services)
	s.clientAuth = &clientauth.Authenticator{Services: services, OneTime: s.OneTime, Issuer: s.Public.String(),
		Keys: clientauth.NewKeySets(s.outbound, s.now), Log: s.log}
	if path := s.Config.MTLS.CAFile; path != "" {
		s.clientAuth.Roots = x509.NewCertPool()
		if err := certfile.AddTo(s.clientAuth.Roots, path); err != nil {
			return fmt.Errorf("mtls.ca_file: %w", err)
		}
	}
	return nil
}

// kitPart is what every route is served by.
func kitPart(_ context.Context, s *Server) error {
	s.Kit = web.New(web.Options{PublicURL: s.Public, TenantHosts: s.Config.TenantHosts, TrustedProxies: s.proxies,
		Forwarded: s.Config.Forwarded, Log: s.log, Organizations: s.Organizations, Metrics: s.Metrics,
		Authenticator: s.authenticator, MaxRequests: s.Config.MaxRequests, Now: s.now})
	s.cursors = web.NewCursors(s.ring.Subkey("list cursors"))
	s.Handler = s.Kit
	return nil
}

func v1Part(_ context.Context, s *Server) error {
	s.V1 = v1.New(s.Kit, s.cursors, "1")
	signin.Register(s.V1, signin.Deps{PublicURL: s.Public, Now: s.now, Login: s.Login, Factors: s.Factors,
		Tokens: s.Tokens, Sessions: s.Sessions, Users: s.Users, SSO: s.SSO})
	companysignin.Register(s.V1, companysignin.Deps{PublicURL: s.Public, SSO: s.SSO})
	api.Register(s.V1, api.Deps{PublicURL: s.Public, Now: s.now, Login: s.Login, Factors: s.Factors,
		Organizations: s.Organizations, Roles: s.Roles, Users: s.Users, Sessions: s.Sessions,
		Credentials: s.Credentials, Clients: s.Clients, Audit: s.Audit, Desk: s.Desk,
		Connections: s.Connections, SSO: s.SSO, Setup: s})
	s.V1.ServeDocument()
	return nil
}

func oauthPart(_ context.Context, s *Server) error {
	mtls, err := s.Config.MTLSURL()
	if err != nil {
		return fmt.Errorf("mtls.public_url: %w", err)
	}
	oauth.Register(s.Kit, oauth.Deps{PublicURL: s.Public, MTLSURL: mtls, Authenticator: s.authenticator,
		Clients: s.clientAuth, Organizations: s.Organizations, Keys: s.Keys, Tokens: s.Tokens, Sessions: s.Sessions,
		Credentials: s.Credentials})
	return nil
}

// gatewayPart is forward authentication.
func gatewayPart(_ context.Context, s *Server) (err error) {
	var rules *gateway.Rules
	if path := s.Config.Gateway.RoutesFile; path != "" {
		if rules, err = gateway.LoadRules(path); err != nil {
			return fmt.Errorf("gateway.routes_file: %w", err)
		}
		for _, warning := range rules.Warnings() {
			s.log.Warn("gateway.routes_file: " + warning)
		}
	}
	gateway.Register(s.Kit, s.Tokens, rules, s.now, s.log)
	return nil
}

// dialectsPart is the wire formats of the products whose place the server takes.
func dialectsPart(_ context.Context, s *Server) error {
	itempath.Register(s.Kit, itempath.Deps{DefaultOrganization: s.Config.ItemPath.DefaultOrganization,
		Cursors: s.cursors, Login: s.Login, Tokens: s.Tokens, Credentials: s.Credentials, SSO: s.SSO})
	easyvista.Register(s.Kit, easyvista.Deps{PublicURL: s.Public, Now: s.now, Cursors: s.cursors,
		Organizations: s.Organizations, Users: s.Users, Credentials: s.Credentials, Desk: s.Desk})
	servicebroker.Register(s.Kit, servicebroker.Deps{Clients: s.clientAuth, Organizations: s.Organizations,
		Credentials: s.Credentials, Tokens: s.Tokens})
	securithings.Register(s.Kit, securithings.Deps{Clients: s.clientAuth, Tokens: s.Tokens})
	return nil
}

func pagesPart(_ context.Context, s *Server) error {
	console.Register(s.Kit)
	return nil
}

// healthPart says whether the node answers, and whether it should be asked.
func healthPart(_ context.Context, s *Server) error {
	s.Metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gatehouse_database_writes_refused_total",
		Help: "Transactions that failed because the database took no writes: it is read-only, or its disk is full."},
		func() float64 { return float64(s.DB.WritesRefused()) }))
	health.Register(s.Kit, []health.Check{
		{Name: "draining", Run: func(context.Context) error {
			if s.draining.Load() {
				return errors.New("the node is stopping")
			}
			return nil
		}},
		{Name: "database", Run: s.DB.Ping},
		{Name: "database_writes", Degraded: true, Run: s.DB.CheckWrites},
		{Name: "clock", Run: s.checkClock},
		{Name: "signing_keys", Run: func(context.Context) error {
			_, err := s.Keys.Signing(signingkey.Session)
			return err
		}},
		{Name: "invalidation", Run: func(context.Context) error {
			if !s.Feed.Trusted() {
				return errors.New("the feed is interrupted")
			}
			return nil
		}},
	})
	return nil
}

func tracingPart(ctx context.Context, s *Server) (err error) {
	if s.Config.Tracing.Endpoint == "" {
		return nil
	}
	if s.tracing, err = telemetry.StartTracing(ctx, s.Config.Tracing.Endpoint, s.options.Version); err != nil {
		return err
	}
	s.Handler = s.tracing.Wrap(s.Kit)
	return nil
}

// Package server is the composition root: New builds everything a node is made of from its configuration. The binary
// and the tests use the same one; tests only pass cheaper keys, hashes and another clock.
package server

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
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
	"github.com/itsm-automation/gatehouse/internal/edge/health"
	"github.com/itsm-automation/gatehouse/internal/edge/oauth"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/jobs"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
)

// Options replace what tests and the demo do differently. The zero value is a real server.
type Options struct {
	Log      *slog.Logger
	Version  string
	Now      func() time.Time
	Generate signingkey.Generator
	Hashing  hashing.Options
	Limits   attempt.Limits

	// Mail sends mails instead of the configured server.
	Mail mail.Sender
}

// Clock gives the time as the server uses it: UTC, in milliseconds, as the database keeps it.
func Clock() time.Time { return failpoint.Clock(time.Now()).UTC().Truncate(time.Millisecond) }

// Server is one node.
type Server struct {
	Config  config.Config
	Public  *url.URL
	Handler http.Handler
	Metrics *prometheus.Registry

	DB            *sqldb.DB
	Credentials   *credential.Service
	Clients       *client.Service
	Limiter       *ratelimit.Limiter
	Kit           *web.Kit
	API           *api.API
	Organizations *organization.Service
	Roles         *role.Service
	Users         *user.Service
	Sessions      *session.Service
	Tokens        *token.Service
	Keys          *signingkey.Service
	Desk          *servicedesk.Service
	OneTime       *onetime.Service
	Factors       *mfa.Service
	Login         *login.Service
	Mails         *mail.Outbox
	Attempts      *attempt.Service
	Hasher        *hashing.Pool
	Feed          *invalidation.Feed
	Redis         *redis.Client // nil: none
	Leases        *jobs.Leases

	housekeeping, purged prometheus.Counter

	log     *slog.Logger
	now     func() time.Time
	tracing *telemetry.Tracing
	stop    context.CancelFunc
	running sync.WaitGroup
	release func() // the lock on the SQLite file

	draining atomic.Bool
}

// New opens and migrates the database and builds the node. Call Start before serving and Close at the end.
func New(ctx context.Context, c config.Config, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = Clock
	}
	if o.Generate == nil {
		o.Generate = func(bits int) (*rsa.PrivateKey, error) { return signingkey.Generate(bits) }
	}
	if o.Limits == (attempt.Limits{}) {
		o.Limits = attempt.DefaultLimits
	}
	if o.Hashing.Slots == 0 {
		if o.Hashing.Slots = c.Hashing.Slots; o.Hashing.Slots == 0 {
			o.Hashing.Slots = runtime.GOMAXPROCS(0)
		}
	}
	if o.Hashing.MaxWaiting == 0 {
		o.Hashing.MaxWaiting = c.Hashing.MaxWaiting
	}
	public, err := c.URL()
	if err != nil {
		return nil, fmt.Errorf("public_url: %w", err)
	}
	proxies, err := c.Proxies()
	if err != nil {
		return nil, fmt.Errorf("trusted_proxies: %w", err)
	}
	if err := permission.Define(c.Resources); err != nil {
		return nil, fmt.Errorf("resources: %w", err)
	}
	if slug := c.ItemPath.DefaultOrganization; slug != "" {
		if err := organization.CheckSlug(slug); err != nil {
			return nil, fmt.Errorf("itempath.default_organization: %w", err)
		}
	}
	ring, err := keyring.New(c.EncryptionKeys)
	if err != nil {
		return nil, err
	}
	release := func() {}
	if address := c.Database.Reveal(); !sqldb.IsPostgres(address) {
		if release, err = sqldb.LockShared(sqldb.FilePath(address)); err != nil {
			return nil, err
		}
	}
	db, err := sqldb.Open(ctx, c.Database.Reveal(),
		sqldb.Options{MaxConns: c.DatabasePool, KeepAfterFailover: c.Failover == config.Keep})
	if err != nil {
		release()
		return nil, err
	}
	ok := false
	defer func() {
		if !ok {
			db.Close()
			release()
		}
	}()
	if _, err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	s := &Server{Config: c, Public: public, DB: db, release: release, log: o.Log, now: o.Now,
		Metrics: prometheus.NewRegistry()}
	s.Metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.Feed = invalidation.New(db, o.Log)
	caches := &cache.Group{Feed: s.Feed}
	var quick ratelimit.Counter
	if !c.Redis.IsZero() {
		if s.Redis, err = redis.New(c.Redis.Reveal(), o.Log, s.Feed.Pushed); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		s.Feed.UsePush(s.Redis)
		caches.Store, quick = cache.NewStore(s.Redis, ring, strings.Join(c.Resources, " ")), s.Redis
		s.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_redis_up",
			Help: "1 while Redis answers; the server works without it."}, func() float64 {
			if s.Redis.Up() {
				return 1
			}
			return 0
		}))
	}
	node := rand.Text()
	s.Leases = jobs.NewLeases(db, node, o.Now)
	if o.Mail == nil && c.Mail.SMTP != "" {
		if o.Mail, err = mail.NewSMTP(c.SMTP()); err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
	}
	s.Mails = mail.NewOutbox(db, ring, public, o.Mail, node, o.Now, o.Log)
	s.Hasher = hashing.New(o.Hashing)
	s.Metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gatehouse_password_hashes_total",
		Help: "Password hashes computed."},
		func() float64 { return float64(s.Hasher.Done()) }))
	s.housekeeping = prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_housekeeping_runs_total",
		Help: "Rounds of housekeeping that this node did."})
	s.purged = prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_housekeeping_rows_total",
		Help: "Rows that this node removed, or counted as gone."})
	s.Metrics.MustRegister(s.housekeeping, s.purged)
	s.OneTime = onetime.New(db, ring)
	s.Attempts = attempt.New(db, ring, o.Limits, o.Now)
	s.Organizations = organization.New(db, caches, organization.MFAPolicy(c.DefaultMFA), o.Now)
	s.Roles = role.New(db, caches, o.Now)
	s.Users = user.New(db, caches, s.Organizations, s.Roles, s.OneTime, s.Hasher, s.Mails, o.Now)
	s.Roles.UsePresent(s.Users.Present)
	s.Keys = signingkey.New(db, s.Feed, ring, c.Signing.KeyBits, o.Generate, o.Now, o.Log)
	s.Sessions = session.New(db, caches, s.Organizations, s.Users, s.Keys, o.Now)
	s.Users.UseSessions(s.Sessions)
	if err := s.Keys.Ensure(ctx); err != nil {
		return nil, err
	}
	issuer := public.String()
	s.Clients = client.New(db, caches, s.Organizations, s.Users, o.Now)
	s.Credentials = credential.New(db, caches, ring, s.Organizations, s.Roles, s.Users, s.Clients, o.Now)
	s.Users.UseCredentials(s.Credentials)
	s.Limiter = ratelimit.New(db, quick, s.Feed.Nodes, o.Log)
	s.Tokens = token.New(db, caches, issuer, s.Keys, s.Organizations, s.Roles, s.Users, s.Sessions, s.Credentials,
		o.Now)
	s.Desk = servicedesk.New(db, o.Now)
	rpID, origins := c.RelyingParty()
	s.Factors = mfa.New(db, ring, s.Organizations, s.Users, s.Sessions, s.OneTime, s.Mails,
		mfa.RelyingParties{Default: mfa.RelyingParty{ID: rpID, Origins: origins}, TenantHosts: c.TenantHosts}, o.Now)
	signIn := login.New(login.Services{DB: db, Now: o.Now, Log: o.Log, Hasher: s.Hasher, Attempts: s.Attempts,
		Organizations: s.Organizations, Users: s.Users, Sessions: s.Sessions, Tokens: s.Tokens,
		Factors: s.Factors, OneTime: s.OneTime, Mails: s.Mails})
	s.Login = signIn

	s.Credentials.UseMinter(s.Tokens)
	services := authn.Services{DB: db, Now: o.Now, Organizations: s.Organizations, Users: s.Users, Sessions: s.Sessions,
		Tokens: s.Tokens, Credentials: s.Credentials, Clients: s.Clients,
		Limiter: s.Limiter, Certificates: web.ClientCertificates(c.MTLS.CertificateHeader, proxies), Login: signIn}
	authenticator := authn.New(services)
	s.Kit = web.New(web.Options{PublicURL: public, TenantHosts: c.TenantHosts, TrustedProxies: proxies, Log: o.Log,
		Organizations: s.Organizations, Metrics: s.Metrics, Authenticator: authenticator, MaxRequests: c.MaxRequests,
		Now: o.Now})
	cursors := web.NewCursors(ring.Subkey("list cursors"))
	s.API = api.New(s.Kit, api.Services{PublicURL: public, Version: "1", Now: o.Now, Cursors: cursors, Login: signIn,
		Factors: s.Factors, Tokens: s.Tokens,
		Organizations: s.Organizations, Roles: s.Roles, Users: s.Users, Sessions: s.Sessions,
		Credentials: s.Credentials, Clients: s.Clients, Audit: audit.New(db), Desk: s.Desk, Setup: s})
	clients, err := s.clientAuthentication(services, issuer)
	if err != nil {
		return nil, err
	}
	mtls, err := c.MTLSURL()
	if err != nil {
		return nil, fmt.Errorf("mtls.public_url: %w", err)
	}
	oauth.Register(s.Kit, oauth.Services{PublicURL: public, MTLSURL: mtls, Authenticator: authenticator,
		Clients: clients, Organizations: s.Organizations, Keys: s.Keys, Tokens: s.Tokens,
		Sessions: s.Sessions, Credentials: s.Credentials})
	s.registerDialects(signIn, clients, cursors)
	if err := s.registerGateway(); err != nil {
		return nil, err
	}
	console.Register(s.Kit)
	health.Register(s.Kit, []health.Check{
		{Name: "draining", Run: func(context.Context) error {
			if s.draining.Load() {
				return errors.New("the node is stopping")
			}
			return nil
		}},
		{Name: "database", Run: db.Ping},
		{Name: "clock", Run: func(ctx context.Context) error { return s.checkClock(ctx) }},
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
	s.Handler = s.Kit
	if c.Tracing.Endpoint != "" {
		if s.tracing, err = telemetry.StartTracing(ctx, c.Tracing.Endpoint, o.Version); err != nil {
			return nil, err
		}
		s.Handler = s.tracing.Wrap(s.Kit)
	}
	ok = true
	return s, nil
}

// maxSkew is how far a node's clock may be from the database's; expiry would be judged wrongly on a node further off.
const maxSkew = 5 * time.Second

// checkClock compares this node's clock with the database's.
func (s *Server) checkClock(ctx context.Context) error {
	before := s.now()
	there, err := s.DB.Now(ctx)
	if err != nil {
		return err
	}
	if after := s.now(); there.Before(before.Add(-maxSkew)) || there.After(after.Add(maxSkew)) {
		return fmt.Errorf("the clock is %v off the database's", before.Sub(there).Round(time.Millisecond))
	}
	return nil
}

// The rhythm of housekeeping.
const (
	purgeBatch = 1000
	quietEvery = 15 * time.Second

	forgetEvery = 2 * time.Minute

	deliverEvery = time.Second
)

// flush writes the last uses of everything that has one.
func (s *Server) flush(ctx context.Context) error {
	return errors.Join(s.Sessions.Flush(ctx), s.Credentials.Flush(ctx), s.Clients.Flush(ctx))
}

// Start begins the background work: following other nodes, writing stamps, making keys, housekeeping.
func (s *Server) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	if s.Redis != nil {
		s.Redis.Start()
	}
	s.running.Go(func() { s.Feed.Run(ctx) })
	s.running.Go(func() { jobs.Every(ctx, s.log, "last uses", session.FlushEvery, s.flush) })
	s.running.Go(func() {
		jobs.Every(ctx, s.log, "rate counts", forgetEvery, func(context.Context) error {
			s.Limiter.Forget(s.now())
			return nil
		})
	})
	s.running.Go(func() {
		if err := s.Keys.Prepare(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("signing keys could not be prepared", "error", err)
		}
		debug.FreeOSMemory() // building the server and its document leaves much behind
	})
	s.running.Go(func() {
		jobs.Every(ctx, s.log, "memory", quietEvery, func(context.Context) error {
			if s.Hasher.Quiet() {
				// what hashes leave behind is large, and a server at rest allocates too little to be collected soon
				debug.FreeOSMemory()
			}
			return nil
		})
	})
	s.running.Go(func() { s.Login.MailResets(ctx) })
	s.running.Go(func() { jobs.Every(ctx, s.log, "mail", deliverEvery, s.Mails.Deliver) })
	s.running.Go(func() { jobs.Every(ctx, s.log, "housekeeping", time.Duration(s.Config.Housekeeping), s.housekeep) })
}

// housekeep removes what nobody needs any more, on one node at a time: the one that holds the lease, and holds it again
// with every batch.
func (s *Server) housekeep(ctx context.Context) error {
	term := 2*time.Duration(s.Config.Housekeeping) + time.Minute
	if held, err := s.Leases.Hold(ctx, "housekeeping", term); err != nil || !held {
		return err
	}
	s.housekeeping.Inc()
	var failed error
	for _, purge := range []func() (int64, error){
		func() (int64, error) { return s.OneTime.Purge(ctx, s.now().Add(-24*time.Hour), purgeBatch) },
		func() (int64, error) { return s.Attempts.Purge(ctx, s.now().Add(-48*time.Hour), purgeBatch) },
		func() (int64, error) { return s.Sessions.Purge(ctx, purgeBatch) },
		func() (int64, error) { return s.Tokens.Purge(ctx, purgeBatch) },
		func() (int64, error) { return s.Users.PurgeInvitations(ctx, purgeBatch) },
		func() (int64, error) { return s.Factors.Purge(ctx, purgeBatch) },
		func() (int64, error) { return s.Mails.Purge(ctx, purgeBatch) },
		func() (int64, error) { return s.Limiter.Purge(ctx, s.now(), purgeBatch) },
	} {
		for {
			n, err := purge()
			s.purged.Add(float64(n))
			if failed = errors.Join(failed, err); err != nil || n < purgeBatch {
				break
			}
			if held, err := s.Leases.Hold(ctx, "housekeeping", term); err != nil || !held {
				return errors.Join(failed, err)
			}
		}
	}
	operator, err := s.Organizations.Operator(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, s.Keys.Prepare(ctx),
		s.Keys.Housekeep(ctx, principal.NewSystem("housekeeping", operator.ID)))
}

// Close ends the background work, writes what is waiting and lets the database go.
func (s *Server) Close(ctx context.Context) error {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
	err := errors.Join(s.flush(ctx), s.Leases.Release(ctx))
	if s.Redis != nil {
		s.Redis.Close()
	}
	if s.tracing != nil {
		err = errors.Join(err, s.tracing.Stop(ctx))
	}
	s.DB.Close()
	s.release()
	return err
}

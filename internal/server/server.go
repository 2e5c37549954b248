package server

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/sso"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
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
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/jobs"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
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

	// Providers are where the identity providers with an address of their own are, and Resolver reads TXT records.
	Providers connection.Places
	Resolver  connection.Resolver
}

// fill says what holds where nothing is said.
func (o *Options) fill(c config.Config) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = Clock
	}
	if o.Generate == nil {
		o.Generate = func(bits int) (*rsa.PrivateKey, error) { return signingkey.Generate(bits) }
	}
	if o.Providers.Google == "" {
		o.Providers = connection.PublicPlaces()
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
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
	V1            *v1.API
	Audit         *audit.Service
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
	Connections   *connection.Service
	SSO           *sso.Service
	Mails         *mail.Outbox
	Attempts      *attempt.Service
	Hasher        *hashing.Pool
	Feed          *invalidation.Feed
	Redis         *redis.Client // nil: none
	Leases        *jobs.Leases

	// What parts make for later ones.
	options       Options
	ring          *keyring.Ring
	caches        *cache.Group
	counter       ratelimit.Counter // shared with other nodes; nil: none
	node          string            // this node's name, which no other has
	proxies       []netip.Prefix
	authenticator *authn.Authenticator
	clientAuth    *clientauth.Authenticator
	outbound      *outbound.Client // asks what customers name
	cursors       web.Cursors

	owners []any // of tables and of what waits to be written, in order; see life.go
	jobs   []job

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
	o.fill(c)
	s := &Server{Config: c, options: o, log: o.Log, now: o.Now, node: rand.Text(), Metrics: prometheus.NewRegistry(),
		release: func() {}}
	s.Metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ok := false
	defer func() {
		if !ok {
			s.abandon()
		}
	}()
	if err := s.configure(); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := part(ctx, s); err != nil {
			return nil, err
		}
	}
	ok = true
	return s, nil
}

// configure reads what the configuration says in text. The resources of APIs behind forward authentication become
// permissions here, for the whole process.
func (s *Server) configure() (err error) {
	c := &s.Config
	if s.Public, err = c.URL(); err != nil {
		return fmt.Errorf("public_url: %w", err)
	}
	if s.proxies, err = c.Proxies(); err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	if err := permission.Define(c.Resources); err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	if slug := c.ItemPath.DefaultOrganization; slug != "" {
		if err := organization.CheckSlug(slug); err != nil {
			return fmt.Errorf("itempath.default_organization: %s", fault.Plain(err))
		}
	}
	s.ring, err = keyring.New(c.EncryptionKeys)
	return err
}

// open opens the database, for this process among others, and brings it up to date.
func (s *Server) open(ctx context.Context) (err error) {
	if address := s.Config.Database.Reveal(); !sqldb.IsPostgres(address) {
		if s.release, err = sqldb.LockShared(sqldb.FilePath(address)); err != nil {
			s.release = func() {}
			return err
		}
	}
	if s.DB, err = OpenDatabase(ctx, s.Config, s.Config.DatabasePool); err != nil {
		return err
	}
	if err := s.DB.CheckListen(ctx); err != nil {
		return err
	}
	_, err = s.DB.Migrate(ctx)
	return err
}

// OpenDatabase opens the configured database as a server does: whoever sees first that PostgreSQL was failed over makes
// void what must be.
func OpenDatabase(ctx context.Context, c config.Config, connections int) (*sqldb.DB, error) {
	return sqldb.Open(ctx, c.Database.Reveal(), sqldb.Options{MaxConns: connections,
		Listen:            c.DatabaseListen.Reveal(),
		KeepAfterFailover: c.Failover == config.Keep,
		OnFailover:        []sqldb.OnFailover{onetime.FailedOver, audit.FailedOver}})
}

// Now is the time by which this server judges.
func (s *Server) Now() time.Time { return s.now() }

// abandon lets go of what New has opened before it failed.
func (s *Server) abandon() {
	if s.tracing != nil {
		s.tracing.Stop(context.Background())
	}
	if s.Redis != nil {
		s.Redis.Close()
	}
	if s.DB != nil {
		s.DB.Close()
	}
	s.release()
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

// MaxSkew is how far a node's clock may be from the database's; expiry would be judged wrongly on a node further off.
const MaxSkew = 5 * time.Second

// checkClock compares this node's clock with the database's.
func (s *Server) checkClock(ctx context.Context) error {
	before := s.now()
	there, err := s.DB.Now(ctx)
	if err != nil {
		return err
	}
	if after := s.now(); there.Before(before.Add(-MaxSkew)) || there.After(after.Add(MaxSkew)) {
		return fmt.Errorf("the clock is %v off the database's", before.Sub(there).Round(time.Millisecond))
	}
	return nil
}

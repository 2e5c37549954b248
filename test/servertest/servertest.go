// Package servertest starts whole servers for tests: the real composition on a real database, over real HTTP, with the
// demo's tenants and users, with cheap password hashes, keys made once a process, and a clock that can be set forward.
package servertest

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/hashing"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// CheapHash is argon2id with the least cost; one test runs the real one.
var CheapHash = password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

// PublicURL is what test servers believe to be their address.
const PublicURL = "https://auth.example.com"

// Server is a running test server.
type Server struct {
	*server.Server
	URL   string
	Clock *Clock
	Seeds demo.Seeds
	Logs  *Logs
	Mails *Mails

	// Broken says that the test took the database away, so that closing cannot end well.
	Broken bool
}

// Clock is real time plus what the test added.
type Clock struct{ offset atomic.Int64 }

// Now is the server's time.
func (c *Clock) Now() time.Time { return server.Clock().Add(time.Duration(c.offset.Load())) }

// Advance sets the clock forward.
func (c *Clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

// NextMinute sets it to the beginning of a minute, in which what is counted by minutes begins anew.
func (c *Clock) NextMinute() {
	now := c.Now()
	c.Advance(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
}

// Logs keeps what the server logged.
type Logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is everything logged so far.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// keys are made once a process: the n-th key of every server is the same.
var (
	keysMu sync.Mutex
	keys   []*rsa.PrivateKey
)

func generator(from int) signingkey.Generator {
	var n atomic.Int32
	return func(int) (*rsa.PrivateKey, error) {
		i := from + int(n.Add(1)) - 1
		keysMu.Lock()
		defer keysMu.Unlock()
		for len(keys) <= i {
			k, err := signingkey.Generate(2048)
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
		return keys[i], nil
	}
}

// RedisEnv names the variable with the address of the Redis that the tests' servers share.
const RedisEnv = "GATEHOUSE_TEST_REDIS"

// WithoutRedis leaves the nodes to the database alone.
func WithoutRedis(c *config.Config, _ *server.Options) { c.Redis = secret.Secret{} }

// EncryptionKey is shared by the servers of one process, so that several can work on one database.
var EncryptionKey = keyring.Generate()

// Option changes how a test server is built.
type Option func(c *config.Config, o *server.Options)

// Each runs fn as a parallel subtest on every engine, each with a fresh seeded server.
func Each(t *testing.T, fn func(t *testing.T, s *Server), options ...Option) {
	t.Helper()
	t.Parallel()
	if len(options) > 0 { // they may change what is seeded
		sqldbtest.EachAddress(t, func(t *testing.T, address string) { fn(t, New(t, address, options...)) })
		return
	}
	seeded.Each(t, func(t *testing.T, address string) {
		s := Join(t, address, laterKeys)
		s.Seeds = seedsOf(address)
		fn(t, s)
	})
}

// seeded is what most tests begin with. Seeding takes longer than many a test.
var (
	seeded   = sqldbtest.Template{Fill: fill}
	seeds    = map[bool]demo.Seeds{} // by whether they are PostgreSQL's
	seedsMu  sync.Mutex
	seedKeys = 4 // more than seeding makes: the keys of those servers begin after them
)

func laterKeys(_ *config.Config, o *server.Options) { o.Generate = generator(seedKeys) }

func seedsOf(address string) demo.Seeds {
	seedsMu.Lock()
	defer seedsMu.Unlock()
	s := seeds[sqldb.IsPostgres(address)]
	s.Organizations, s.Users = slices.Clone(s.Organizations), slices.Clone(s.Users)
	s.APIKeys, s.AccessTokens = slices.Clone(s.APIKeys), slices.Clone(s.AccessTokens)
	s.SystemAccessTokens, s.ApplicationTokens = slices.Clone(s.SystemAccessTokens), slices.Clone(s.ApplicationTokens)
	s.Clients = slices.Clone(s.Clients)
	return s
}

func fill(address string) error {
	ctx := context.Background()
	c, o := (&Server{Clock: &Clock{}, Logs: &Logs{}, Mails: &Mails{}}).settings(address)
	WithoutRedis(&c, &o)
	srv, err := server.New(ctx, c, o)
	if err != nil {
		return err
	}
	srv.Start()
	made, err := demo.Seed(ctx, srv)
	seedsMu.Lock()
	seeds[sqldb.IsPostgres(address)] = made
	seedsMu.Unlock()
	return errors.Join(err, srv.Close(ctx))
}

// New starts a server on a migrated, empty database and seeds it.
func New(t testing.TB, address string, options ...Option) *Server {
	t.Helper()
	s := Join(t, address, options...)
	seeds, err := demo.Seed(context.Background(), s.Server)
	if err != nil {
		t.Fatal(err)
	}
	s.Seeds = seeds
	return s
}

// settings are those of a test server. Databases that are copies of one another have the same ids in them, so that each
// needs names of its own in Redis.
func (s *Server) settings(address string) (config.Config, server.Options) {
	cfg := config.Default()
	cfg.PublicURL = PublicURL
	cfg.Database = secret.New(address)
	cfg.EncryptionKeys = []secret.Secret{EncryptionKey}
	cfg.DatabasePool = 6
	cfg.ItemPath.DefaultOrganization = demo.Tenant
	cfg.DefaultMFA = "optional"    // most tests are about something else
	if sqldb.IsPostgres(address) { // in production the two go together; WithoutRedis is for the rest
		cfg.Redis = secret.New(os.Getenv(RedisEnv))
		u, _ := url.Parse(address)
		cfg.RedisPrefix = strings.TrimPrefix(u.Path, "/") + ":"
	}
	return cfg, server.Options{Mail: s.Mails, Resolver: noNames{},
		Log: slog.New(slog.NewTextHandler(s.Logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: s.Clock.Now,
		Generate: generator(0),
		Hashing:  hashing.Options{Params: CheapHash, Slots: 2, PerClient: 256}, Limits: attempt.DefaultLimits}
}

// noNames is a name server that knows nothing.
type noNames struct{}

// LookupTXT finds nothing.
func (noNames) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// Join starts another node on a database that is in use already.
func Join(t testing.TB, address string, options ...Option) *Server {
	t.Helper()
	s := &Server{Clock: &Clock{}, Logs: &Logs{}, Mails: &Mails{}}
	cfg, o := s.settings(address)
	for _, option := range options {
		option(&cfg, &o)
	}
	srv, err := server.New(context.Background(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	h := httptest.NewServer(srv.Handler)
	t.Cleanup(func() {
		h.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // machines may be slow
		defer cancel()
		if err := srv.Close(ctx); err != nil && !s.Broken {
			t.Error(err)
		}
	})
	s.Server, s.URL = srv, h.URL
	return s
}

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Change edits a request before it is sent.
type Change func(r *http.Request)

// Bearer sends a token.
func Bearer(token string) Change { return Header("Authorization", "Bearer "+token) }

// Header adds a header line.
func Header(name, value string) Change {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

// Host asks for another host name.
func Host(host string) Change { return func(r *http.Request) { r.Host = host } }

// client keeps no cookies and follows no redirect.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       30 * time.Second,
}

// Do sends a request. A body that is a string is sent as it is, any other as JSON.
func (s *Server) Do(t testing.TB, method, path string, body any, changes ...Change) Response {
	t.Helper()
	r, err := s.Try(method, path, body, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Try is Do for goroutines, which must not end a test.
func (s *Server) Try(method, path string, body any, changes ...Change) (Response, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return Response{}, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, s.URL+path, reader)
	if err != nil {
		return Response{}, err
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, c := range changes {
		c(req)
	}
	res, err := client.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return Response{res.StatusCode, res.Header, raw}, err
}

// Into decodes the body.
func (r Response) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.Body, v); err != nil {
		t.Fatalf("%v in %s", err, r.Body)
	}
}

// Get reads one member of a JSON object, by a path with dots; "" if it is not there.
func (r Response) Get(path string) any {
	var v any
	if json.Unmarshal(r.Body, &v) != nil {
		return ""
	}
	for part := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[part]
	}
	return v
}

// String reads one member as text.
func (r Response) String(path string) string {
	v, _ := r.Get(path).(string)
	return v
}

// Code is the problem's code.
func (r Response) Code() string { return r.String("code") }

// Want fails the test unless the status, and the code if one is given, are as expected.
func (r Response) Want(t testing.TB, status int, code ...string) Response {
	t.Helper()
	if r.Status != status || (len(code) > 0 && r.Code() != code[0]) {
		t.Fatalf("got %d %s, want %d %v: %s", r.Status, r.Code(), status, code, r.Body)
	}
	return r
}

// Tokens are what a sign-in gives.
type Tokens struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
	ExpiresIn    int    `json:"expiresIn"`
	TokenType    string `json:"tokenType"`
}

// The demo's users in acme-corp, and the operator.
const (
	EndUser  = "enduser@acme-corp.example"
	Agent    = "agent@acme-corp.example"
	Manager  = "manager@acme-corp.example"
	Admin    = "admin@acme-corp.example"
	Operator = "operator@platform.example"
	// Foreigner administers the other tenant.
	Foreigner = "admin@second-tenant.example"
)

// Login signs a demo user in.
func (s *Server) Login(t testing.TB, email string) Tokens {
	t.Helper()
	var tokens Tokens
	s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": email, "password": demo.Password}).Want(t, 200).
		Into(t, &tokens)
	return tokens
}

// As signs a demo user in and gives the change that authenticates a request.
func (s *Server) As(t testing.TB, email string) Change {
	t.Helper()
	return Bearer(s.Login(t, email).AccessToken)
}

// Organization gives the id of a seeded tenant.
func (s *Server) Organization(slug string) string {
	for _, o := range s.Seeds.Organizations {
		if o.Slug == slug {
			return o.ID
		}
	}
	return ""
}

// UserID gives the id of a seeded user.
func (s *Server) UserID(t testing.TB, email string) string {
	t.Helper()
	return s.Do(t, "GET", "/v1/auth/me", nil, s.As(t, email)).Want(t, 200).String("id")
}

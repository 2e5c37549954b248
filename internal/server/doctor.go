package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Verdict is how a check of Doctor ended.
type Verdict string

// The verdicts. Only Bad is a fault; Warn is worth a look.
const (
	Good Verdict = "ok"
	Warn Verdict = "warn"
	Bad  Verdict = "FAIL"
)

// Diagnosis is one thing that Doctor looked at: what it found and, unless it is good, what to do.
type Diagnosis struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Finding string  `json:"finding"`
	Mend    string  `json:"mend,omitempty"`
}

// doctor collects what is found.
type doctor struct {
	ctx   context.Context
	c     config.Config
	log   *slog.Logger
	found []Diagnosis
}

func (d *doctor) say(check string, v Verdict, mend, format string, args ...any) {
	d.found = append(d.found, Diagnosis{check, v, fmt.Sprintf(format, args...), mend})
}

// Doctor looks at an installation, running or not, and changes nothing in it; a database that no server has opened yet
// gets its first keys.
func Doctor(ctx context.Context, c config.Config, log *slog.Logger) []Diagnosis {
	d := &doctor{ctx: ctx, c: c, log: log}
	if d.database() {
		d.installation()
	}
	d.redis()
	d.public()
	d.proxies()
	return d.found
}

// database checks what is below the tables; false: there is no use in looking at them.
func (d *doctor) database() bool {
	if path := sqldb.FilePath(d.c.Database.Reveal()); !sqldb.IsPostgres(path) {
		info, err := os.Stat(path)
		if err != nil {
			d.say("database", Bad, "Start the server once, or correct `database`.", "there is no file: %v", err)
			return false
		}
		if info.Mode().Perm()&0o077 != 0 {
			d.say("database file", Bad, "chmod 600 "+path, "others on this machine may open it (%v)",
				info.Mode().Perm())
		}
	}
	db, err := sqldb.Open(d.ctx, d.c.Database.Reveal(),
		sqldb.Options{MaxConns: 2, KeepAfterFailover: d.c.Failover == config.Keep})
	switch {
	case sqldb.IsForbidden(err): // it may connect, and is no member of our roles
		d.say("database role", Bad, "Let somebody who may run: GRANT gatehouse_app TO login; GRANT "+
			"gatehouse_platform TO login; with the login of `database`.",
			"the login may not do what statements need: %v", err)
		return false
	case err != nil:
		d.say("database", Bad, "Check the address, the password and that the server runs.", "it cannot be opened: %v",
			err)
		return false
	}
	defer db.Close()
	d.say("database", Good, "", "%s answers", db.Engine())
	if db.Engine() == sqldb.Postgres {
		d.roles(db)
	}
	d.clock(db)
	steps, err := db.Migrations(d.ctx)
	if err != nil {
		d.say("schema", Bad, "Run gatehouse migrate.", "its state cannot be read: %v", err)
		return false
	}
	pending := 0
	for _, s := range steps {
		if !s.Applied {
			pending++
		}
	}
	if pending > 0 {
		d.say("schema", Bad, "Run gatehouse migrate, or start the server.", "%d of %d steps are pending", pending,
			len(steps))
		return false
	}
	d.say("schema", Good, "", "all %d steps are applied", len(steps))
	return true
}

func (d *doctor) roles(db *sqldb.DB) {
	login, err := db.Login(d.ctx)
	if err != nil {
		d.say("database role", Bad, "Let the login read pg_roles.", "%v", err)
		return
	}
	switch sql := login.Missing(); {
	case sql != "":
		d.say("database role", Bad, "Let somebody who may run: "+sql,
			"%s is no member of the roles that statements run as", login.Name)
	case login.Superuser || login.BypassesRLS:
		d.say("database role", Warn, "Give the server a login of its own: CREATE ROLE gatehouse LOGIN PASSWORD '…'; "+
			"and the two roles.", "%s is a superuser or bypasses row-level security; statements change to other "+
			"roles, but a mistake could reach everything", login.Name)
	default:
		d.say("database role", Good, "", "%s, neither superuser nor bypassing row-level security", login.Name)
	}
	bare, err := db.Unprotected(d.ctx)
	switch {
	case err != nil:
		d.say("row-level security", Bad, "", "%v", err)
	case len(bare) > 0:
		d.say("row-level security", Bad,
			"ALTER TABLE … ENABLE ROW LEVEL SECURITY; ALTER TABLE … FORCE ROW LEVEL SECURITY;", "not forced on %s",
			strings.Join(bare, ", "))
	default:
		d.say("row-level security", Good, "", "forced on every table")
	}
	facts, err := db.Server(d.ctx)
	if err != nil {
		d.say("PostgreSQL", Warn, "", "%v", err)
		return
	}
	if facts.Version < 150000 {
		d.say("PostgreSQL", Bad, "Use PostgreSQL 15 or newer.", "version %d", facts.Version/10000)
	}
	if facts.MaxConnections < 2*d.c.DatabasePool {
		d.say("connections", Warn, "Raise max_connections or lower database_connections: all nodes share them.",
			"the server takes %d, one node up to %d", facts.MaxConnections, d.c.DatabasePool+4)
	}
	if d.c.Failover == config.Keep && facts.SynchronousStandbys == "" {
		d.say("failover", Warn, "Set synchronous_standby_names, or database_failover: sign_in_again.",
			"database_failover is keep, but replication is not synchronous: a failover could bring revoked tokens "+
				"back to life")
	}
	if !facts.TellsTimeline {
		d.say("failover", Warn, "Run gatehouse restore --in-place --keep-machines after each failover or restore.",
			"this service does not tell when it was failed over")
	}
}

func (d *doctor) clock(db *sqldb.DB) {
	before := failpoint.Clock(time.Now())
	there, err := db.Now(d.ctx)
	if err != nil {
		d.say("clock", Bad, "", "%v", err)
		return
	}
	skew := there.Sub(before.Add(failpoint.Clock(time.Now()).Sub(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > maxSkew {
		d.say("clock", Bad, "Let both machines follow NTP.", "this machine is %v off the database's", skew)
		return
	}
	d.say("clock", Good, "", "%v off the database's", skew)
}

// installation checks what is in the tables, with the services that the server itself uses, and the feed.
func (d *doctor) installation() {
	c := d.c
	c.Tracing.Endpoint, c.Redis = "", d.c.Redis
	s, err := New(d.ctx, c, Options{Log: d.log})
	if err != nil {
		d.say("keys", Bad, "Configure the encryption keys that the installation was made with.",
			"the server cannot start: %v", err)
		return
	}
	defer s.Close(context.WithoutCancel(d.ctx)) // nothing was written
	d.keys(s)
	if n, err := s.Users.Operators(d.ctx); err == nil && n == 0 {
		d.say("operator", Warn, "Run gatehouse admin create, or open the link that the server printed at its start.",
			"there is none yet")
	}
	if slug := c.ItemPath.DefaultOrganization; slug != "" {
		if _, err := s.Organizations.BySlug(d.ctx, slug); fault.Is(err, fault.NotFound) {
			d.say("itempath.default_organization", Bad, "Name an organization that exists, or leave it empty.",
				"there is no organization %s", slug)
		}
	}
	const old, idle = 365 * 24 * time.Hour, 90 * 24 * time.Hour
	if a, err := s.Credentials.Ages(d.ctx, old, idle); err != nil {
		d.say("credentials", Bad, "", "%v", err)
	} else if a.Old+a.Idle > 0 {
		d.say("credentials", Warn, "Rotate the old and revoke the idle ones: gatehouse credentials report "+
			"--organization … lists them.",
			"of %d that work %d are over a year old, %d unused for 90 days, %d never expire", a.Active, a.Old, a.Idle,
			a.NeverExpire)
	} else {
		d.say("credentials", Good, "", "of %d that work none is over a year old or unused for 90 days; %d never expire",
			a.Active, a.NeverExpire)
	}
	d.feed(s)
}

func (d *doctor) keys(s *Server) {
	have := make(map[string]signingkey.Key)
	for _, k := range s.Keys.List() {
		have[string(k.Purpose)+" "+string(k.State)] = k
	}
	for _, want := range []string{"session active", "session next", "long_lived active", "long_lived next"} {
		if _, ok := have[want]; !ok {
			d.say("keys", Warn, "Let the server run for a moment; it makes what is missing.", "there is no %s key",
				want)
			return
		}
	}
	if age := time.Since(have["session active"].ActivatedAt); age > signingkey.RotateAfter+7*24*time.Hour {
		d.say("keys", Warn, "Look for failed housekeeping in the log, or run gatehouse keys rotate.",
			"the active session key is %d days old", int(age.Hours()/24))
		return
	}
	d.say("keys", Good, "", "the encryption keys open them; active and next are there for both purposes")
}

// feed measures how long an announcement takes from a commit to another connection.
func (d *doctor) feed(s *Server) {
	const wait = 3 * time.Second
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	other, err := sqldb.Open(ctx, d.c.Database.Reveal(),
		sqldb.Options{MaxConns: 2, KeepAfterFailover: d.c.Failover == config.Keep})
	if err != nil {
		d.say("invalidation feed", Bad, "", "%v", err)
		return
	}
	defer other.Close()
	feed := invalidation.New(other, d.log)
	feed.Quiet()
	heard := make(chan struct{}, 1)
	feed.Subscribe("doctor", listener(heard))
	done := make(chan struct{})
	go func() { defer close(done); feed.Run(ctx) }()
	defer func() { cancel(); <-done }()
	mend := "Connect to PostgreSQL directly or through a pooler in session mode: LISTEN does not work in transaction " +
		"mode."
	for end := time.Now().Add(wait); !feed.Trusted(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.say("invalidation feed", Bad, mend, "nothing is heard: the server asks the database for every request")
			return
		}
	}
	for len(heard) > 0 {
		<-heard
	}
	began := time.Now()
	err = s.DB.PlatformTx(ctx, "an announcement to see that it is heard", func(tx *sqldb.Tx) error {
		tx.Announce(invalidation.Message("doctor", invalidation.Key{ID: "probe"}))
		return nil
	})
	if err != nil {
		d.say("invalidation feed", Bad, "", "%v", err)
		return
	}
	select {
	case <-heard:
		d.say("invalidation feed", Good, "", "an announcement was heard on another connection after %v",
			time.Since(began).Round(100*time.Microsecond))
	case <-time.After(wait):
		d.say("invalidation feed", Bad, mend, "an announcement was not heard within %v", wait)
	}
}

// listener hears that something was announced.
type listener chan struct{}

func (l listener) Invalidate(invalidation.Key) {
	select {
	case l <- struct{}{}:
	default:
	}
}
func (l listener) Flush() {}

func (d *doctor) redis() {
	if d.c.Redis.IsZero() {
		if sqldb.IsPostgres(d.c.Database.Reveal()) {
			d.say("Redis", Good, "", "none is configured; nodes work on PostgreSQL alone")
		}
		return
	}
	heard := make(chan time.Duration, 16)
	began := time.Now()
	probe := fmt.Sprintf("doctor||%d", began.UnixNano())
	mend := "Check the address, the password and the network; the server works without it, more slowly."
	listening, err := redis.New(d.c.Redis.Reveal(), d.log, func(messages []string) {
		for _, m := range messages {
			if m == probe {
				heard <- time.Since(began)
			}
		}
	})
	if err != nil {
		d.say("Redis", Bad, mend, "%v", err)
		return
	}
	sending, err := redis.New(d.c.Redis.Reveal(), d.log, func([]string) {})
	if err != nil {
		d.say("Redis", Bad, mend, "%v", err)
		return
	}
	for _, c := range []*redis.Client{listening, sending} {
		c.Start()
		defer c.Close()
	}
	for end := time.Now().Add(3 * time.Second); !listening.Up() || !sending.Up(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.say("Redis", Bad, mend, "it does not answer")
			return
		}
	}
	began = time.Now()
	if err := sending.Ping(d.ctx); err != nil {
		d.say("Redis", Bad, mend, "%v", err)
		return
	}
	answer := time.Since(began)
	began = time.Now()
	sending.Push([]string{probe})
	select {
	case after := <-heard:
		d.say("Redis", Good, "", "it answers after %v, and pushes after %v", answer.Round(10*time.Microsecond),
			after.Round(10*time.Microsecond))
	case <-time.After(2 * time.Second):
		d.say("Redis", Bad, "Use Redis 6 or newer, or Valkey, without a proxy that does not know CLIENT TRACKING.",
			"it answers but pushes nothing")
	}
}

// public asks the installation by the address that its clients use.
func (d *doctor) public() {
	u, err := d.c.URL()
	if err != nil {
		d.say("public URL", Bad, "Correct public_url.", "%v", err)
		return
	}
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, u.JoinPath("/.well-known/oauth-authorization-server").
		String(), nil)
	if err != nil {
		d.say("public URL", Bad, "Correct public_url.", "%v", err)
		return
	}
	res, err := client.Do(req)
	if err != nil {
		d.say("public URL", Warn, "Start the server; or let this machine reach "+u.Host+".",
			"%s cannot be reached from here: %v", u, errors.Unwrap(err))
		return
	}
	defer res.Body.Close()
	var meta struct {
		Issuer string `json:"issuer"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&meta); err != nil ||
		res.StatusCode != http.StatusOK || meta.Issuer != u.String() {
		d.say("public URL", Bad, "Let the proxy pass every path to Gatehouse, and give all nodes the same public_url.",
			"%s answers %d and names the issuer %q", u, res.StatusCode, meta.Issuer)
		return
	}
	if res.TLS != nil && len(res.TLS.PeerCertificates) > 0 {
		if left := time.Until(res.TLS.PeerCertificates[0].NotAfter); left < 14*24*time.Hour {
			d.say("certificate", Warn, "Renew it.", "the certificate of %s ends in %d days", u.Host,
				int(left.Hours()/24))
		}
	}
	d.say("public URL", Good, "", "%s is this installation", u)
}

// proxies looks for a proxy in front that is not believed: then everyone seems to come from one address, and shares its
// limits.
func (d *doctor) proxies() {
	u, err := d.c.URL()
	if err != nil {
		return
	}
	mend := "Name the proxy in trusted_proxies, such as 127.0.0.1 or its network."
	if ignored, ok := d.ignoredForwards(); ok && ignored > 0 {
		d.say("proxy headers", Warn,
			mend+" If there is no proxy, clients invented the header, and it was rightly ignored.",
			"%.0f requests came with X-Forwarded-For from an address that is not trusted: if that is a proxy, "+
				"everyone counts as one client", ignored)
		return
	}
	if _, port, err := net.SplitHostPort(d.c.Listen); len(d.c.TrustedProxies) == 0 && d.c.TLS.Listen == "" &&
		u.Scheme == "https" && err == nil {
		d.say("proxy headers", Bad, mend, "public_url is https and the server speaks plain HTTP on port %s, so there "+
			"is a proxy; none is trusted", port)
		return
	}
	d.say("proxy headers", Good, "", "%d trusted", len(d.c.TrustedProxies))
}

// ignoredForwards asks a running server's metrics.
func (d *doctor) ignoredForwards() (n float64, ok bool) {
	if d.c.Metrics.Listen == "" {
		return 0, false
	}
	client := &http.Client{Timeout: 2 * time.Second}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, "http://"+d.c.Metrics.Listen+"/metrics", nil)
	if err != nil {
		return 0, false
	}
	req.Header.Set("Authorization", "Bearer "+d.c.Metrics.Token.Reveal())
	res, err := client.Do(req)
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(body)) {
		if rest, found := strings.CutPrefix(line, "gatehouse_forwarded_ignored_total "); found {
			_, err := fmt.Sscan(rest, &n)
			return n, err == nil
		}
	}
	return 0, false
}

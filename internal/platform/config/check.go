package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// faults collects what is wrong, each by its key. Looking changes nothing.
type faults []error

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, fmt.Errorf(key+": "+format, args...))
}

// within holds a number to its bounds.
func (f *faults) within(key string, n, least, most int) {
	if n < least || n > most {
		f.add(key, "must be from %d to %d", least, most)
	}
}

// choice holds a word to a list.
func (f *faults) choice(key, word string, list ...string) {
	if !slices.Contains(list, word) {
		last := len(list) - 1
		f.add(key, "must be %s or %s", strings.Join(list[:last], ", "), list[last])
	}
}

// address holds an address to listen at to its form; empty: none.
func (f *faults) address(key, address string) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		f.add(key, "must be host:port")
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		f.add(key, "must end with a port from 0 to 65535")
	}
}

// of adds what another package says; each of several joined errors is a fault of its own.
func (f *faults) of(key string, err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			f.of(key, one)
		}
	} else if err != nil {
		f.add(key, "%v", err)
	}
}

// check tells everything that is wrong.
func (c *Config) check() faults {
	var f faults
	if u, err := c.URL(); err != nil {
		f.add("public_url", "%v", err)
	} else if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		f.add("public_url", "must be https; plain http is for loopback only")
	}
	c.checkStorage(&f)
	if c.Listen == "" && c.TLS.Listen == "" {
		f.add("listen", "neither listen nor tls.listen is set")
	}
	f.address("listen", c.Listen)
	c.checkListeners(&f)
	c.TLS.check(&f)
	c.MTLS.check(&f, c.TLS, len(c.TrustedProxies) > 0)
	c.Metrics.check(&f)
	c.Tracing.check(&f)
	c.Log.check(&f)
	_, err := c.Proxies()
	f.of("trusted_proxies", err)
	f.choice("forwarded_header", c.Forwarded, "X-Forwarded-For", "Forwarded")
	for i, h := range c.TenantHosts {
		if h == "" || strings.ContainsAny(h, ":/ ") || h != strings.ToLower(h) {
			f.add(fmt.Sprintf("tenant_hosts[%d]", i), "must be a host name in lower case, without scheme and port")
		}
	}
	for i, name := range c.Resources {
		f.of(fmt.Sprintf("resources[%d]", i), permission.CheckResource(name))
	}
	c.Outbound.check(&f)
	if c.Mail.SMTP != "" {
		f.of("mail", c.SMTP().Check())
	}
	c.checkWebAuthn(&f)
	// What the choices mean is the organizations' to say.
	f.choice("default_mfa", c.DefaultMFA, "optional", "administrators", "required")
	c.Signing.check(&f)
	c.Hashing.check(&f)
	f.within("max_requests", c.MaxRequests, 10, 1_000_000)
	if every := time.Duration(c.Housekeeping); every < time.Second || every > 24*time.Hour {
		f.add("housekeeping_every", "must be from 1s to 24h")
	}
	if kept := time.Duration(c.AuditRetention); kept != 0 && kept < 30*24*time.Hour {
		f.add("audit_retention", "must be 0s (for ever) or at least 30d")
	}
	for key, d := range map[string]Duration{"shutdown_delay": c.ShutdownDelay, "shutdown_grace": c.ShutdownGrace} {
		if d < 0 || time.Duration(d) > 10*time.Minute {
			f.add(key, "must be from 0s to 10m")
		}
	}
	return f
}

// checkListeners: two cannot have one address.
func (c *Config) checkListeners(f *faults) {
	taken := make(map[string]string)
	for _, l := range []struct{ key, address string }{{"listen", c.Listen}, {"tls.listen", c.TLS.Listen},
		{"mtls.listen", c.MTLS.Listen}, {"metrics.listen", c.Metrics.Listen}} {
		if other := taken[l.address]; other != "" {
			f.add(l.key, "is %s, which %s is too", l.address, other)
		}
		if l.address != "" && !strings.HasSuffix(l.address, ":0") {
			taken[l.address] = l.key
		}
	}
}

var redisPrefix = regexp.MustCompile(`^[A-Za-z0-9:._{}-]{1,64}$`)

func (c *Config) checkStorage(f *faults) {
	if c.Database.IsZero() {
		f.add("database", "is not set: give sqlite:/path/to/gatehouse.db or postgres://…")
	} else {
		f.of("database", sqldb.CheckAddress(c.Database.Reveal()))
	}
	if listen := c.DatabaseListen.Reveal(); listen != "" {
		switch {
		case !sqldb.IsPostgres(listen):
			f.add("database_listen", "must begin with postgres://: it is the address of the database without the "+
				"pooler")
		case !sqldb.IsPostgres(c.Database.Reveal()):
			f.add("database_listen", "is for a PostgreSQL database behind a pooler, and database names none")
		default:
			f.of("database_listen", sqldb.CheckAddress(listen))
		}
	}
	f.within("database_connections", c.DatabasePool, 2, 1000)
	f.choice("database_failover", c.Failover, SignInAgain, Keep)
	_, err := keyring.New(c.EncryptionKeys)
	f.of("encryption_keys", err)
	if c.Redis.IsZero() {
		return
	}
	if !redisPrefix.MatchString(c.RedisPrefix) {
		f.add("redis_prefix", "must be 1 to 64 letters, digits and :._-{}")
	}
	if err := redis.Check(c.Redis.Reveal()); err != nil {
		f.add("redis", "%v", err)
	} else if !sqldb.IsPostgres(c.Database.Reveal()) {
		f.add("redis", "needs a PostgreSQL database: the processes that share a SQLite file are on one machine, "+
			"and quick enough")
	}
}

func (t TLS) check(f *faults) {
	f.address("tls.listen", t.Listen)
	if t.Listen != "" && !t.complete() {
		f.add("tls", "needs certificate_file and key_file")
	}
}

func (t TLS) complete() bool { return t.CertificateFile != "" && t.KeyFile != "" }

// Underscores are none: servers drop names that have them, or take them for hyphens.
var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func (m MTLS) check(f *faults, t TLS, behindProxy bool) {
	f.address("mtls.listen", m.Listen)
	if m.Listen != "" && (!t.complete() || m.PublicURL == "") {
		f.add("mtls", "needs tls.certificate_file, tls.key_file and mtls.public_url")
	}
	if m.PublicURL != "" {
		if u, err := originURL(m.PublicURL); err != nil || u.Scheme != "https" {
			f.add("mtls.public_url", "must be https and a host, such as https://mtls.auth.example.com")
		}
	}
	if m.CertificateHeader != "" && !headerName.MatchString(m.CertificateHeader) {
		f.add("mtls.certificate_header", "must be the name of a header, such as X-Client-Cert")
	}
	if m.CertificateHeader != "" && !behindProxy {
		f.add("mtls.certificate_header", "is believed from trusted_proxies only, and there are none")
	}
}

func (m Metrics) check(f *faults) {
	f.address("metrics.listen", m.Listen)
	if host, _, err := net.SplitHostPort(m.Listen); err == nil && !isLoopback(host) && m.Token.IsZero() {
		f.add("metrics.listen", "must be a loopback address, or set metrics.token: metrics are not for everyone")
	}
	if !m.Token.IsZero() && len(m.Token.Reveal()) < 16 {
		f.add("metrics.token", "must have at least 16 characters")
	}
}

func (t Tracing) check(f *faults) {
	if t.Endpoint == "" {
		return
	}
	if u, err := url.Parse(t.Endpoint); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		f.add("tracing.otlp_endpoint", "must be an http or https URL")
	}
}

func (l Log) check(f *faults) {
	f.choice("log.level", l.Level, "debug", "info", "warn", "error")
	f.choice("log.format", l.Format, "json", "text")
}

func (o Outbound) check(f *faults) {
	_, err := networks(o.AllowedNetworks)
	f.of("outbound.allowed_networks", err)
}

func (s Signing) check(f *faults) {
	if b := s.KeyBits; b != 2048 && b != 3072 && b != 4096 {
		f.add("signing.key_bits", "must be 2048, 3072 or 4096")
	}
}

func (h Hashing) check(f *faults) {
	f.within("password_hashing.slots", h.Slots, 0, 256)
	f.within("password_hashing.max_waiting", h.MaxWaiting, 1, 100_000)
}

// checkWebAuthn: a page may only use a relying party that is its own host or a domain above it (WebAuthn §5.1.3).
func (c *Config) checkWebAuthn(f *faults) {
	if c.WebAuthn.RPID == "" && len(c.WebAuthn.Origins) == 0 {
		return
	}
	rpID, origins := c.RelyingParty()
	if rpID != strings.ToLower(rpID) || strings.ContainsAny(rpID, ":/ ") {
		f.add("webauthn.rp_id", "must be a host name in lower case")
		return
	}
	for i, o := range origins {
		key := "public_url"
		if i > 0 {
			key = "webauthn.origins"
		}
		u, err := originURL(o)
		switch {
		case err != nil:
			f.add(key, "%s: %v", o, err)
		case u.Hostname() != rpID && !strings.HasSuffix(u.Hostname(), "."+rpID):
			f.add(key, "%s is not under webauthn.rp_id, %s", o, rpID)
		case u.Scheme == "http" && !isLoopback(u.Hostname()):
			f.add(key, "%s must be https", o)
		}
	}
}

// Package config reads the configuration of a server: one YAML file and GATEHOUSE_* variables, which win. Every fault is reported, all
// together. There are no default secrets.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"gatehouse/internal/core/secret"
	"gatehouse/internal/platform/keyring"
)

// Config is everything a server can be told. The doc tags are the reference in docs/configuration.md.
type Config struct {
	PublicURL      string          `yaml:"public_url" doc:"The address clients use, such as https://auth.example.com. Required. Tokens, links and cookies are built from it alone; https unless the host is loopback."`
	Database       secret.Secret   `yaml:"database" doc:"A SQLite file (sqlite:/var/lib/gatehouse/gatehouse.db) or postgres://user:password@host/name. Required."`
	EncryptionKeys []secret.Secret `yaml:"encryption_keys" doc:"Keys of 32 random bytes in base64, newest first; openssl rand -base64 32 makes one. Required. Keep the last one for ever: stored digests depend on it."`
	Listen         string          `yaml:"listen" doc:"Address for plain HTTP, or none."`
	TLS            TLS             `yaml:"tls"`
	Metrics        Metrics         `yaml:"metrics"`
	Tracing        Tracing         `yaml:"tracing"`
	Log            Log             `yaml:"log"`
	TrustedProxies []string        `yaml:"trusted_proxies" doc:"Addresses or networks (10.0.0.0/8) whose X-Forwarded-For is believed. None by default."`
	TenantHosts    []string        `yaml:"tenant_hosts" doc:"Host names under which each organization has a subdomain named by its slug; a sign-in from there means that organization."`
	Signing        Signing         `yaml:"signing"`
	Hashing        Hashing         `yaml:"password_hashing"`
	DatabasePool   int             `yaml:"database_connections" doc:"Most connections to PostgreSQL, or readers of the SQLite file."`
	ShutdownGrace  Duration        `yaml:"shutdown_grace" doc:"How long running requests may finish when the server stops."`
}

// TLS is the encrypted listener.
type TLS struct {
	Listen          string `yaml:"listen" doc:"Address for HTTPS, or none, as when empty."`
	CertificateFile string `yaml:"certificate_file" doc:"Certificate chain in PEM. A changed file is taken up without a restart."`
	KeyFile         string `yaml:"key_file" doc:"Private key in PEM."`
}

// Metrics is the Prometheus listener.
type Metrics struct {
	Listen string `yaml:"listen" doc:"Loopback address for Prometheus metrics (GET /metrics), or none."`
}

// Tracing is the OpenTelemetry export.
type Tracing struct {
	Endpoint string `yaml:"otlp_endpoint" doc:"Where spans go by OTLP over HTTP, such as http://127.0.0.1:4318; empty: no tracing."`
}

// Log is what the server writes to standard error.
type Log struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error."`
	Format string `yaml:"format" doc:"json or text."`
}

// Signing is how new signing keys are made.
type Signing struct {
	KeyBits int `yaml:"key_bits" doc:"Size of new RSA keys: 2048, 3072 or 4096."`
}

// Hashing bounds password hashing; each hash takes 19 MiB.
type Hashing struct {
	Slots      int `yaml:"slots" doc:"Hashes at once; 0: one a processor."`
	MaxWaiting int `yaml:"max_waiting" doc:"Sign-ins that may wait; more are answered 503."`
}

// Duration is written as 20s or 5m.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q: want a duration such as 20s", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes it back.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Default is what holds where nothing is said.
func Default() Config {
	return Config{Listen: "127.0.0.1:8080", Metrics: Metrics{Listen: "127.0.0.1:9090"}, Log: Log{"info", "json"}, Signing: Signing{KeyBits: 2048},
		Hashing: Hashing{MaxWaiting: 256}, DatabasePool: 16, ShutdownGrace: Duration(20 * time.Second)}
}

// none switches a listener off, also from a variable, where empty means "not said".
const none = "none"

// Load reads the file, if a path is given, and the environment, and checks everything.
func Load(path string, getenv func(string) string) (Config, error) {
	c := Default()
	var faults []error
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("configuration: %w", err)
		}
		if err := Parse(text, &c); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	faults = append(faults, fromEnvironment(&c, getenv)...)
	for _, address := range []*string{&c.Listen, &c.TLS.Listen, &c.Metrics.Listen} {
		if *address == none {
			*address = ""
		}
	}
	faults = append(faults, c.faults()...)
	return c, errors.Join(faults...)
}

// Parse reads YAML over the values that are there; unknown and repeated keys are errors.
func Parse(text []byte, c *Config) error {
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict()); err != nil {
		return errors.New(yaml.FormatError(err, false, false)) // without the source line, which may hold a secret
	}
	return nil
}

func (c *Config) faults() []error {
	var out []error
	add := func(key, format string, args ...any) { out = append(out, fmt.Errorf(key+": "+format, args...)) }
	if u, err := c.URL(); err != nil {
		add("public_url", "%v", err)
	} else if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		add("public_url", "must be https; plain http is for loopback only")
	}
	if c.Database.IsZero() {
		add("database", "is not set: give sqlite:/path/to/gatehouse.db or postgres://…")
	}
	if _, err := keyring.New(c.EncryptionKeys); err != nil {
		add("encryption_keys", "%v", err)
	}
	if c.Listen == "" && c.TLS.Listen == "" {
		add("listen", "neither listen nor tls.listen is set")
	}
	for key, address := range map[string]string{"listen": c.Listen, "tls.listen": c.TLS.Listen, "metrics.listen": c.Metrics.Listen} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			add(key, "must be host:port")
		}
	}
	if c.TLS.Listen != "" && (c.TLS.CertificateFile == "" || c.TLS.KeyFile == "") {
		add("tls", "needs certificate_file and key_file")
	}
	if host, _, err := net.SplitHostPort(c.Metrics.Listen); err == nil && !isLoopback(host) {
		add("metrics.listen", "must be a loopback address: metrics are not for everyone")
	}
	if c.Tracing.Endpoint != "" {
		if u, err := url.Parse(c.Tracing.Endpoint); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			add("tracing.otlp_endpoint", "must be an http or https URL")
		}
	}
	if _, err := c.Proxies(); err != nil {
		add("trusted_proxies", "%v", err)
	}
	for i, h := range c.TenantHosts {
		if h == "" || strings.ContainsAny(h, ":/ ") || h != strings.ToLower(h) {
			add(fmt.Sprintf("tenant_hosts[%d]", i), "must be a host name in lower case, without scheme and port")
		}
	}
	if !strings.Contains(" debug info warn error ", " "+c.Log.Level+" ") {
		add("log.level", "must be debug, info, warn or error")
	}
	if c.Log.Format != "json" && c.Log.Format != "text" {
		add("log.format", "must be json or text")
	}
	if b := c.Signing.KeyBits; b != 2048 && b != 3072 && b != 4096 {
		add("signing.key_bits", "must be 2048, 3072 or 4096")
	}
	if c.Hashing.Slots < 0 || c.Hashing.Slots > 256 {
		add("password_hashing.slots", "must be from 0 to 256")
	}
	if c.Hashing.MaxWaiting < 1 || c.Hashing.MaxWaiting > 100_000 {
		add("password_hashing.max_waiting", "must be from 1 to 100000")
	}
	if c.DatabasePool < 2 || c.DatabasePool > 1000 {
		add("database_connections", "must be from 2 to 1000")
	}
	if c.ShutdownGrace < 0 || time.Duration(c.ShutdownGrace) > 10*time.Minute {
		add("shutdown_grace", "must be from 0s to 10m")
	}
	return out
}

// URL is the public URL: scheme and host, no path.
func (c *Config) URL() (*url.URL, error) {
	if c.PublicURL == "" {
		return nil, errors.New("is not set: give the address clients use, such as https://auth.example.com")
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be scheme and host only, such as https://auth.example.com")
	}
	if u.Host != strings.ToLower(u.Host) || (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		return nil, errors.New("must be as browsers write an origin: lower case, without the scheme's own port")
	}
	u.Path = ""
	return u, nil
}

// Proxies are the networks of trusted_proxies.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(c.TrustedProxies))
	for _, s := range c.TrustedProxies {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network", s)
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("%q would believe everyone", s)
		}
		out = append(out, p)
	}
	return out, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Package config reads the configuration of a server: one YAML file and GATEHOUSE_* variables, which win. Every fault
// is reported, all together. There are no default secrets.
package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
)

// Config is everything a server can be told. The doc tags are the reference in docs/configuration.md.
type Config struct {
	PublicURL      string          `yaml:"public_url" doc:"The address clients use, such as https://auth.example.com: scheme and host, without a path, since Gatehouse answers at the root of its host. Required. Tokens, links and cookies are built from it alone; https unless the host is loopback."`
	Database       secret.Secret   `yaml:"database" doc:"A SQLite file (sqlite:/var/lib/gatehouse/gatehouse.db) or postgres://user:password@host/name, and nothing else. What is no letter or digit in the password is percent-encoded there (@ is %40). Required."`
	DatabaseListen secret.Secret   `yaml:"database_listen" doc:"The address of the same PostgreSQL database without the connection pooler (PgBouncer in transaction mode, for example) that database leads to: for announcements between nodes and for migrations, which need a session of their own. Statements at database are then not prepared by name. Empty: there is no pooler, or one in session mode."`
	Redis          secret.Secret   `yaml:"redis" doc:"Redis or Valkey that the nodes share: redis://user:password@host:6379/0, or rediss:// with TLS. It makes several nodes quicker and decides nothing; without it, or when it fails, they work on PostgreSQL alone. Empty: none."`
	RedisPrefix    string          `yaml:"redis_prefix" doc:"What the names of all keys in Redis begin with. Two installations that share a Redis need two prefixes if one began as a copy of the other, such as a staging installation restored from a backup."`
	Failover       string          `yaml:"database_failover" doc:"What follows when PostgreSQL was failed over or restored: sign_in_again makes all tokens of sessions and clients void, since rotations and revocations may be lost; keep leaves them good, for synchronous replication where nothing is lost."`
	EncryptionKeys []secret.Secret `yaml:"encryption_keys" doc:"Keys of 32 random bytes in base64, newest first; openssl rand -base64 32 makes one. Required. Keep the last one for ever: stored digests depend on it."`
	Listen         string          `yaml:"listen" doc:"Address for plain HTTP, or none."`
	TLS            TLS             `yaml:"tls"`
	MTLS           MTLS            `yaml:"mtls"`
	Metrics        Metrics         `yaml:"metrics"`
	Tracing        Tracing         `yaml:"tracing"`
	Log            Log             `yaml:"log"`
	TrustedProxies []string        `yaml:"trusted_proxies" doc:"Addresses or networks (10.0.0.0/8) of the proxies in front, whose word about the client's address, request and certificate is believed. None by default."`
	Forwarded      string          `yaml:"forwarded_header" doc:"The header in which trusted proxies tell the client's address: X-Forwarded-For, or Forwarded (RFC 7239). The other one is not read: a proxy that does not write it may pass on what the client sent."`
	TenantHosts    []string        `yaml:"tenant_hosts" doc:"Host names under which each organization has a subdomain named by its slug; a sign-in from there means that organization."`
	Resources      []string        `yaml:"resources" doc:"Resources of the APIs behind forward authentication, such as stations: permissions like stations:read:all exist for each, and tenant administrators hold them."`
	Gateway        Gateway         `yaml:"gateway"`
	ItemPath       ItemPath        `yaml:"itempath"`
	Outbound       Outbound        `yaml:"outbound"`
	Mail           Mail            `yaml:"mail"`
	WebAuthn       WebAuthn        `yaml:"webauthn"`
	DefaultMFA     string          `yaml:"default_mfa" doc:"Who must have a second factor in an organization that is made: optional (nobody must), administrators or required (everybody). Each organization changes it for itself."`
	Signing        Signing         `yaml:"signing"`
	Hashing        Hashing         `yaml:"password_hashing"`
	DatabasePool   int             `yaml:"database_connections" doc:"Most connections to PostgreSQL, or readers of the SQLite file."`
	MaxRequests    int             `yaml:"max_requests" doc:"Most requests at once; more are answered 503, before anything is done."`
	Housekeeping   Duration        `yaml:"housekeeping_every" doc:"How often one of the nodes removes what has expired."`
	AuditRetention Duration        `yaml:"audit_retention" doc:"How long events of the audit log are kept, at least 30d; 0s keeps them for ever. An organization may keep its own for a shorter time."`
	ShutdownDelay  Duration        `yaml:"shutdown_delay" doc:"How long a node that is told to stop goes on serving while /readyz says that it is stopping, so that load balancers send nothing more."`
	ShutdownGrace  Duration        `yaml:"shutdown_grace" doc:"How long running requests may finish when the server stops."`
}

// TLS is the encrypted listener.
type TLS struct {
	Listen          string `yaml:"listen" doc:"Address for HTTPS, or none, as when empty."`
	CertificateFile string `yaml:"certificate_file" doc:"Certificate chain in PEM. A changed file is taken up without a restart."`
	KeyFile         string `yaml:"key_file" doc:"Private key in PEM."`
}

// MTLS is where OAuth clients authenticate by certificate (RFC 8705).
type MTLS struct {
	Listen            string `yaml:"listen" doc:"Address of a second HTTPS listener that asks for client certificates, or none. It uses tls.certificate_file and tls.key_file."`
	PublicURL         string `yaml:"public_url" doc:"The address of that listener as clients use it, such as https://mtls.auth.example.com; also needed where a proxy ends TLS and tells the certificate."`
	CAFile            string `yaml:"ca_file" doc:"Certificates (PEM) of the issuers that tls_client_auth trusts. Self-signed certificates need none."`
	CertificateHeader string `yaml:"certificate_header" doc:"Header in which a trusted proxy tells the client's certificate: URL-encoded PEM, or as RFC 9440 has it. Empty: none is believed."`
}

// Gateway is forward authentication.
type Gateway struct {
	RoutesFile string `yaml:"routes_file" doc:"YAML file that maps methods and paths of the protected API to the permissions they need; empty: the proxy names the permission."`
}

// ItemPath is the dialect at /api/users.
type ItemPath struct {
	DefaultOrganization string `yaml:"default_organization" doc:"Slug of the organization that sign-ins at /api/users/login mean when neither X-Tenant-Slug nor a subdomain names one; empty: they must name it."`
}

// Outbound is what the server fetches by itself: the keys of OAuth clients, and what identity providers publish.
type Outbound struct {
	AllowedNetworks []string `yaml:"allowed_networks" doc:"Networks that may be reached although they are not public, such as 10.2.0.0/16. None by default."`
}

// Metrics is the Prometheus listener.
type Metrics struct {
	Listen string        `yaml:"listen" doc:"Address for Prometheus metrics (GET /metrics), or none. Loopback, unless metrics.token is set."`
	Token  secret.Secret `yaml:"token" doc:"What a scraper sends as Authorization: Bearer; at least 16 characters. Empty: nothing is asked, and only this machine can ask."`
}

// Mail is how mails leave: links to choose a password, invitations, notices of what happened to an account.
type Mail struct {
	SMTP     string        `yaml:"smtp" doc:"host:port of the server that takes mails, such as smtp.example.com:587. Empty: no mail is sent, nobody can reset a password by mail, and links are handed over by administrators."`
	Security string        `yaml:"security" doc:"starttls, tls, or none for a server on this machine."`
	Username string        `yaml:"username" doc:"For the server; empty: none is asked."`
	Password secret.Secret `yaml:"password" doc:"For the server, with username."`
	CAFile   string        `yaml:"ca_file" doc:"Certificates (PEM) trusted for the server beside the system's."`
	From     string        `yaml:"from" doc:"Sender of all mails, such as Gatehouse <no-reply@example.com>. Required with smtp."`
}

// WebAuthn is for whom authenticators make credentials.
type WebAuthn struct {
	RPID    string   `yaml:"rp_id" doc:"The relying party: the host of public_url, or a domain above it. Empty: the host of public_url. Changing it makes all passkeys and security keys worthless. Under tenant_hosts each organization's subdomain is a relying party of its own."`
	Origins []string `yaml:"origins" doc:"Origins of the pages that may use it, such as https://app.example.com; the origin of public_url is always one."`
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
	v, err := ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// ParseDuration reads what time.ParseDuration does, and days before it: 30d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	number, rest, found := strings.Cut(text, "d")
	if !found {
		number, rest = "0", text
	} else if rest == "" {
		rest = "0s"
	}
	const most = int(math.MaxInt64 / (24 * time.Hour))
	days, err := strconv.Atoi(number)
	more, err2 := time.ParseDuration(rest)
	if err != nil || err2 != nil || days < 0 || days >= most || days > 0 && (more < 0 || more > 24*time.Hour) {
		return 0, fmt.Errorf("%q is no duration such as 20s, 12h or 30d", text)
	}
	return time.Duration(days)*24*time.Hour + more, nil
}

// MarshalText writes it back.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Default is what holds where nothing is said.
func Default() Config {
	return Config{Listen: "127.0.0.1:8080", RedisPrefix: "gatehouse:", Forwarded: "X-Forwarded-For",
		Metrics: Metrics{Listen: "127.0.0.1:9464"}, Log: Log{"info", "json"}, Signing: Signing{KeyBits: 2048},
		Mail: Mail{Security: mail.StartTLS}, DefaultMFA: "administrators", Hashing: Hashing{MaxWaiting: 256},
		DatabasePool: 16, MaxRequests: 1000, ShutdownGrace: Duration(20 * time.Second), Failover: SignInAgain,
		Housekeeping: Duration(10 * time.Minute)}
}

// The choices of database_failover.
const (
	SignInAgain = "sign_in_again"
	Keep        = "keep"
)

// none switches a listener off, also from a variable, where empty means "not said".
const none = "none"

// Load reads the file, if a path is given, and the environment, and checks everything.
func Load(path string, getenv func(string) string) (Config, error) {
	c := Default()
	var faults []error
	unread := false
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return c, err
		}
		if err := Parse(text, &c); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
			unread = errors.Is(err, errSyntax)
		}
	}
	faults = append(faults, fromEnvironment(&c, getenv)...)
	if unread { // what the file says is not known, so nothing can be called missing
		return c, errors.Join(faults...)
	}
	for _, address := range []*string{&c.Listen, &c.TLS.Listen, &c.MTLS.Listen, &c.Metrics.Listen} {
		if *address == none {
			*address = ""
		}
	}
	faults = append(faults, c.check()...)
	return c, errors.Join(faults...)
}

// errSyntax says that a file is no YAML, or no mapping of keys to values, so that nothing of it was read.
var errSyntax = errors.New("nothing of the file can be read")

var (
	quoted = regexp.MustCompile(`(?s)".*"`)
	ofAKey = regexp.MustCompile(`(unknown field|mapping key) "[A-Za-z_.-]{1,40}"( already[^"]*)?$`)
)

// Parse reads YAML over the values that are there; unknown and repeated keys are errors.
func Parse(text []byte, c *Config) error {
	text = bom.Skip(text)
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	err := yaml.UnmarshalWithOptions(text, c, yaml.Strict())
	if err == nil {
		return nil
	}
	var at yaml.Error
	if !errors.As(err, &at) { // it is of a value's own type, none of which tells a secret
		return err
	}
	said := at.FormatError(false, false) // without the source line, which may hold a secret
	if !ofAKey.MatchString(said) {
		said = quoted.ReplaceAllString(said, "“…”") // a value, perhaps in the place of a key
	}
	var syntax *yaml.SyntaxError
	var node *yaml.UnexpectedNodeTypeError
	if errors.As(err, &syntax) || errors.As(err, &node) {
		return fmt.Errorf("%s: %w", said, errSyntax)
	}
	return errors.New(said)
}

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/permission"
)

const goodKey = "q5sJHxQ3o8m1Vx0Zk2c7d9e4f6a8B1C3D5E7F9G1H3I="

func env(pairs ...string) func(string) string {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func required(more ...string) func(string) string {
	return env(append([]string{"GATEHOUSE_PUBLIC_URL", "https://auth.example.com", "GATEHOUSE_DATABASE", "sqlite:x.db",
		"GATEHOUSE_ENCRYPTION_KEYS", goodKey}, more...)...)
}

// WEB13: every fault is reported, each by its key; a security option that cannot be read is never left out.
func TestWEB13_Faults(t *testing.T) {
	t.Parallel()
	if _, err := Load("", required()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ variable, value, key string }{
		{"GATEHOUSE_PUBLIC_URL", "http://auth.example.com", "public_url"},
		{"GATEHOUSE_PUBLIC_URL", "https://auth.example.com/path", "public_url: must have no path"},
		{"GATEHOUSE_PUBLIC_URL", "auth.example.com", "public_url"},
		{"GATEHOUSE_PUBLIC_URL", "https://Auth.example.com", "public_url"},
		{"GATEHOUSE_PUBLIC_URL", "https://auth.example.com:443", "public_url"},
		{"GATEHOUSE_ENCRYPTION_KEYS", "c2hvcnQ=", "encryption_keys"},
		{"GATEHOUSE_ENCRYPTION_KEYS", goodKey + ",c2hvcnQ=", "encryption_keys"},
		{"GATEHOUSE_ENCRYPTION_KEYS", "c2hvcnQ=,c2hvcnQ=", "encryption key 2"},
		{"GATEHOUSE_TRUSTED_PROXIES", "0.0.0.0/0", "trusted_proxies"},
		{"GATEHOUSE_TRUSTED_PROXIES", "10.0.0.0/8,nonsense", `trusted_proxies: "nonsense" is`},
		{"GATEHOUSE_TRUSTED_PROXIES", "nonsense,0.0.0.0/0,::/0", `trusted_proxies: "::/0" would`},
		{"GATEHOUSE_TRUSTED_PROXIES", "one,two", "trusted_proxies: \"two\" is"},
		{"GATEHOUSE_OUTBOUND_ALLOWED_NETWORKS", "one,two", "outbound.allowed_networks: \"two\" is"},
		{"GATEHOUSE_METRICS_LISTEN", "0.0.0.0:9464", "metrics.listen"},
		{"GATEHOUSE_METRICS_LISTEN", ":9464", "metrics.listen"},
		{"GATEHOUSE_AUDIT_RETENTION", "29d", "audit_retention"},
		{"GATEHOUSE_AUDIT_RETENTION", "-1s", "audit_retention"},
		{"GATEHOUSE_FORWARDED_HEADER", "X-Real-IP", "forwarded_header"},
		{"GATEHOUSE_MTLS_CERTIFICATE_HEADER", "X Client Cert", "mtls.certificate_header: must be the name"},
		{"GATEHOUSE_TLS_LISTEN", "0.0.0.0:443", "tls"},
		{"GATEHOUSE_LISTEN", "8080", "listen"},
		{"GATEHOUSE_LISTEN", "none", "listen"},
		{"GATEHOUSE_LISTEN", "127.0.0.1:99999", "listen: must end with a port"},
		{"GATEHOUSE_LISTEN", "127.0.0.1:9464", "metrics.listen: is 127.0.0.1:9464, which listen is too"},
		{"GATEHOUSE_LOG_LEVEL", "all", "log.level"},
		{"GATEHOUSE_LOG_FORMAT", "xml", "log.format"},
		{"GATEHOUSE_SIGNING_KEY_BITS", "1024", "signing.key_bits"},
		{"GATEHOUSE_SIGNING_KEY_BITS", "many", "GATEHOUSE_SIGNING_KEY_BITS"},
		{"GATEHOUSE_DATABASE_CONNECTIONS", "0x10", "GATEHOUSE_DATABASE_CONNECTIONS"},
		{"GATEHOUSE_DATABASE_LISTEN", "postgres://u@h/d", "database_listen: is for a PostgreSQL database"},
		{"GATEHOUSE_SHUTDOWN_GRACE", "soon", "GATEHOUSE_SHUTDOWN_GRACE"},
		{"GATEHOUSE_TENANT_HOSTS", "https://x.example", "tenant_hosts[0]"},
		{"GATEHOUSE_TRACING_OTLP_ENDPOINT", "collector:4318", "tracing.otlp_endpoint"},
		{"GATEHOUSE_DATABASE_FILE", "/nonexistent", "GATEHOUSE_DATABASE_FILE"},
		{"GATEHOUSE_DEFAULT_MFA", "sometimes", "default_mfa"},
		{"GATEHOUSE_MAIL_SMTP", "smtp.example.com:587", "mail: from"},
		{"GATEHOUSE_WEBAUTHN_RP_ID", "other.example", "webauthn.rp_id"},
		{"GATEHOUSE_WEBAUTHN_RP_ID", "https://example.com", "webauthn.rp_id"},
		{"GATEHOUSE_WEBAUTHN_ORIGINS", "https://app.other.example", "webauthn.origins"},
	} {
		_, err := Load("", required(c.variable, c.value))
		if err == nil || !strings.Contains(err.Error(), c.key) {
			t.Errorf("%s=%s: %v", c.variable, c.value, err)
		}
	}
	_, err := Load("", env())
	for _, key := range []string{"public_url", "database", "encryption_keys"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("nothing set: no word of %s in %v", key, err)
		}
	}
}

// Reading a configuration changes nothing of the process: a resource that it names is a permission of the server that
// is built from it, and of no other.
func TestCheckChangesNothing(t *testing.T) {
	t.Parallel()
	c, err := Load("", required("GATEHOUSE_RESOURCES", "never_defined"))
	if err != nil || len(c.Resources) != 1 {
		t.Fatal(c.Resources, err)
	}
	if permission.IsResource("never_defined") {
		t.Error("reading the configuration defined a permission")
	}
	if _, err := Load("", required("GATEHOUSE_RESOURCES", "tickets")); err == nil ||
		!strings.Contains(err.Error(), "resources[0]") {
		t.Errorf("%v for a resource of the server's own", err)
	}
}

func TestSourcesAndSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("c.yaml",
		"public_url: https://file.example.com\ndatabase: sqlite:file.db\nencryption_keys: ["+goodKey+
			"]\nlog:\n  level: debug\ntls:\n  listen: none\nshutdown_grace: 5s\n")
	c, err := Load(file, env("GATEHOUSE_LOG_LEVEL", "warn", "GATEHOUSE_TRUSTED_PROXIES", "10.0.0.1, 10.1.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicURL != "https://file.example.com" || c.Log.Level != "warn" || c.Log.Format != "json" ||
		c.TLS.Listen != "" || len(c.TrustedProxies) != 2 || c.Database.Reveal() != "sqlite:file.db" {
		t.Errorf("%+v", c)
	}
	key := write("key", goodKey+"\n")
	if _, err := Load("", env("GATEHOUSE_PUBLIC_URL", "https://x.example", "GATEHOUSE_DATABASE", "sqlite:x.db",
		"GATEHOUSE_ENCRYPTION_KEYS_FILE", key)); err != nil {
		t.Error(err)
	}
	if _, err := Load("", required("GATEHOUSE_ENCRYPTION_KEYS_FILE", key)); err == nil {
		t.Error("a secret given twice is accepted")
	}
	for name, text := range map[string]string{"unknown key": "publicurl: x\n",
		"repeated key": "listen: a:1\nlisten: b:2\n", "wrong type": "signing: [1]\n", "not YAML": "{{{"} {
		_, err := Load(write("bad.yaml", text+"# "+goodKey), required())
		if err == nil || strings.Contains(err.Error(), goodKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("public_url: https://a.example\nlog: {level: info}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		if Parse(text, &c) == nil {
			c.check() // judges whatever was read, without a panic
		}
	})
}

// A30: whom authenticators make credentials for comes from configuration alone: the public host, a domain above it, or
// this machine's name.
func TestA30_RelyingParty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set           []string
		rpID, origins string
	}{
		{nil, "auth.example.com", "https://auth.example.com"},
		{[]string{"GATEHOUSE_WEBAUTHN_RP_ID", "example.com", "GATEHOUSE_WEBAUTHN_ORIGINS",
			"https://app.example.com,https://auth.example.com"}, "example.com",
			"https://auth.example.com https://app.example.com"},
		{[]string{"GATEHOUSE_PUBLIC_URL", "http://127.0.0.1:8080"}, "localhost", "http://localhost:8080"},
		{[]string{"GATEHOUSE_PUBLIC_URL", "http://localhost:8080"}, "localhost", "http://localhost:8080"},
	} {
		cfg, err := Load("", required(c.set...))
		if err != nil {
			t.Errorf("%v: %v", c.set, err)
			continue
		}
		if rpID, origins := cfg.RelyingParty(); rpID != c.rpID || strings.Join(origins, " ") != c.origins {
			t.Errorf("%v: %s %v", c.set, rpID, origins)
		}
	}
}

// WEB13: a database address is one of two, in a form that can be read. No fault quotes any part of another, since
// nobody knows where its password begins.
func TestWEB13_DatabaseAddresses(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"sqlite:x.db", "sqlite:/var/lib/gatehouse.db", "sqlite:///var/lib/gatehouse.db",
		"postgres://u:secret@h/d", "postgresql://u:secret@h:5432/d?sslmode=require",
		"postgres:///d?host=/run/postgresql",
		"postgres://u:s%40cret@one:1,two:2/d?target_session_attrs=read-write", "postgres://u@[::1]/d",
		"\ufeffpostgres://u:secret@h/d"} {
		if _, err := Load("", required("GATEHOUSE_DATABASE", good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"gatehouse.db", "/var/lib/gatehouse.db", "./x.db", "sqlite:", "sqlite3:x.db",
		"file:x.db",
		"postgress://u:secret@h/d", "Postgres://u:secret@h/d", "mysql://u:secret@h/d", "postgres:u:secret@h/d",
		`"postgres://u:secret@h/d"`, "'postgres://u:secret@h/d'", `"sqlite:x.db"`, "sqlite:postgres://u:secret@h/d",
		" postgres://u:secret@h/d", "host=h user=u password=secret", "u:secret@h/d", "u:p@secret@h",
		"postgres://u:secret%zz@h/d", "postgres://u:p@secret@h/d", "postgres://u:12/secret@h/d",
		"postgres://u:secret?2@h/d", "postgres://u:1#secret@h/d", "postgres://u:1?secret@h/d",
		"postgres://u:12#p/secret@h/d", "postgres://u:12/p?secret@h/d", "postgres://u:secret%h/d",
		"postgres://u:secret@h:99999/d", "postgres://u:secret@h:x/d", "postgres://u:secret@h/d?sslmode=requre",
		"postgres://u:secret@h/d?sslmode=verify-full&sslrootcert=/nowhere.pem",
		"postgres://u:secret@h/d?pool_max_conns=many"} {
		_, err := Load("", required("GATEHOUSE_DATABASE", bad))
		if err == nil || !strings.Contains(err.Error(), "database: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"sqlite:x.db", "u:secret@h/d", `"postgres://u:secret@h/d"`,
		"postgres://u:secret%zz@h/d", "mysql://u:secret@h/d"} {
		_, err := Load("", required("GATEHOUSE_DATABASE", "postgres://u@h/d", "GATEHOUSE_DATABASE_LISTEN", bad))
		if err == nil || !strings.Contains(err.Error(), "database_listen: ") ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{`"redis://u:secret@h/0"`, "redis://u:12#secret@h/0", "redis://u:12?secret@h/0",
		"redis://u:12/secret@h", "redis://u:secret%zz@h/0", "http://u:secret@h", "u:secret@h"} {
		_, err := Load("", required("GATEHOUSE_DATABASE", "postgres://u@h/d", "GATEHOUSE_REDIS", bad))
		if err == nil || !strings.Contains(err.Error(), "redis: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A byte-order mark is skipped wherever a text is read: in the file, in secret files, before each of several keys.
func TestByteOrderMarks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("\ufeff"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := Load(write("c.yaml", "public_url: https://auth.example.com\n"),
		env("GATEHOUSE_DATABASE_FILE", write("database", "sqlite:x.db\r\n"), "GATEHOUSE_LOG_LEVEL", "\ufeffwarn",
			"GATEHOUSE_ENCRYPTION_KEYS_FILE", write("keys", goodKey+"\n\ufeff"+goodKey+"\n")))
	if err != nil || c.Database.Reveal() != "sqlite:x.db" || c.Log.Level != "warn" || len(c.EncryptionKeys) != 2 {
		t.Errorf("%+v %v", c, err)
	}
}

// A file that cannot be read at all is the one fault: what it would have said is not called missing. No message shows a
// value that stands where it does not belong.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	for _, text := range []string{"listen: [\n", "database: \"postgres://u:secret1@h/d\nlisten: x\n",
		"database:postgres://u:secret1@h/d\n", "listen: none\n postgres://u:secret1@h/d: x\n", "- secret1\n",
		"secret1: x\nsecret1: x\n", "mail:\n  password: *secret\n", "mail:\n  password: |secret\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file, env("GATEHOUSE_SIGNING_KEY_BITS", "many")); err == nil ||
			strings.Contains(err.Error(), "is not set") || strings.Contains(err.Error(), "secret") ||
			!strings.Contains(err.Error(), "GATEHOUSE_SIGNING_KEY_BITS") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"postgres://u:secret1@h/d: x\n", "log:\n  secret1: x\n", "'a\"secret1': x\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file, env()); err == nil || !strings.Contains(err.Error(), "database: is not set") ||
			strings.Contains(err.Error(), "secret1") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// WEB13: a variable that is no setting is said, with the nearest that is one.
func TestWEB13_UnknownVariables(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"GATEHOUSE_PUBLIC_URI=x":              "nearest is GATEHOUSE_PUBLIC_URL",
		"GATEHOUSE_METRICS_TOKEN_FIL=x":       "nearest is GATEHOUSE_METRICS_TOKEN_FILE",
		"GATEHOUSE_TRUSTED_PROXYS=":           "nearest is GATEHOUSE_TRUSTED_PROXIES",
		"GATEHOUSE_PUBLIC_URL_FILE=/x":        "GATEHOUSE_PUBLIC_URL is no secret",
		"GATEHOUSE_PUBLIC_URL=x":              "",
		"GATEHOUSE_DATABASE_FILE=x":           "",
		"GATEHOUSE_CONFIG=x":                  "",
		"GATEHOUSE_TEST_POSTGRES=x":           "",
		"GATEHOUSE_SERVICE_HOST=10.0.0.1":     "", // Kubernetes' own, of a Service named gatehouse
		"GATEHOUSE_SERVICE_PORT_HTTP=80":      "",
		"GATEHOUSE_PORT=tcp://10.0.0.1:80":    "",
		"GATEHOUSE_PORT_80_TCP_ADDR=10.0.0.1": "",
		"GATEHOUSE_REDIS_SERVICE_PORT=6379":   "", // and of its neighbour gatehouse-redis
		"GATEHOUSE_REDIS_PORT=tcp://10.0.0.2": "",
		"GATEHOUSE_REDIS_PORT_6379_TCP=x":     "",
		"GATEHOUSE_LISTEN_PORT=8080":          "nearest is GATEHOUSE_LISTEN",
		"HOME=/root":                          "",
		"GATEHOUSEKEEPING=x":                  "",
	} {
		err := Unknown([]string{line}, []string{"GATEHOUSE_CONFIG"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"30d": 30 * day, "1d12h": 36 * time.Hour, "20s": 20 * time.Second,
		"0d": 0, "1h30m": 90 * time.Minute, "-5s": -5 * time.Second} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "30", "30 d", "-1d", "1d-1h", "1.5d", "1d1d", "999999999d",
		"106752d", "soon",
		"1d25h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// A plain listener behind an https address has a proxy in front, which must be named.
func TestBehindUnknownProxy(t *testing.T) {
	t.Parallel()
	for want, settings := range map[bool][][]string{
		true: {nil},
		false: {{"GATEHOUSE_TRUSTED_PROXIES", "127.0.0.1"}, {"GATEHOUSE_PUBLIC_URL", "http://127.0.0.1:8080"},
			{"GATEHOUSE_TLS_LISTEN", ":1", "GATEHOUSE_TLS_CERTIFICATE_FILE", "c", "GATEHOUSE_TLS_KEY_FILE", "k"}},
	} {
		for _, s := range settings {
			c, err := Load("", required(s...))
			if err != nil || c.BehindUnknownProxy() != want {
				t.Errorf("%v: %v %v", s, c.BehindUnknownProxy(), err)
			}
		}
	}
}

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		{"GATEHOUSE_PUBLIC_URL", "https://auth.example.com/path", "public_url"},
		{"GATEHOUSE_PUBLIC_URL", "auth.example.com", "public_url"},
		{"GATEHOUSE_PUBLIC_URL", "https://Auth.example.com", "public_url"},
		{"GATEHOUSE_PUBLIC_URL", "https://auth.example.com:443", "public_url"},
		{"GATEHOUSE_ENCRYPTION_KEYS", "c2hvcnQ=", "encryption_keys"},
		{"GATEHOUSE_ENCRYPTION_KEYS", goodKey + ",c2hvcnQ=", "encryption_keys"},
		{"GATEHOUSE_TRUSTED_PROXIES", "0.0.0.0/0", "trusted_proxies"},
		{"GATEHOUSE_TRUSTED_PROXIES", "10.0.0.0/8,nonsense", "trusted_proxies"},
		{"GATEHOUSE_METRICS_LISTEN", "0.0.0.0:9090", "metrics.listen"},
		{"GATEHOUSE_METRICS_LISTEN", ":9090", "metrics.listen"},
		{"GATEHOUSE_TLS_LISTEN", "0.0.0.0:443", "tls"},
		{"GATEHOUSE_LISTEN", "8080", "listen"},
		{"GATEHOUSE_LISTEN", "none", "listen"},
		{"GATEHOUSE_LOG_LEVEL", "all", "log.level"},
		{"GATEHOUSE_LOG_FORMAT", "xml", "log.format"},
		{"GATEHOUSE_SIGNING_KEY_BITS", "1024", "signing.key_bits"},
		{"GATEHOUSE_SIGNING_KEY_BITS", "many", "GATEHOUSE_SIGNING_KEY_BITS"},
		{"GATEHOUSE_DATABASE_CONNECTIONS", "0x10", "GATEHOUSE_DATABASE_CONNECTIONS"},
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
	if _, err := Load("", env("GATEHOUSE_PUBLIC_URL", "https://x.example", "GATEHOUSE_DATABASE", "x.db",
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

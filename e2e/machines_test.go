package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// demo is what `gatehouse demo --json` prints.
type demo struct {
	URL           string `json:"url"`
	Config        string `json:"config"`
	Organizations []struct{ Slug, ID string }
	Users         []struct{ Email, Password, Role, Organization string }
	APIKeys       []struct {
		Key, Organization string
	} `json:"apiKeys"`
	AccessTokens       []struct{ Token, Organization string } `json:"accessTokens"`
	SystemAccessTokens []struct{ Token, Organization string } `json:"systemAccessTokens"`
	ApplicationTokens  []struct{ Token, Organization string } `json:"applicationTokens"`
	Clients            []struct {
		Organization string `json:"organization"`
		ID           string `json:"client_id"`
		Secret       string `json:"client_secret"`
	} `json:"clients"`
}

// runDemo starts the demo and stops it with the test.
func runDemo(t *testing.T, more ...string) demo {
	t.Helper()
	cmd := install(t, "unused").command(append([]string{"demo", "--json", "--listen", "127.0.0.1:0"}, more...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var d demo
	if err := json.Unmarshal([]byte(line), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d demo) ask(t *testing.T, method, path, header, value string, body any) (int, map[string]any) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = strings.NewReader(string(raw))
	}
	req, err := http.NewRequest(method, d.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if header != "" {
		req.Header.Set(header, value)
	}
	status, got, err := do(req, "")
	if err != nil {
		t.Fatal(err)
	}
	return status, got
}

// admin signs the administrator of acme-corp in.
func (d demo) admin(t *testing.T) string {
	t.Helper()
	status, body := d.ask(t, "POST", "/v1/auth/login", "", "",
		map[string]any{"email": "admin@acme-corp.example", "password": d.Users[0].Password})
	if status != 200 {
		t.Fatalf("sign-in: %d %v", status, body)
	}
	return body["accessToken"].(string)
}

// A9, G12: the demo prints one of each kind of credential, and each works where it should.
func TestDemoCredentials(t *testing.T) {
	t.Parallel()
	d := runDemo(t)
	type one struct{ kind, header, value string }
	list := []one{{"api_key", "X-API-Key", d.APIKeys[0].Key},
		{"access_token", "Authorization", "Bearer " + d.AccessTokens[0].Token},
		{"system_token", "Authorization", "Bearer " + d.SystemAccessTokens[0].Token},
		{"application_token", "Authorization", "Bearer " + d.ApplicationTokens[0].Token}}
	if c := d.Clients[0]; c.Organization != "acme-corp" || c.ID == "" || c.Secret == "" {
		t.Errorf("%+v", c)
	}
	for _, o := range list {
		for path, want := range map[string]int{"/v1/auth/me": 200, "/v1/tickets": 200,
			"/verify?permission=tickets:read": 200, "/v1/auth/sessions": 401} {
			if status, body := d.ask(t, "GET", path, o.header, o.value, nil); status != want || path == "/v1/auth/me" &&
				body["kind"] != o.kind {
				t.Errorf("%s at %s: %d %v", o.kind, path, status, body)
			}
		}
	}
}

var npmOnce sync.Once

// node runs a script of e2e/clients with its libraries, which npm installs from the lock file when they are missing.
func node(t *testing.T, script string, input any) {
	t.Helper()
	npmOnce.Do(func() {
		_, err1 := os.Stat(filepath.Join("clients", "node_modules", "openid-client"))
		if _, err2 := os.Stat(filepath.Join("clients", "node_modules", "newman")); err1 == nil && err2 == nil {
			return
		}
		cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		cmd.Dir = "clients"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("npm ci: %v\n%s", err, out)
		}
	})
	raw, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir, cmd.Env = "clients", append(os.Environ(), "INPUT="+string(raw))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "good") {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}

// E8: off-the-shelf clients work unchanged: Go's x/oauth2, npm's oauth4webapi and openid-client.
func TestE8_OffTheShelfClients(t *testing.T) {
	t.Parallel()
	d := runDemo(t)
	admin := "Bearer " + d.admin(t)
	make := func(body map[string]any) map[string]any {
		body["name"], body["permissions"] = "a client", []string{"tickets:read:all"}
		status, got := d.ask(t, "POST", "/v1/clients", "Authorization", admin, body)
		if status != 201 {
			t.Fatalf("%d %v", status, got)
		}
		return got
	}
	secret := make(map[string]any{"refreshTokens": true})
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing := jose.JSONWebKey{Key: private, KeyID: "one", Algorithm: "ES256", Use: "sig"}
	keyed := make(map[string]any{"authentication": map[string]any{"method": "private_key_jwt",
		"jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{signing.Public()}}}})
	input := map[string]any{"url": d.URL, "client": map[string]any{"id": secret["id"],
		"secret": secret["clientSecret"]}, "key": map[string]any{"id": keyed["id"], "private": signing}}

	t.Run("golang.org/x/oauth2", func(t *testing.T) {
		for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader,
			"form": oauth2.AuthStyleInParams, "detected": oauth2.AuthStyleAutoDetect} {
			c := clientcredentials.Config{ClientID: d.Clients[0].ID, ClientSecret: d.Clients[0].Secret,
				TokenURL: d.URL + "/oauth2/token", AuthStyle: style, Scopes: []string{"tickets:read:all"}}
			res, err := c.Client(t.Context()).Get(d.URL + "/v1/tickets")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("%s: %d", name, res.StatusCode)
			}
			c.ClientSecret = "gth_cs_wrong"
			if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid_client") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("oauth4webapi", func(t *testing.T) { node(t, "oauth4webapi.mjs", input) })
	t.Run("openid-client", func(t *testing.T) { node(t, "openid-client.mjs", input) })
}

// G7: what one process does to a machine's credential (here: the command line), another refuses; each command does what
// it says, with --json too.
func TestCredentialCommands(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		i.operator()
		i.start()
		access, _ := i.signIn()
		if status, body, err := i.post("/v1/organizations", map[string]any{"slug": "acme-corp", "name": "Acme"},
			access); err != nil || status != 201 {
			t.Fatalf("%d %v %v", status, body, err)
		}
		abroad := func(method, path string, body any) (int, map[string]any) {
			raw, _ := json.Marshal(body)
			req, err := http.NewRequest(method, i.url+path, strings.NewReader(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Tenant-Slug", "acme-corp")
			status, got, err := do(req, access)
			if err != nil {
				t.Fatal(err)
			}
			return status, got
		}
		for _, u := range []map[string]any{{"email": "person@acme-corp.example", "role": "service_desk_manager"},
			{"email": "program@acme-corp.example", "role": "service_desk_manager", "type": "application"}} {
			if status, body := abroad("POST", "/v1/users", u); status != 201 {
				t.Fatalf("%d %v", status, body)
			}
		}
		run, object := i.acme, i.acmeObject
		works := func(header, value string) bool {
			req, err := http.NewRequest("GET", i.url+"/v1/tickets", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(header, value)
			status, _, err := do(req, "")
			return err == nil && status == 200
		}
		for _, c := range []struct {
			command, value, header, prefix string
			create                         []string
		}{
			{"key", "key", "X-API-Key", "", []string{"--name", "nightly", "-p", "tickets:read:all", "-p",
				"reports:read:all", "--rate-limit", "90", "--expires-in", "24h", "--address", "127.0.0.0/8"}},
			{"token", "token", "Authorization", "Bearer ",
				[]string{"--name", "desk", "--user", "person@acme-corp.example", "--resource", "tickets"}},
			{"token", "token", "Authorization", "Bearer ",
				[]string{"--name", "program", "--user", "program@acme-corp.example", "--application"}},
			{"system", "token", "Authorization", "Bearer ", []string{"--name", "erp"}},
		} {
			made := object(append([]string{c.command, "create"}, c.create...)...)
			id, value := made["id"].(string), c.prefix+made[c.value].(string)
			waitFor(t, c.command+" works", func() bool { return works(c.header, value) })
			if out := run(c.command, "list"); !strings.Contains(out, id) ||
				strings.Contains(out, made[c.value].(string)) {
				t.Errorf("%s list: %s", c.command, out)
			}
			if shown := object(c.command, "show", id); shown["name"] != made["name"] || shown[c.value] != nil ||
				shown["state"] != "active" {
				t.Errorf("%s show: %v", c.command, shown)
			}
			run(c.command, "show", id)
			plain := strings.TrimSpace(run(c.command, "rotate", id, "--overlap", "1h")) // the value alone, for scripts
			waitFor(t, "the new value works", func() bool { return works(c.header, c.prefix+plain) })
			if !works(c.header, value) {
				t.Errorf("%s: the former value stops although an overlap was asked for", c.command)
			}
			run(c.command, "revoke", id)
			waitFor(t, "the server refuses what the command revoked", func() bool {
				return !works(c.header, value) && !works(c.header, c.prefix+plain)
			})
			if shown := object(c.command, "show", id); shown["state"] != "revoked" {
				t.Errorf("%s: %v", c.command, shown)
			}
		}
		client := object("client", "create", "--name", "importer", "-p", "tickets:read:all", "--token-lifetime", "10m")
		token := func(secret string) (int, string) {
			req, err := http.NewRequest("POST", i.url+"/oauth2/token",
				strings.NewReader("grant_type=client_credentials"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth(client["client_id"].(string), secret)
			status, body, err := do(req, "")
			if err != nil {
				t.Fatal(err)
			}
			value, _ := body["access_token"].(string)
			return status, value
		}
		granted, value := token(client["client_secret"].(string))
		if granted != 200 || !works("Authorization", "Bearer "+value) {
			t.Fatalf("%d", granted)
		}
		shown := object("client", "show", client["client_id"].(string))
		secretID := shown["secrets"].([]any)[0].(string)
		fresh := object("client", "rotate", secretID)["secret"].(string)
		waitFor(t, "the former secret is refused", func() bool {
			s, _ := token(client["client_secret"].(string))
			return s == 401
		})
		if s, _ := token(fresh); s != 200 {
			t.Errorf("the new secret: %d", s)
		}
		if out := run("client", "list"); !strings.Contains(out, client["client_id"].(string)) {
			t.Error(out)
		}
		var report []map[string]any
		if err := json.Unmarshal([]byte(run("credentials", "report", "--json")), &report); err != nil ||
			len(report) != 1 || report[0]["id"] != secretID || report[0]["neverExpires"] != true {
			t.Errorf("%v %v", report, err)
		}
		if out := run("credentials", "report"); !strings.Contains(out, secretID) ||
			!strings.Contains(out, "never expires") {
			t.Error(out)
		}
		run("client", "revoke", client["client_id"].(string))
		waitFor(t, "the client's token is refused", func() bool { return !works("Authorization", "Bearer "+value) })

		for _, wrong := range [][]string{{"key", "show", "key_1"}, {"key", "show", secretID},
			{"key", "revoke", "key_01BX5ZZKBKACTAV9WEVGEMMVRZ"},
			{"key", "create", "--name", "x", "-p", "tickets:fly:all"},
			{"token", "create", "--name", "x", "--user", "nobody@acme-corp.example"},
			{"token", "create", "--name", "x", "--user", "person@acme-corp.example", "--application"},
			{"key", "create", "--name", "x", "-p", "tickets:read:all", "--rate-limit", "0"},
			{"client", "show", "cli_1"}} {
			if out, errs, code := i.run("", append(wrong, "-o", "acme-corp")...); code == 0 ||
				strings.Contains(errs, "panic") || errs == "" {
				t.Errorf("%v: %d %s%s", wrong, code, out, errs)
			}
		}
		if _, errs, code := i.run("", "key", "list", "-o", "no-such-tenant"); code == 0 ||
			!strings.Contains(errs, "no-such-tenant") {
			t.Errorf("an unknown organization: %d %s", code, errs)
		}
		if _, errs, _ := i.run("", "system", "create", "-o", "acme-corp", "--name", "x", "-p",
			"users:read:all"); !strings.Contains(errs,
			"permissions[0]: a system access token never holds permissions on users") {
			t.Errorf("what is wrong is not said: %s", errs)
		}
		status, events := abroad("GET", "/v1/audit-events?limit=1000", nil)
		log := fmt.Sprint(events)
		for _, act := range []string{"api_key.created", "api_key.rotated", "api_key.revoked", "access_token.created",
			"application_token.revoked", "system_token.rotated", "client.created", "client_secret.rotated",
			"client.deleted", "client_secret.revoked"} {
			if status != 200 || !strings.Contains(log, act) {
				t.Errorf("%s is not in the audit log (%d)", act, status)
			}
		}
	})
}

// E8, RFC 8705 §5: the listener for certificates of the built program: it asks for them, the ordinary one does not, and
// a token stays bound.
func TestE8_MTLSListener(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate := func(name string) tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().
					Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{name + ".key": {Type: "PRIVATE KEY", Bytes: raw},
			name + ".crt": {Type: "CERTIFICATE", Bytes: der}} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	certificate("server")
	own := certificate("client")
	i := install(t, sqldbtest.SQLite(t))
	plain, mutual := freePort(t), freePort(t)
	i.env = append(i.env, "GATEHOUSE_TLS_LISTEN=127.0.0.1:"+plain,
		"GATEHOUSE_TLS_CERTIFICATE_FILE="+filepath.Join(dir, "server.crt"),
		"GATEHOUSE_TLS_KEY_FILE="+filepath.Join(dir, "server.key"),
		"GATEHOUSE_MTLS_LISTEN=127.0.0.1:"+mutual, "GATEHOUSE_MTLS_PUBLIC_URL=https://127.0.0.1:"+mutual)
	i.operator()
	i.start()
	access, _ := i.signIn()
	sum := sha256.Sum256(own.Certificate[0])
	status, made, err := i.post("/v1/clients", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"},
		"authentication": map[string]any{"method": "self_signed_tls_client_auth",
			"thumbprints": []string{base64.RawURLEncoding.EncodeToString(sum[:])}}}, access)
	if err != nil || status != 201 {
		t.Fatalf("%d %v %v", status, made, err)
	}
	asked := false
	client := func() *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					asked = true
					return &own, nil
				}}}}
	}
	token := func(port string) (int, string) {
		res, err := client().PostForm("https://127.0.0.1:"+port+"/oauth2/token",
			url.Values{"grant_type": {"client_credentials"}, "client_id": {made["id"].(string)}})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body map[string]any
		json.NewDecoder(res.Body).Decode(&body)
		return res.StatusCode, fmt.Sprint(body["access_token"])
	}
	if s, _ := token(plain); s != 401 || asked {
		t.Errorf("the ordinary listener asks for a certificate (%v) or takes one: %d", asked, s)
	}
	s, value := token(mutual)
	if s != 200 || !asked {
		t.Fatalf("%d", s)
	}
	for port, want := range map[string]int{mutual: 200, plain: 401} {
		req, _ := http.NewRequest("GET", "https://127.0.0.1:"+port+"/v1/tickets", nil)
		req.Header.Set("Authorization", "Bearer "+value)
		res, err := client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("on port of %d: %d", want, res.StatusCode)
		}
	}
}

package idptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// folder is that of this package.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

var installed = sync.OnceValue(func() error {
	dir := filepath.Join(folder(), "node")
	for _, name := range []string{"express", "oidc-provider", "samlp", "scim-patch"} {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err == nil {
			continue
		}
		cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			os.Stderr.Write(out)
		}
		return err
	}
	return nil
})

// start runs a program that says "listening on <address>" and gives the address.
func start(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && said.Len() > 0 {
			t.Logf("the provider said: %.4000s", said.String())
		}
	})
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if _, at, ok := strings.Cut(strings.TrimSpace(line), "listening on "); ok {
				select {
				case address <- at:
				default:
				}
			}
			if err != nil {
				return // the program ended
			}
		}
	}()
	select {
	case at := <-address:
		return at
	case <-time.After(time.Minute):
		t.Fatalf("the provider does not start: %s", said.String())
	}
	return ""
}

func node(t testing.TB, script string, environment ...string) string {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatalf("npm ci: %v", err)
	}
	cmd := exec.CommandContext(context.Background(), "node", script)
	cmd.Dir, cmd.Env = filepath.Join(folder(), "node"), append(os.Environ(), environment...)
	return start(t, cmd)
}

// Ask runs a script of this package, gives it what it reads, and gives back what it wrote.
func Ask(t testing.TB, script string, input []byte) []byte {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatalf("npm ci: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir, cmd.Stdin = filepath.Join(folder(), "node"), bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out
}

// OpenID is an oidc-provider with one client.
type OpenID struct {
	Redirects []string
	Method    string                    // with which the client authenticates
	Client    *jose.JSONWebKey          // public: of private_key_jwt
	Keys      []jose.JSONWebKey         // sign its ID tokens: the first, with its algorithm
	Accounts  map[string]map[string]any // the claims of its people, by name
	Logout    string                    // where it says that a session has ended (back-channel)
}

// StartOpenID starts one and gives its issuer.
func StartOpenID(t testing.TB, o OpenID) string {
	t.Helper()
	names := map[string]bool{}
	for _, a := range o.Accounts {
		for name := range a {
			names[name] = true
		}
	}
	var list []string
	for name := range names {
		list = append(list, name)
	}
	client := map[string]any{"client_id": ClientID, "redirect_uris": o.Redirects, "grant_types": []string{
		"authorization_code"}, "token_endpoint_auth_method": o.Method, "client_secret": ClientSecret,
		"id_token_signed_response_alg": o.Keys[0].Algorithm}
	if o.Client != nil {
		client["jwks"] = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{*o.Client}}
		client["token_endpoint_auth_signing_alg"] = o.Client.Algorithm
		delete(client, "client_secret")
	}
	if o.Logout != "" {
		client["backchannel_logout_uri"], client["backchannel_logout_session_required"] = o.Logout, true
	}
	config, err := json.Marshal(map[string]any{"clients": []any{client}, "jwks": jose.JSONWebKeySet{Keys: o.Keys},
		"accounts": o.Accounts, "claims": list})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return node(t, "openid.mjs", "CONFIG="+path)
}

// Certificate makes a self-signed certificate of a key, and gives the files of both.
func Certificate(t testing.TB, key *rsa.PrivateKey, until time.Time) (keyFile, certFile string) {
	t.Helper()
	cert := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keyFile, certFile = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	for file, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: private},
		certFile: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return keyFile, certFile
}

// Samlp is a SAML provider of the npm package of that name.
type Samlp struct{ URL string }

// StartSamlp starts one, which signs with a key whose certificate is good until a moment.
func StartSamlp(t testing.TB, key *rsa.PrivateKey, until time.Time) Samlp {
	t.Helper()
	keyFile, certFile := Certificate(t, key, until)
	return Samlp{node(t, "saml.mjs", "KEY="+keyFile, "CERT="+certFile)}
}

// How a SAML provider answers.
type How struct {
	Sign      string   `json:"sign"`              // response, assertion, both
	Encrypt   string   `json:"encrypt,omitempty"` // aes256-gcm, aes256-cbc, …; empty: not
	Cert      string   `json:"cert,omitempty"`    // for whom, in PEM
	Algorithm string   `json:"algorithm,omitempty"`
	Context   string   `json:"context,omitempty"`
	User      SAMLUser `json:"user"`
}

// SAMLUser is whom a SAML provider signs in.
type SAMLUser struct {
	ID         string         `json:"id"`
	Format     string         `json:"format"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Metadata is where the metadata of a provider is read that answers in a way.
func (s Samlp) Metadata(t testing.TB, how How) string {
	t.Helper()
	text, err := json.Marshal(how)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(s.URL+"/how", "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	name, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", res.StatusCode, name, err)
	}
	return s.URL + "/" + string(name) + "/metadata"
}

package e2e

import (
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/idptest"
)

var stay = flag.Bool("stay", false, "TestDemoSSO: keep everything for a person to try, until Ctrl-C (make demo-sso)")

const (
	demoAgent    = "agent@acme-corp.example"
	demoNewcomer = "newcomer@acme-corp.example"
)

// A19–A23: the demo beside two identity providers, and an application that signs people in through them. `make
// demo-sso` leaves it running for a person; the test is that person.
func TestDemoSSO(t *testing.T) {
	if !*stay {
		t.Parallel()
	}
	listen := "127.0.0.1:0"
	if *stay {
		listen = "127.0.0.1:8080"
	}
	d := runDemo(t, "--listen", listen)
	i, settings := install(t, "unused"), []string{"GATEHOUSE_CONFIG=" + d.Config}
	i.url = d.URL
	app := startApplication(t, i.url)
	openid := idptest.StartOpenID(t, idptest.OpenID{Redirects: []string{i.url + "/v1/auth/sso/oidc/callback"},
		Method: "client_secret_basic", Keys: []jose.JSONWebKey{idptest.RSAKey(0, "rsa", "RS256")},
		Accounts: map[string]map[string]any{
			"agent":    {"email": demoAgent, "email_verified": true, "name": "The Agent", "groups": []string{"desk"}},
			"newcomer": {"email": demoNewcomer, "email_verified": true, "name": "A Newcomer"},
		}})
	saml := idptest.StartSimpleSAML(t, idptest.RSA(0), "agent", demoAgent)
	saml.Answer(t, i.url+"/v1/auth/sso/saml/metadata", i.url+"/v1/auth/sso/saml/callback", "both", "")
	one := i.connect(settings, "openid.json", map[string]any{"kind": "oidc", "name": "OpenID Connect",
		"clientSecret": idptest.ClientSecret, "provisioning": map[string]any{"enabled": true, "role": "end_user"},
		"openId": map[string]any{"issuer": openid, "clientId": idptest.ClientID}})
	i.connect(settings, "saml.json", map[string]any{
		"kind": "saml",
		"name": "SAML",
		"trust": map[string]any{
			"email": true,
		},
		"saml": map[string]any{"metadataUrl": saml.URL + "/saml2/idp/metadata.php"},
	})
	for _, args := range [][]string{{"vouch", "acme-corp.example"}, {"connect", "acme-corp.example", one}} {
		args = append(append([]string{"domain"}, args...), "-o", "acme-corp")
		if _, errs, code := i.in(settings, args...); code != 0 {
			t.Fatal(errs)
		}
	}
	if *stay {
		fmt.Printf(`
Gatehouse:            %s
The application:      %s
OpenID Connect:       %s
  agent or newcomer, with any password; newcomer becomes a user by signing in
SAML (SimpleSAMLphp): %s
  agent, with the password "password"

Open the application and choose one. Ctrl-C stops everything.
`, i.url, app, openid, saml.URL)
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		<-stop
		return
	}
	for _, name := range []string{"agent", "newcomer"} {
		b := idptest.NewBrowser(t, nil)
		p := b.Open(app + "/begin?provider=oidc")
		action, form := p.Form()
		if form == nil {
			t.Fatalf("%d %s %s", p.Status, p.URL, p.Body)
		}
		form.Set("login", name)
		form.Set("password", "any")
		p = b.Submit(action, form)
		action, form = p.Form()
		if p = b.Submit(action, form); !strings.Contains(p.Body, name+"@acme-corp.example") || p.Status != 200 {
			t.Errorf("%d %s %s", p.Status, p.URL, p.Body)
		}
	}
	b := idptest.NewBrowser(t, nil)
	p := b.Open(app + "/begin?provider=saml")
	action, form := p.Form() // what we ask of the provider
	p = b.Submit(action, form)
	action, form = p.Form() // its own form
	form.Set("username", "agent")
	form.Set("password", "password")
	p = b.Submit(action, form)
	action, form = p.Form() // what it answers
	if form.Get("SAMLResponse") == "" {
		t.Fatalf("%d %s %s", p.Status, p.URL, p.Body)
	}
	if p = b.Submit(action, form); !strings.Contains(p.Body, demoAgent) || p.Status != 200 {
		t.Errorf("%d %s %s", p.Status, p.URL, p.Body)
	}
}

// connect makes a connection of the demo's tenant and switches it on.
func (i *installation) connect(settings []string, name string, connection map[string]any) (id string) {
	i.t.Helper()
	raw, err := json.Marshal(connection)
	if err != nil {
		i.t.Fatal(err)
	}
	file := filepath.Join(i.t.TempDir(), name)
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		i.t.Fatal(err)
	}
	out, errs, code := i.in(settings, "connection", "create", file, "-o", "acme-corp", "--json")
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != 0 {
		i.t.Fatalf("%s %s", out, errs)
	}
	if _, errs, code := i.in(settings, "connection", "enable", made.ID, "-o", "acme-corp"); code != 0 {
		i.t.Fatal(errs)
	}
	return made.ID
}

// startApplication starts one that signs people in by company sign-in and shows what it got, and makes its address
// known to the tenant.
func startApplication(t *testing.T, server string) string {
	t.Helper()
	listen := "127.0.0.1:0"
	if *stay {
		listen = "127.0.0.1:8081"
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	a := &application{at: "http://" + l.Addr().String(), server: server, begun: map[string]begun{}}
	s := &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	i := &installation{t: t, url: server}
	_, in, err := i.post("/v1/auth/login", map[string]any{"email": "admin@acme-corp.example",
		"password": "only-for-the-demo-7431"}, "")
	if err != nil {
		t.Fatal(err)
	}
	access, _ := in["accessToken"].(string)
	if status, body := i.send("PATCH", "/v1/organization", map[string]any{"settings": map[string]any{
		"redirectUris": []string{a.at + "/back"}}}, access); status != 200 {
		t.Fatalf("%d %v", status, body)
	}
	return a.at
}

type application struct {
	at, server string
	mu         sync.Mutex
	begun      map[string]begun // by state
}

type begun struct{ provider, verifier string }

// ServeHTTP shows the providers, begins a sign-in, and takes its end.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case "/begin":
		state, b := rand.Text(), begun{url.PathEscape(r.FormValue("provider")), rand.Text() + rand.Text()}
		a.begun[state] = b
		http.Redirect(w, r, a.server+"/v1/auth/sso/"+b.provider+"?"+url.Values{
			"organization": {"acme-corp"}, "redirect_uri": {a.at + "/back"}, "state": {state}, "prompt": {"login"},
			"code_challenge": {idptest.Challenge(b.verifier)}, "code_challenge_method": {"S256"}}.Encode(),
			http.StatusFound)
	case "/back":
		b, asked := a.begun[r.FormValue("state")]
		delete(a.begun, r.FormValue("state"))
		if !asked || r.FormValue("code") == "" {
			fmt.Fprintf(w, `<p>No sign-in: %s. <a href="/">Again</a>`, html.EscapeString(r.URL.RawQuery))
			return
		}
		i := &installation{url: a.server}
		status, body, err := i.post("/v1/auth/sso/"+b.provider+"/token", map[string]any{"code": r.FormValue("code"),
			"codeVerifier": b.verifier, "redirectUri": a.at + "/back"}, "")
		raw, _ := json.MarshalIndent(body, "", "  ")
		fmt.Fprintf(w, `<p>%d %v</p><pre>%s</pre><a href="/">Again</a>`, status, err, html.EscapeString(string(raw)))
	default:
		fmt.Fprint(w, `<h1>Sign in to the application</h1><p><a href="/begin?provider=oidc">with OpenID Connect</a>
<p><a href="/begin?provider=saml">with SAML</a>`)
	}
}

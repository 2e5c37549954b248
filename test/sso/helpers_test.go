package sso

import (
	"context"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

type object = map[string]any

// names is the name server of a test.
type names struct {
	mu      sync.Mutex
	records map[string][]string
	down    bool
}

// LookupTXT answers as the real one does.
func (n *names) LookupTXT(_ context.Context, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	if r, ok := n.records[name]; ok {
		return r, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) set(name string, values ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.records == nil {
		n.records = map[string][]string{}
	}
	if len(values) == 0 {
		delete(n.records, name+".")
		return
	}
	n.records[name+"."] = values
}

// house is a server with the organization's provider beside it.
type house struct {
	*servertest.Server
	t     *testing.T
	idp   *idptest.Provider
	dns   *names
	admin servertest.Change
}

// domain is that of the demo's people.
const domain = "acme-corp.example"

// each runs a test on both engines, with a provider of its own.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	var mu sync.Mutex
	besides := make(map[string]*house) // what is beside each server; the options are called before it is there
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		mu.Lock()
		h := besides[s.Config.Database.Reveal()]
		mu.Unlock()
		h.Server, h.t, h.admin = s, t, s.As(t, servertest.Admin)
		s.Do(t, "PATCH", "/v1/organization",
			object{"settings": object{"redirectUris": []string{idptest.App}}}, h.admin).Want(t, 200)
		fn(t, h)
	}, reaching, func(c *config.Config, o *server.Options) {
		h := &house{dns: &names{}, idp: idptest.NewProvider(t)}
		o.Resolver = h.dns
		o.Providers.Legacy[h.idp.URL] = h.idp.URL + "/sts"
		o.Providers.Directory, o.Providers.Identity = h.idp.URL+"/directory", h.idp.URL+"/identity"
		o.Providers.Google, o.Providers.Authorities[h.idp.URL] = h.idp.URL, h.idp.URL+"/graph"
		mu.Lock()
		defer mu.Unlock()
		besides[c.Database.Reveal()] = h
	})
}

// reaching lets a server ask providers on loopback.
func reaching(c *config.Config, o *server.Options) {
	c.Outbound.AllowedNetworks = []string{"127.0.0.0/8"}
	o.Providers = connection.PublicPlaces()
}

// provider connects the organization with its provider; change edits what the connection is made with.
func (h *house) provider(change func(body object)) string {
	h.t.Helper()
	return h.connect(h.idp.Issuer, change)
}

func (h *house) connect(issuer string, change func(body object)) string {
	h.t.Helper()
	body := object{"kind": "oidc", "name": "The company", "clientSecret": idptest.ClientSecret,
		"openId": object{"issuer": issuer, "clientId": idptest.ClientID}}
	if change != nil {
		change(body)
	}
	c := h.Do(h.t, "POST", "/v1/connections", body, h.admin).Want(h.t, 201).String("id")
	h.Do(h.t, "PATCH", "/v1/connections/"+c, object{"state": "active"}, h.admin).Want(h.t, 200)
	return c
}

// verify makes a domain the organization's own.
func (h *house) verify(name string) {
	h.t.Helper()
	d := h.Do(h.t, "POST", "/v1/domains", object{"name": name}, h.admin).Want(h.t, 201)
	h.dns.set(d.String("recordName"), d.String("recordValue"))
	h.Do(h.t, "POST", "/v1/domains/"+name+"/verify", nil, h.admin).Want(h.t, 200)
}

// person says who signs in at the provider.
func (h *house) person(sub, email string, more object) {
	told := object{"sub": sub, "email": email, "email_verified": true, "name": "Somebody"}
	maps.Copy(told, more)
	h.idp.Person(told)
}

// start walks from the beginning to the application.
func (h *house) start(more ...string) idptest.Page {
	h.t.Helper()
	return idptest.NewBrowser(h.t, h.Server).Open(idptest.Start("oidc", append([]string{"organization", "acme-corp"},
		more...)...))
}

// redeem turns a code into a session.
func (h *house) redeem(code string, change object) servertest.Response {
	h.t.Helper()
	body := object{"code": code, "codeVerifier": idptest.Verifier, "redirectUri": idptest.App}
	maps.Copy(body, change)
	return h.Do(h.t, "POST", "/v1/auth/sso/oidc/token", body)
}

// signIn signs in and fails the test if that does not work.
func (h *house) signIn(more ...string) servertest.Response {
	h.t.Helper()
	p := h.start(more...)
	if !p.AtApp() || p.Get("code") == "" {
		h.t.Fatalf("no code: %d %s %s", p.Status, p.URL, p.Body)
	}
	return h.redeem(p.Get("code"), nil).Want(h.t, 200)
}

// refused fails the test unless the browser came back with an error and nothing else.
func (h *house) refused(p idptest.Page, code string) {
	h.t.Helper()
	if !p.AtApp() || p.Get("error") != code || p.Get("code") != "" {
		h.t.Errorf("want the error %s, got %d %s %s", code, p.Status, p.URL, p.Body)
	}
}

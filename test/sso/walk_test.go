package sso

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// walker is a random walk of sign-ins in two organizations, with two browsers, at two nodes, and what it knows must be
// true. An epoch counts how often something was switched off: what was let in in an earlier one is over.
type walker struct {
	*house
	rng      *rand.Rand
	nodes    []*servertest.Server
	browsers []*idptest.Browser
	tenants  []*tenantState
	rounds   []*roundState
	codes    []*codeState
	sessions []*sessionState
	log      []string
}

type tenantState struct {
	slug, connection, callback string
	admin                      servertest.Change
	on                         bool
	epoch                      int
	people                     []*personState
}

type personState struct {
	email, id string
	on        bool
	epoch     int // of disabling and unlinking
}

type roundState struct {
	tenant  *tenantState
	browser int
	url     string // of the answer, at the callback
	done    bool
}

type codeState struct {
	tenant         *tenantState
	person         *personState
	value, sid     string
	epoch, person2 int
	used           *sessionState
	withdrawn      bool
}

type sessionState struct {
	tenant         *tenantState
	person         *personState
	token, sid     string
	epoch, person2 int
	ended          bool
}

func (s *sessionState) live() bool {
	return !s.ended && s.tenant.on && s.epoch == s.tenant.epoch && s.person.on && s.person2 == s.person.epoch
}

func pick[T any](rng *rand.Rand, list []T) (v T, ok bool) {
	if len(list) == 0 {
		return v, false
	}
	return list[rng.IntN(len(list))], true
}

func (w *walker) node() *servertest.Server { return w.nodes[w.rng.IntN(len(w.nodes))] }

func (w *walker) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *walker) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
}

// start walks to the provider and stops before the answer arrives.
func (w *walker) start() {
	t, b := w.tenants[w.rng.IntN(2)], w.rng.IntN(2)
	on := w.browsers[b].On(w.node())
	on.Stop(t.callback)
	p := on.Open(idptest.Start("oidc", "organization", t.slug, "connection", t.connection))
	if at := strings.HasPrefix(p.URL.String(), t.callback); at != t.on {
		w.fail("a beginning: %d %s", p.Status, p.URL)
	}
	if t.on {
		w.rounds = append(w.rounds, &roundState{tenant: t, browser: b, url: p.URL.String()})
		w.note("browser %d begins in %s", b, t.slug)
	}
}

// answer brings a provider's answer, right or wrong.
func (w *walker) answer() {
	recent := w.rounds[max(0, len(w.rounds)-4):]
	r, ok := pick(w.rng, recent)
	if !ok {
		return
	}
	p := r.tenant.people[w.rng.IntN(len(r.tenant.people))]
	sid := fmt.Sprint("sid-", w.rng.Uint64())
	w.person("sub of "+p.email, p.email, object{"sid": sid})
	faults := []string{"", "", "", "", "browser", "down", "nonce", "key", "state", "twice"}
	fault := faults[w.rng.IntN(len(faults))]
	browser, url := r.browser, r.url
	switch fault {
	case "browser":
		browser = 1 - browser
	case "down":
		w.idp.Hook(idptest.Hooks{Handle: map[string]http.HandlerFunc{"/token": func(out http.ResponseWriter,
			_ *http.Request) {
			http.Error(out, "down", http.StatusBadGateway)
		}}})
	case "nonce":
		w.idp.Hook(idptest.Hooks{Claims: func(told map[string]any) { told["nonce"] = "another" }})
	case "key":
		w.idp.Hook(idptest.Hooks{Sign: func(payload []byte) string {
			return idptest.Sign(idptest.RSAKey(1, "rsa-0", "RS256"), payload)
		}})
	case "state":
		url = strings.Replace(url, "state=", "state=x", 1)
	}
	page := w.browsers[browser].On(w.node()).Open(url)
	w.idp.Hook(idptest.Hooks{})
	code := page.Get("code")
	if !page.AtApp() {
		code = ""
	}
	want := fault == "" || fault == "twice"
	want = want && !r.done && r.tenant.on && p.on
	w.note("answer in %s for %s, fault %q, done %t: %t", r.tenant.slug, p.email, fault, r.done, code != "")
	if (code != "") != want {
		w.fail("a code %t, wanted %t: %d %s %s", code != "", want, page.Status, page.URL, w.why())
	}
	if fault != "browser" && fault != "state" {
		r.done = true
	}
	if fault == "twice" {
		if again := w.browsers[browser].On(w.node()).Open(url); again.AtApp() && again.Get("code") != "" {
			w.fail("the answer worked twice: %s", again.URL)
		}
	}
	if code != "" {
		w.codes = append(w.codes, &codeState{tenant: r.tenant, person: p, value: code, sid: sid, epoch: r.tenant.epoch,
			person2: p.epoch})
	}
}

// redeem turns a code into a session, or must not.
func (w *walker) redeem() {
	recent := w.codes[max(0, len(w.codes)-4):]
	c, ok := pick(w.rng, recent)
	if !ok {
		return
	}
	body := object{"code": c.value, "codeVerifier": idptest.Verifier, "redirectUri": idptest.App}
	var changes []servertest.Change
	fault := []string{"", "", "", "verifier", "redirect", "tenant"}[w.rng.IntN(6)]
	switch fault {
	case "verifier":
		body["codeVerifier"] = strings.Repeat("x", 43)
	case "redirect":
		body["redirectUri"] = "https://app.example.com/other"
	case "tenant":
		other := w.tenants[1].slug
		if c.tenant == w.tenants[1] {
			other = w.tenants[0].slug
		}
		changes = append(changes, servertest.Header("X-Tenant-Slug", other))
	}
	r := w.node().Do(w.t, "POST", "/v1/auth/sso/oidc/token", body, changes...)
	fresh := c.used == nil && !c.withdrawn
	standing := c.tenant.on && c.epoch == c.tenant.epoch && c.person.on && c.person2 == c.person.epoch
	w.note("code of %s, fault %q, fresh %t, standing %t: %d", c.person.email, fault, fresh, standing, r.Status)
	if want := fault == "" && fresh && standing; (r.Status == 200) != want {
		w.fail("redeemed %t, wanted %t: %s", r.Status == 200, want, r.Body)
	}
	if r.Status == 200 {
		s := &sessionState{tenant: c.tenant, person: c.person, token: r.String("accessToken"), sid: c.sid,
			epoch: c.epoch, person2: c.person2}
		c.used = s
		w.sessions = append(w.sessions, s)
	} else if c.used != nil { // shown again: what it made is over
		c.used.ended = true
	}
}

// end ends a session, here or at the provider.
func (w *walker) end() {
	s, ok := pick(w.rng, w.sessions)
	if !ok || !s.live() {
		return
	}
	if w.rng.IntN(2) == 0 {
		w.node().Do(w.t, "POST", "/v1/auth/logout", nil, servertest.Bearer(s.token)).Want(w.t, 200)
		w.note("%s signs out", s.person.email)
		for _, other := range w.sessions { // everywhere
			other.ended = other.ended || other.person == s.person
		}
		return
	}
	now := time.Now().Unix()
	payload, err := json.Marshal(object{"iss": w.idp.Issuer, "aud": idptest.ClientID, "iat": now, "exp": now + 60,
		"jti": fmt.Sprint(w.rng.Uint64()), "events": object{logoutEvent: object{}}, "sub": "sub of " + s.person.email,
		"sid": s.sid})
	if err != nil {
		w.t.Fatal(err)
	}
	w.node().PostForm(w.t, "/v1/auth/sso/connections/"+s.tenant.connection+"/backchannel-logout",
		[]string{"logout_token", idptest.Sign(idptest.RSAKey(0, "rsa-0", "RS256"), payload)}).Want(w.t, 200)
	w.note("the provider ends %s of %s", s.sid, s.person.email)
	s.ended = true
	for _, c := range w.codes {
		if c.person == s.person {
			c.withdrawn = true
		}
	}
}

// change switches something off, or on.
func (w *walker) change() {
	t := w.tenants[w.rng.IntN(2)]
	p := t.people[w.rng.IntN(len(t.people))]
	switch w.rng.IntN(3) {
	case 0:
		if t.on = !t.on; !t.on {
			t.epoch++
		}
		w.node().Do(w.t, "PATCH", "/v1/connections/"+t.connection, object{"state": map[bool]string{true: "active",
			false: "off"}[t.on]}, t.admin).Want(w.t, 200)
		w.note("the connection of %s is on: %t", t.slug, t.on)
	case 1:
		if p.on = !p.on; !p.on {
			p.epoch++
		}
		w.node().Do(w.t, "PATCH", "/v1/users/"+p.id, object{"state": map[bool]string{true: "active",
			false: "disabled"}[p.on]}, t.admin).Want(w.t, 200)
		w.note("%s is on: %t", p.email, p.on)
	default:
		r := w.node().Do(w.t, "DELETE", "/v1/users/"+p.id+"/identities/"+t.connection, nil, t.admin)
		if r.Status == 204 {
			p.epoch++
			w.note("%s is unlinked", p.email)
		}
	}
	time.Sleep(100 * time.Millisecond) // the other node hears of it
}

// check compares a session with what must be true of it.
func (w *walker) check(s *sessionState) {
	on := w.node()
	if got := on.Do(w.t, "GET", "/v1/auth/me", nil, servertest.Bearer(s.token)).Status == 200; got != s.live() {
		time.Sleep(time.Second) // the other node hears within a second, at worst
		if got = on.Do(w.t, "GET", "/v1/auth/me", nil, servertest.Bearer(s.token)).Status == 200; got || s.live() {
			w.fail("the session of %s lives: %t, wanted %t", s.person.email, got, s.live())
		}
	}
}

// SSO51: whatever happens in whatever order, at whichever node, there is no session without every check, and none that
// goes on after what let it in is over.
func TestSSO51_Walk(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		w := &walker{house: h, rng: rand.New(rand.NewPCG(seed, 51)), nodes: []*servertest.Server{h.Server,
			servertest.Join(t, h.Config.Database.Reveal(), reaching)}}
		w.browsers = []*idptest.Browser{idptest.NewBrowser(t, h.Server), idptest.NewBrowser(t, h.Server)}
		foreigner := h.As(t, servertest.Foreigner)
		h.Do(t, "PATCH", "/v1/organization", object{"settings": object{"redirectUris": []string{idptest.App}}},
			foreigner).Want(t, 200)
		for _, c := range []struct {
			slug, domain string
			admin        servertest.Change
			names        []string
		}{{"acme-corp", domain, h.admin, []string{"agent", "manager", "enduser"}},
			{"second-tenant", "second-tenant.example", foreigner, []string{"one", "two"}}} {
			h.admin = c.admin
			h.verify(c.domain)
			s := &tenantState{slug: c.slug, admin: c.admin, on: true,
				connection: h.provider(func(b object) { b["ownAddress"] = true })}
			s.callback = servertest.PublicURL + "/v1/auth/sso/connections/" + s.connection + "/callback"
			for _, name := range c.names {
				p := &personState{email: name + "@" + c.domain, on: true}
				if c.slug == "acme-corp" {
					p.id = h.UserID(t, p.email)
				} else {
					p.id = h.Do(t, "POST", "/v1/users", object{"email": p.email, "role": "end_user"}, c.admin).
						Want(t, 201).String("id")
				}
				s.people = append(s.people, p)
			}
			w.tenants = append(w.tenants, s)
		}
		h.admin = w.tenants[0].admin
		for n := 0; n < 400 || len(w.sessions) < 5 && n < 4000; n++ {
			switch n := w.rng.IntN(20); {
			case n < 6:
				w.start()
			case n < 12:
				w.answer()
			case n < 17:
				w.redeem()
			case n < 18:
				w.end()
			case n < 19:
				w.change()
			}
			if s, ok := pick(w.rng, w.sessions); ok {
				w.check(s)
			}
		}
		for _, s := range w.sessions {
			w.check(s)
		}
		if len(w.sessions) < 5 {
			t.Errorf("only %d sessions in %d rounds", len(w.sessions), len(w.rounds))
		}
	})
}

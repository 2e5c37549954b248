package signin

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// person is what the model knows of a user: what they have, and what is demanded of them.
type person struct {
	email, username, slug, id string
	password                  string
	seed                      string // of the confirmed app; empty: none
	codes                     []string
	key                       *servertest.Authenticator
	keyEnrolled               bool
	required, disabled        bool
}

func (p *person) hasFactor() bool { return p.seed != "" || p.keyEnrolled }

// holding is a session that a client has, with what was proven for it.
type holding struct {
	who           *person
	tokens        servertest.Tokens
	item          bool // of the ItemPath door
	second        bool // a second factor was proven, or a passkey
	neededAtStart bool
}

// waiting is a sign-in that a client began.
type waiting struct {
	who    *person
	token  string
	born   time.Time
	tries  int
	used   bool
	proven string // the password
	secret string // of an app that was enrolled under it, not confirmed
	factor string
}

// world is a running installation and what the model knows of it.
type world struct {
	t       *testing.T
	address string
	nodes   []*servertest.Server
	people  []*person
	policy  map[string]string // by slug
	held    []*holding
	waits   []*waiting
	apps    map[string]*servertest.App // of administrators and the operator
}

func options(_ *config.Config, o *server.Options) { // what locks is tested elsewhere
	o.Limits = attempt.DefaultLimits
	o.Limits.AccountFailures, o.Limits.AddressFailures = 100_000, 100_000
}

func newWorld(t *testing.T, address string) *world {
	w := &world{t: t, address: address, policy: map[string]string{"acme-corp": "optional", "second-tenant": "optional"}}
	w.nodes = []*servertest.Server{servertest.New(t, address, options)}
	for slug, domain := range map[string]string{"acme-corp": "acme-corp.example",
		"second-tenant": "second-tenant.example"} {
		for _, name := range []string{"enduser", "agent"} {
			p := &person{email: name + "@" + domain, username: name, slug: slug, password: demo.Password,
				key: servertest.NewAuthenticator(t)}
			p.id = w.node(0).UserID(t, p.email)
			w.people = append(w.people, p)
		}
	}
	slices.SortFunc(w.people, func(a, b *person) int { return strings.Compare(a.email, b.email) })
	for _, admin := range []string{servertest.Admin, servertest.Foreigner} {
		// policies must not shut the administrators out
		w.admin(admin)
	}
	return w
}

func (w *world) node(i int) *servertest.Server { return w.nodes[i%len(w.nodes)] }

func (w *world) forward(d time.Duration) {
	for _, n := range w.nodes {
		n.Clock.Advance(d)
	}
}

func (w *world) code(seed string) string {
	w.forward(30 * time.Second)
	return servertest.CodeAt(w.t, seed, w.nodes[0].Clock.Now())
}

func (w *world) admin(email string) servertest.Change {
	n := w.nodes[0]
	if w.apps == nil {
		w.apps = map[string]*servertest.App{}
	}
	if w.apps[email] == nil {
		w.apps[email] = n.EnrollApp(w.t, n.As(w.t, email))
	}
	w.forward(30 * time.Second)
	r := n.Do(w.t, "POST", "/v1/auth/mfa/verify", map[string]any{"mfaToken": n.FirstStep(w.t, email), "method": "totp",
		"code": servertest.CodeAt(w.t, w.apps[email].Secret, n.Clock.Now())}).Want(w.t, 200)
	return servertest.Bearer(r.String("accessToken"))
}

func (w *world) adminOf(p *person) servertest.Change {
	return w.admin("admin@" + p.email[strings.Index(p.email, "@")+1:])
}

func (w *world) demanded(p *person) bool { return p.required || w.policy[p.slug] == "required" }

// check asks every node for every session whether it opens anything, and whether it may.
func (w *world) check(t *rapid.T) {
	for i, h := range w.held {
		path := "/v1/auth/me"
		if h.item {
			path = "/verify"
		}
		r := w.node(i).Do(w.t, "GET", path, nil, servertest.Bearer(h.tokens.AccessToken))
		if r.Status != 200 {
			continue
		}
		switch {
		case h.who.disabled:
			t.Fatalf("a session of %s, who is disabled, is open", h.who.email)
		case !h.second && h.neededAtStart:
			t.Fatalf("a session of %s is open that began with a password alone, where a second factor was there or "+
				"demanded", h.who.email)
		case !h.second && w.demanded(h.who):
			t.Fatalf("a session of %s of a password alone is open, and a second factor is demanded", h.who.email)
		}
		if acr := claims(h.tokens.AccessToken)["acr"]; (acr == "aal2") && !h.second {
			t.Fatalf("a token of %s says %v and no second factor was proven", h.who.email, acr)
		}
	}
	for _, x := range w.waits { // the token of the first step is no session
		if r := w.node(0).Do(w.t, "GET", "/v1/auth/me", nil, servertest.Bearer(x.token)); r.Status != 401 {
			t.Fatalf("the token of a first step opens /v1/auth/me: %d", r.Status)
		}
	}
}

func claims(token string) map[string]any {
	var c map[string]any
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	json.Unmarshal(raw, &c)
	return c
}

func (w *world) hold(p *person, r servertest.Response, second bool) {
	h := &holding{who: p, second: second, neededAtStart: p.hasFactor() || w.demanded(p)}
	json.Unmarshal(r.Body, &h.tokens)
	w.held = append(w.held, h)
}

func pick[T any](t *rapid.T, list []T, label string) T {
	return rapid.SampledFrom(list).Draw(t, label)
}

// actions are everything that anybody may try, right and wrong.
func (w *world) actions() map[string]func(t *rapid.T) {
	some := func(t *rapid.T) (*servertest.Server, *person) {
		return w.node(rapid.IntRange(0, 3).Draw(t, "node")), pick(t, w.people, "who")
	}
	aWait := func(t *rapid.T) *waiting {
		if len(w.waits) == 0 {
			t.Skip("nobody waits")
		}
		return pick(t, w.waits, "waiting")
	}
	verify := func(t *rapid.T, x *waiting, body map[string]any, right bool) {
		n := w.node(rapid.IntRange(0, 3).Draw(t, "node"))
		body["mfaToken"] = x.token
		changes := []servertest.Change{}
		if rapid.Bool().Draw(t, "another tenant's header") {
			changes = append(changes, servertest.Header("X-Tenant-Slug", "second-tenant"))
		}
		r := n.Do(w.t, "POST", "/v1/auth/mfa/verify", body, changes...)
		live := !x.used && x.tries < 5 && n.Clock.Now().Before(x.born.Add(5*time.Minute)) && !x.who.disabled &&
			x.proven == x.who.password
		x.tries++
		if right && live && body["method"] == "totp" && r.Status != 200 {
			t.Fatalf("a right code of %s: %d %s", x.who.email, r.Status, r.Body)
		}
		if r.Status == 200 {
			if !right || !live {
				t.Fatalf("a second step of %s that was wrong (%v) or whose token was dead (%v) succeeded: %v",
					x.who.email, !right, !live, body["method"])
			}
			x.used = true
			w.hold(x.who, r, true)
		}
	}
	return map[string]func(t *rapid.T){
		"": w.check,
		"password": func(t *rapid.T) {
			n, p := some(t)
			right := rapid.Bool().Draw(t, "right")
			hint := pick(t, []string{"", "acme-corp", "second-tenant"}, "hint")
			body := map[string]any{"email": p.email, "password": p.password}
			if !right {
				body["password"] = "wrong"
			}
			if hint != "" {
				body["organization"] = hint
			}
			r := n.Do(w.t, "POST", "/v1/auth/login", body)
			good := right && (hint == "" || hint == p.slug) && !p.disabled
			need := p.hasFactor() || w.demanded(p)
			switch {
			case !good && (r.Status == 200 || r.Status == 202):
				t.Fatalf("a wrong first step of %s: %d", p.email, r.Status)
			case good && need && r.Status != 202, good && !need && r.Status != 200:
				t.Fatalf("a right first step of %s, who needs a second (%v): %d %s", p.email, need, r.Status, r.Body)
			case r.Status == 202:
				w.waits = append(w.waits, &waiting{who: p, token: r.String("mfaToken"), born: n.Clock.Now(),
					proven: p.password})
			case r.Status == 200:
				w.hold(p, r, false)
			}
		},
		"other doors": func(t *rapid.T) {
			n, p := some(t)
			need := p.hasFactor() || w.demanded(p)
			item := n.Do(w.t, "POST", "/api/users/login",
				map[string]any{"username": p.username, "password": p.password},
				servertest.Header("X-Tenant-Slug", p.slug))
			easy := n.Do(w.t, "GET", "/api/v1/"+p.slug+"/requests", nil, servertest.Password(p.username, p.password))
			if need && (item.Status == 200 || easy.Status == 200) {
				t.Fatalf("%s, who needs a second factor, passes a door that has none: %d, %d", p.email, item.Status,
					easy.Status)
			}
			if item.Status == 200 {
				w.hold(p, item, false)
				w.held[len(w.held)-1].item = true
			}
		},
		"app": func(t *rapid.T) {
			x := aWait(t)
			if x.who.seed == "" {
				t.Skip("no app")
			}
			verify(t, x, map[string]any{"method": "totp", "code": w.code(x.who.seed)}, true)
		},
		"another's app": func(t *rapid.T) {
			x, other := aWait(t), pick(t, w.people, "whose")
			if other == x.who || other.seed == "" {
				t.Skip("no other app")
			}
			verify(t, x, map[string]any{"method": "totp", "code": w.code(other.seed)}, false)
		},
		"guess": func(t *rapid.T) {
			verify(t, aWait(t), map[string]any{"method": pick(t, []string{"totp", "backup_codes"}, "method"),
				"code": pick(t, []string{"000000", "12345678"}, "code")}, false)
		},
		"backup code": func(t *rapid.T) {
			x := aWait(t)
			if len(x.who.codes) == 0 {
				t.Skip("no code")
			}
			code := x.who.codes[0]
			before := len(w.held)
			verify(t, x, map[string]any{"method": "backup_codes", "code": code}, true)
			if len(w.held) > before {
				x.who.codes = x.who.codes[1:]
			}
		},
		"key": func(t *rapid.T) {
			x := aWait(t)
			n := w.node(0)
			options := n.ChallengeOf(w.t, x.who.key, x.token)
			if options.Status != 200 {
				t.Skip("no challenge")
			}
			verify(t, x, map[string]any{"method": "webauthn", "credential": x.who.key.Get(w.t, options).JSON(w.t)},
				x.who.keyEnrolled)
		},
		"passkey": func(t *rapid.T) {
			n, p := some(t)
			if !p.keyEnrolled {
				t.Skip("no key")
			}
			r := n.PasskeyLogin(w.t, p.key)
			if (r.Status == 200) == p.disabled {
				t.Fatalf("a passkey of %s: %d %s", p.email, r.Status, r.Body)
			}
			if r.Status == 200 {
				w.hold(p, r, true)
			}
		},
		"enrol while waiting": func(t *rapid.T) {
			x := aWait(t)
			n := w.node(rapid.IntRange(0, 3).Draw(t, "node"))
			r := n.Do(w.t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, servertest.Bearer(x.token))
			if r.Status == 201 {
				if x.who.hasFactor() || x.used || x.who.disabled {
					t.Fatalf("a first step of %s, who has a factor, opens enrolment", x.who.email)
				}
				x.secret, x.factor = r.String("secret"), r.String("id")
			}
		},
		"confirm while waiting": func(t *rapid.T) {
			x := aWait(t)
			if x.secret == "" {
				t.Skip("nothing enrolled")
			}
			r := w.node(rapid.IntRange(0, 3).Draw(t, "node")).
				Do(w.t, "POST", "/v1/auth/mfa/factors/"+x.factor+"/confirm", map[string]any{"code": w.code(x.secret)},
					servertest.Bearer(x.token))
			if r.Status == 200 {
				if x.who.hasFactor() || x.used || x.who.disabled {
					t.Fatalf("a first step of %s, who has a factor, adds another", x.who.email)
				}
				x.who.seed, x.who.codes = x.secret, codesOf(r)
			}
			x.secret = ""
		},
		"enrol in a session": func(t *rapid.T) {
			if len(w.held) == 0 {
				t.Skip("no session")
			}
			h := pick(t, w.held, "session")
			as := servertest.Bearer(h.tokens.AccessToken)
			n := w.node(rapid.IntRange(0, 3).Draw(t, "node"))
			if h.item {
				n.Do(w.t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, as).Want(w.t, 401)
				return
			}
			if rapid.Bool().Draw(t, "a key") && !h.who.keyEnrolled {
				origin := servertest.Header("Origin", h.who.key.Origin)
				r := n.Do(w.t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "webauthn"}, as, origin)
				if r.Status != 201 {
					return
				}
				if r := n.Do(w.t, "POST", "/v1/auth/mfa/factors/"+r.String("id")+"/confirm",
					map[string]any{"credential": h.who.key.Create(w.t, r).JSON(w.t)}, as, origin); r.Status == 200 {
					h.who.keyEnrolled, h.second = true, true
					h.who.codes = append(h.who.codes, codesOf(r)...)
				}
				return
			}
			r := n.Do(w.t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "totp"}, as)
			if r.Status != 201 {
				return
			}
			c := n.Do(w.t, "POST", "/v1/auth/mfa/factors/"+r.String("id")+"/confirm",
				map[string]any{"code": w.code(r.String("secret"))}, as)
			if c.Status == 200 {
				h.who.seed, h.second = r.String("secret"), true
				h.who.codes = append(h.who.codes, codesOf(c)...)
			}
		},
		"refresh": func(t *rapid.T) {
			if len(w.held) == 0 {
				t.Skip("no session")
			}
			h := pick(t, w.held, "session")
			n := w.node(rapid.IntRange(0, 3).Draw(t, "node"))
			if h.item {
				if r := n.Do(w.t, "GET", "/api/users/refresh", nil,
					servertest.Bearer(h.tokens.RefreshToken)); r.Status == 200 {
					h.tokens.AccessToken = r.String("accessToken")
				}
				return
			}
			if r := n.Do(w.t, "POST", "/v1/auth/refresh",
				map[string]any{"refreshToken": h.tokens.RefreshToken}); r.Status == 200 {
				json.Unmarshal(r.Body, &h.tokens)
			}
		},
		"prove again": func(t *rapid.T) {
			if len(w.held) == 0 {
				t.Skip("no session")
			}
			h := pick(t, w.held, "session")
			r := w.node(0).Do(w.t, "POST", "/v1/auth/reauthenticate", map[string]any{"password": h.who.password},
				servertest.Bearer(h.tokens.AccessToken))
			if r.Status == 200 && h.who.hasFactor() {
				t.Fatalf("%s, who has a second factor, proved themselves by a password", h.who.email)
			}
		},
		"reset": func(t *rapid.T) {
			n, p := some(t)
			before := len(w.all(p.email))
			n.Do(w.t, "POST", "/v1/auth/password/forgot", map[string]any{"email": p.email}).Want(w.t, 202)
			if p.disabled {
				return
			}
			var link string
			for range 25 {
				for _, node := range w.nodes { // any of them sends
					if err := node.Server.Mails.Deliver(w.t.Context()); err != nil {
						w.t.Fatal(err)
					}
				}
				for _, sent := range w.all(p.email)[before:] {
					if strings.Contains(sent.Subject, "Reset") {
						link = servertest.Token(w.t, sent)
					}
				}
				if link != "" {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if link == "" {
				return // five an hour
			}
			password := fmt.Sprintf("another fine passphrase %d", len(w.held)+before)
			r := n.Do(w.t, "POST", "/v1/auth/password/reset", map[string]any{"token": link, "password": password})
			if r.Status == 200 {
				p.password = password
				if strings.Contains(string(r.Body), "oken") {
					t.Fatalf("a reset hands out %s", r.Body)
				}
			}
		},
		"policy": func(t *rapid.T) {
			p := pick(t, w.people, "whose tenant")
			policy := pick(t, []string{"optional", "administrators", "required"}, "policy")
			w.nodes[0].Do(w.t, "PATCH", "/v1/organization", map[string]any{"settings": map[string]any{"mfa": policy}},
				w.adminOf(p)).Want(w.t, 200)
			w.policy[p.slug] = policy
			w.settle()
		},
		"require": func(t *rapid.T) {
			p := pick(t, w.people, "who")
			required := rapid.Bool().Draw(t, "required")
			w.nodes[0].Do(w.t, "PATCH", "/v1/users/"+p.id+"/mfa", map[string]any{"required": required}, w.adminOf(p)).
				Want(w.t, 200)
			p.required = required
			w.settle()
		},
		"administrator's reset": func(t *rapid.T) {
			p := pick(t, w.people, "who")
			w.nodes[0].Do(w.t, "DELETE", "/v1/users/"+p.id+"/mfa", nil, w.adminOf(p)).Want(w.t, 204)
			p.seed, p.codes, p.keyEnrolled = "", nil, false
			w.settle()
		},
		"disable or enable": func(t *rapid.T) {
			p := pick(t, w.people, "who")
			state := map[bool]string{true: "active", false: "disabled"}[p.disabled]
			w.nodes[0].Do(w.t, "PATCH", "/v1/users/"+p.id, map[string]any{"state": state}, w.adminOf(p)).Want(w.t, 200)
			p.disabled = !p.disabled
			w.settle()
		},
		"restart": func(t *rapid.T) {
			if len(w.nodes) >= 3 {
				t.Skip("enough nodes")
			}
			n := servertest.Join(w.t, w.address, options)
			n.Clock.Advance(w.nodes[0].Clock.Now().Sub(n.Clock.Now()))
			w.nodes = append([]*servertest.Server{n}, w.nodes...)
		},
		"time": func(*rapid.T) { w.forward(2 * time.Minute) },
	}
}

// all are the mails of all nodes to an address: any of them sends.
func (w *world) all(address string) (out []mail.Mail) {
	for _, n := range slices.Backward(w.nodes) {
		out = append(out, n.Mails.To(address)...)
	}
	return out
}

// settle waits until every node has heard of a change.
func (w *world) settle() {
	if len(w.nodes) > 1 {
		time.Sleep(60 * time.Millisecond)
	}
}

func codesOf(r servertest.Response) []string {
	var v struct{ BackupCodes []string }
	json.Unmarshal(r.Body, &v)
	return v.BackupCodes
}

// ATK50, A27, A28: whatever anybody does in whatever order, through every door, with restarts, two clients and tenants:
// nobody reaches full rights without the factors that are required.
func TestATK50_NoStepIsSkipped(t *testing.T) {
	t.Parallel()
	flag.Set("rapid.checks", "12")
	flag.Set("rapid.steps", "40")
	flag.Set("rapid.shrinktime", "10s")
	for engine, open := range map[string]func(t testing.TB) string{"sqlite": sqldbtest.SQLite,
		"postgres": sqldbtest.Postgres} {
		if engine == "postgres" && os.Getenv(sqldbtest.PostgresEnv) == "" {
			continue
		}
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) { newWorld(t, open(t)).walk(rt) })
		})
	}
}

func (w *world) walk(t *rapid.T) { t.Repeat(w.actions()) }

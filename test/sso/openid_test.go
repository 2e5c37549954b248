package sso

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// why gives the check that the last refused sign-in failed at, from the audit log.
func (h *house) why() string {
	h.t.Helper()
	r := h.Do(h.t, "GET", "/v1/audit-events?act=identity.refused&limit=1", nil, h.admin).Want(h.t, 200)
	var list struct {
		Data []struct {
			Details map[string]string `json:"details"`
		} `json:"data"`
	}
	r.Into(h.t, &list)
	if len(list.Data) == 0 {
		return "nothing was refused"
	}
	return list.Data[0].Details["check"]
}

// claims is a table of what an ID token may say wrongly, and the check that must catch it.
type claims struct {
	name  string
	check string // empty: it passes
	edit  func(told object)
}

func set(name string, v any) func(object) { return func(told object) { told[name] = v } }
func drop(name string) func(object)       { return func(told object) { delete(told, name) } }

func (h *house) table(rows []claims) {
	h.t.Helper()
	for _, c := range rows {
		h.idp.Hook(idptest.Hooks{Claims: c.edit})
		p := h.start()
		if c.check == "" {
			if p.Get("code") == "" {
				h.t.Errorf("%s: %d %s (%s)", c.name, p.Status, p.URL, h.why())
			}
			continue
		}
		h.refused(p, "access_denied")
		if got := h.why(); got != c.check {
			h.t.Errorf("%s: refused for %s, want %s", c.name, got, c.check)
		}
	}
	h.idp.Hook(idptest.Hooks{})
}

// SSO04, SSO11, SSO12, ATK14, A22: each claim of an ID token, missing and wrong.
func TestSSO04_SSO11_SSO12_A22_Claims(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		now := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
		h.table([]claims{
			{"good", "", nil},
			{"no nonce", "nonce", drop("nonce")},
			{"another nonce", "nonce", set("nonce", "x")},
			{
				"an empty nonce",
				"nonce",
				set("nonce", ""),
			},
			{"a nonce that is a list", "nonce", set("nonce", []string{"x"})},
			{"no audience", "audience", drop("aud")},
			{"another audience", "audience", set("aud", "other")},
			{
				"an empty audience",
				"audience",
				set("aud", ""),
			},
			{"none of several", "audience", set("aud", []string{"a", "b"})},
			{"audience as an object", "audience", set("aud", object{"gatehouse": true})},
			{"a list of one", "", set("aud", []string{"gatehouse"})},
			{"several without azp", "authorized_party", set("aud", []string{"gatehouse", "other"})},
			{"several, ours in azp", "", func(told object) {
				told["aud"], told["azp"] = []string{"gatehouse", "other"}, "gatehouse"
			}},
			{"several, another in azp", "authorized_party", func(told object) {
				told["aud"], told["azp"] = []string{"gatehouse", "other"}, "other"
			}},
			{"another azp", "authorized_party", set("azp", "other")},
			{"our azp", "", set("azp", "gatehouse")},
			{"a null azp", "authorized_party", set("azp", nil)},
			{"no issuer", "issuer", drop("iss")},
			{"another issuer", "issuer", set("iss", "https://idp.example.com")},
			{"issuer with a slash", "issuer", set("iss", h.idp.Issuer+"/")},
			{"issuer in a list", "issuer", set("iss", []string{h.idp.Issuer})},
			{"no exp", "expiry", drop("exp")},
			{"expired", "expiry", set("exp", now(-3*time.Minute))},
			{"just expired", "", set("exp", now(-time.Minute))},
			{"exp as text", "expiry", set("exp", "9999999999")},
			{"no iat", "issued_at", drop("iat")},
			{"in the future", "issued_at", set("iat", now(3*time.Minute))},
			{"a little in the future", "", set("iat", now(time.Minute))},
			{"too old", "issued_at", set("iat", now(-11*time.Minute))},
			{"not old", "", set("iat", now(-8*time.Minute))},
			{"not yet", "not_before", set("nbf", now(3*time.Minute))},
			{"nbf as text", "not_before", set("nbf", "1")},
			{"soon", "", set("nbf", now(time.Minute))},
			{"no subject", "subject", drop("sub")},
			{"an empty subject", "subject", set("sub", "")},
			{"a number as subject", "subject", set("sub", 7)},
			{"a long subject", "subject", set("sub", strings.Repeat("x", 256))},
			{"another access token", "at_hash", set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
			{"no at_hash", "", drop("at_hash")},
		})
		// a member that is there twice is no JSON that two parsers read alike
		h.idp.Hook(idptest.Hooks{Sign: func(payload []byte) string {
			return idptest.Sign(
				idptest.RSAKey(0, "rsa-0", "RS256"),
				append([]byte(`{"sub":"other",`), payload[1:]...),
			)
		}})
		h.refused(h.start(), "access_denied")
		if h.why() != "claims" {
			t.Errorf("refused for %s", h.why())
		}
	})
}

// SSO05, check 3: the answer's iss must be the provider's, and is missed where discovery announces it.
func TestSSO05_ResponseIssuer(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		for name, edit := range map[string]func(asked, answer url.Values){
			"missing": func(_, a url.Values) { a.Del("iss") }, "wrong": func(_, a url.Values) {
				a.Set("iss",
					"https://x")
			},
			"empty":      func(_, a url.Values) { a.Set("iss", "") },
			"with slash": func(_, a url.Values) { a.Set("iss", h.idp.Issuer+"/") },
		} {
			h.idp.Hook(idptest.Hooks{Authorize: edit})
			h.refused(h.start(), "access_denied")
			if h.why() != "response_issuer" {
				t.Errorf("%s: %s", name, h.why())
			}
		}
		if n := h.idp.Asked("/token"); n != 0 {
			t.Errorf("a code was sent to a token endpoint %d times", n)
		}
		// what the provider says went wrong leads back, without a word of its own
		for said, want := range map[string]string{"access_denied": "access_denied", "login_required": "login_required",
			"invalid_scope": "server_error", "<script>": "server_error"} {
			h.idp.Hook(idptest.Hooks{Authorize: func(_, a url.Values) {
				a.Del("code")
				a.Set("error", said)
				a.Set("error_description", "call 555 to unlock")
			}})
			p := h.start()
			h.refused(p, want)
			if strings.Contains(p.URL.RawQuery, "555") || strings.Contains(p.URL.RawQuery, "script") {
				t.Errorf("%s", p.URL)
			}
		}
	})
}

// SSO10, ATK13, ATK36–ATK38, check 9: algorithms and keys are the connection's, whatever the token says.
func TestSSO10_Signatures(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		b64 := base64.RawURLEncoding.EncodeToString
		foreign := idptest.RSAKey(1, "rsa-0", "RS256")
		public := idptest.RSA(0).PublicKey.N.Bytes()
		for name, sign := range map[string]func([]byte) string{
			"alg none": func(p []byte) string {
				return b64([]byte(`{"alg":"none","kid":"rsa-0"}`)) + "." + b64(p) + "."
			},
			"HMAC with the public key": func(p []byte) string {
				return idptest.Sign(jose.JSONWebKey{Key: public, KeyID: "rsa-0", Algorithm: "HS256"}, p)
			},
			"HMAC with the client secret": func(p []byte) string {
				return idptest.Sign(jose.JSONWebKey{Key: []byte(idptest.ClientSecret + strings.Repeat("x", 32)),
					KeyID: "rsa-0", Algorithm: "HS256"}, p)
			},
			"another key under the same kid": func(p []byte) string { return idptest.Sign(foreign, p) },
			"an algorithm that is not the connection's": func(p []byte) string {
				return idptest.Sign(idptest.RSAKey(0, "rsa-0", "RS512"), p)
			},
			"a key in the token": func(p []byte) string {
				s, err := jose.NewSigner(jose.SigningKey{Algorithm: "RS256", Key: idptest.RSA(1)},
					&jose.SignerOptions{EmbedJWK: true})
				if err != nil {
					t.Fatal(err)
				}
				jws, err := s.Sign(p)
				if err != nil {
					t.Fatal(err)
				}
				out, _ := jws.CompactSerialize()
				return out
			},
			"an unknown kid": func(p []byte) string { return idptest.Sign(idptest.RSAKey(0, "other", "RS256"), p) },
			"nested":         func(p []byte) string { return "eyJhbGciOiJSUzI1NiJ9.." + b64(p) },
			"JSON form": func(p []byte) string {
				return `{"payload":"` + b64(p) + `","protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AAAA"}`
			},
			"a payload that was edited": func(p []byte) string {
				parts := strings.Split(idptest.Sign(idptest.RSAKey(0, "rsa-0", "RS256"), p), ".")
				return parts[0] + "." + b64([]byte(strings.Replace(string(p), "sub-agent", "sub-admin",
					1))) + "." + parts[2]
			},
		} {
			h.idp.Hook(idptest.Hooks{Sign: sign})
			h.refused(h.start(), "access_denied")
			if got := h.why(); got != "signature" {
				t.Errorf("%s: refused for %s", name, got)
			}
		}
		h.idp.Hook(idptest.Hooks{})
		// each algorithm that the connection names
		small, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []struct {
			key  jose.JSONWebKey
			good bool
		}{{idptest.RSAKey(0, "k1", "PS256"), true}, {idptest.ECKey("k2"), true},
			{idptest.RSAKey(0, "k3", "RS384"), true},
			{jose.JSONWebKey{Key: small, KeyID: "k4", Algorithm: "RS256", Use: "sig"}, false}} {
			idp := idptest.NewProvider(t)
			idp.SignWith(a.key)
			idp.Hook(idptest.Hooks{Claims: drop("at_hash")}) // whose hash is another with each algorithm
			idp.Person(object{"sub": "sub-" + a.key.KeyID, "email": servertest.Agent, "email_verified": true})
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"clientSecret": idptest.ClientSecret,
				"openId": object{"issuer": idp.Issuer, "clientId": "gatehouse",
					"signingAlgorithms": []string{"PS256", "ES256", "RS384", "RS256"}}}, h.admin).Want(t, 200)
			p := h.start()
			if (p.Get("error") == "access_denied" && h.why() == "account" || p.Get("code") != "") != a.good {
				t.Errorf("%s: %s %s", a.key.Algorithm, p.URL, h.why())
			}
		}
		for _, wrong := range []string{"none", "HS256", "RS1", ""} {
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"openId": object{"issuer": h.idp.Issuer, "clientId": "x",
				"signingAlgorithms": []string{wrong}}}, h.admin).Want(t, 400)
		}
	})
}

// SSO37, check 20: an unknown kid is looked for once in five minutes, however many ask; a provider that is away is
// asked nothing, and its last good keys hold.
func TestSSO37_Keys(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.provider(nil)
		h.verify(domain)
		h.person("sub-agent", servertest.Agent, nil)
		h.signIn()
		before := h.idp.Asked("/keys")
		h.idp.Hook(idptest.Hooks{Sign: func(p []byte) string {
			return idptest.Sign(idptest.RSAKey(0, "nobody's", "RS256"), p)
		}})
		h.Clock.Advance(6 * time.Minute) // the first fetch is past its pause
		h.idp.Hook(idptest.Hooks{Claims: nil, Sign: func(p []byte) string {
			var told object
			_ = json.Unmarshal(p, &told)
			told["iat"], told["exp"] = h.Clock.Now().Unix(), h.Clock.Now().Add(5*time.Minute).Unix()
			p, _ = json.Marshal(told)
			return idptest.Sign(idptest.RSAKey(0, "nobody's", "RS256"), p)
		}})
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				if p := h.start(); p.Get("code") != "" {
					t.Errorf("%s", p.URL)
				}
			})
		}
		wg.Wait()
		if n := h.idp.Asked("/keys") - before; n != 1 {
			t.Errorf("the keys were asked for %d times", n)
		}
		// the provider's own documents are away; what was good holds for a day
		fresh := func(p []byte) string {
			var told object
			_ = json.Unmarshal(p, &told)
			told["iat"], told["exp"] = h.Clock.Now().Unix(), h.Clock.Now().Add(5*time.Minute).Unix()
			p, _ = json.Marshal(told)
			return idptest.Sign(idptest.RSAKey(0, "rsa-0", "RS256"), p)
		}
		away := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) }
		h.idp.Hook(idptest.Hooks{Sign: fresh, Handle: map[string]http.HandlerFunc{"/keys": away,
			"/.well-known/openid-configuration": away}})
		h.Clock.Advance(2 * time.Hour)
		if p := h.start(); p.Get("code") == "" {
			t.Errorf("%s %s", p.URL, h.why())
		}
		h.Clock.Advance(25 * time.Hour)
		h.admin = h.As(t, servertest.Admin)
		if p := h.start(); p.Status != 503 || p.AtApp() {
			t.Errorf("%d %s", p.Status, p.URL)
		}
		h.idp.Hook(idptest.Hooks{Sign: fresh})
		h.Clock.Advance(11 * time.Second)
		if p := h.start(); p.Get("code") == "" {
			t.Errorf("it is back: %d %s %s", p.Status, p.URL, h.why())
		}
	})
}

// A22, check 12: what the userinfo endpoint says is added, for the same person only; the token endpoint's refusals are
// told to administrators alone.
func TestA22_UserInfo(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		c := h.provider(func(b object) { b["openId"].(object)["userInfo"] = true })
		h.verify(domain)
		h.idp.Person(object{"sub": "sub-agent"})
		h.idp.Hook(
			idptest.Hooks{UserInfo: object{"sub": "sub-agent", "email": servertest.Agent, "email_verified": true}})
		if r := h.signIn(); r.String("user.email") != servertest.Agent {
			t.Errorf("%s", r.Body)
		}
		h.idp.Hook(
			idptest.Hooks{UserInfo: object{"sub": "sub-other", "email": servertest.Agent, "email_verified": true}})
		h.refused(h.start(), "access_denied")
		if h.why() != "userinfo_subject" {
			t.Errorf("%s", h.why())
		}
		h.idp.Hook(idptest.Hooks{UserInfo: object{"email": servertest.Agent}})
		h.refused(h.start(), "access_denied")
		h.idp.Hook(idptest.Hooks{Token: func(a map[string]any) { delete(a, "id_token") }})
		h.refused(h.start(), "access_denied")
		if h.why() != "id_token" {
			t.Errorf("%s", h.why())
		}
		h.idp.Hook(idptest.Hooks{})
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"clientSecret": "another"}, h.admin).Want(t, 200)
		h.refused(h.start(), "access_denied")
		if h.why() != "code" {
			t.Errorf("%s", h.why())
		}
		for _, method := range []string{"client_secret_post", "client_secret_basic"} {
			h.Do(t, "PATCH", "/v1/connections/"+c, object{"clientSecret": idptest.ClientSecret,
				"openId": object{"issuer": h.idp.Issuer, "clientId": "gatehouse", "tokenEndpointAuthMethod": method}},
				h.admin).Want(t, 200)
			if p := h.start(); p.Get("code") == "" {
				t.Errorf("%s: %s %s", method, p.URL, h.why())
			}
		}
	})
}

const tenant = "8d3f5a10-4f6e-4f0e-9d58-0a8b1c2d3e4f"

// entra makes the provider Entra ID's: its cloud, and Graph.
func (h *house) entra(change func(body object)) string {
	h.t.Helper()
	h.idp.Issuer = h.idp.URL + "/" + tenant + "/v2.0"
	return h.connect(h.idp.Issuer, func(b object) {
		b["kind"] = "azure-ad"
		b["openId"] = object{"tenantId": tenant, "authority": h.idp.URL, "clientId": idptest.ClientID}
		if change != nil {
			change(b)
		}
	})
}

func (h *house) startEntra() idptest.Page {
	return idptest.NewBrowser(h.t, h.Server).Open(idptest.Start("azure-ad", "organization", "acme-corp"))
}

// SSO13, SSO14, SSO15, ATK11, ATK12: who somebody is at Entra ID are tenant and object; an address is worth something
// only if the tenant verified its domain.
func TestSSO13_SSO14_SSO15_Entra(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.entra(nil)
		h.verify(domain)
		person := func(more object) {
			told := object{"sub": "pairwise", "tid": tenant, "oid": "object-1", "email": servertest.Agent,
				"xms_edov": true, "preferred_username": servertest.Admin, "upn": servertest.Admin}
			for k, v := range more {
				if told[k] = v; v == nil {
					delete(told, k)
				}
			}
			h.idp.Person(told)
		}
		for name, c := range map[string]struct {
			more  object
			check string
		}{
			"another tenant":              {object{"tid": "11111111-2222-4333-8444-555555555555"}, "tenant"},
			"no tenant":                   {object{"tid": nil}, "tenant"},
			"no object":                   {object{"oid": nil}, "object_id"},
			"consumers":                   {object{"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}, "tenant"},
			"the v1 issuer":               {object{"iss": "https://sts.windows.net/" + tenant + "/"}, "issuer"},
			"the template":                {object{"iss": h.idp.URL + "/{tenantid}/v2.0"}, "issuer"},
			"edov as text":                {object{"xms_edov": "1"}, "account"},
			"edov as word":                {object{"xms_edov": "true"}, "account"},
			"edov false":                  {object{"xms_edov": false}, "account"},
			"edov 0":                      {object{"xms_edov": 0}, "account"},
			"edov in a list":              {object{"xms_edov": []bool{true}}, "account"},
			"no edov":                     {object{"xms_edov": nil}, "account"},
			"no edov, but email_verified": {object{"xms_edov": nil, "email_verified": true}, "account"},
		} {
			person(c.more)
			h.refused(h.startEntra(), "access_denied")
			if got := h.why(); got != c.check {
				t.Errorf("%s: refused for %s, want %s", name, got, c.check)
			}
		}
		for _, edov := range []any{true, 1} {
			person(object{"xms_edov": edov, "oid": "object-1"})
			p := h.startEntra()
			if p.Get("code") == "" {
				t.Fatalf("%v: %s %s", edov, p.URL, h.why())
			}
			r := h.Do(t, "POST", "/v1/auth/sso/azure-ad/token", object{"code": p.Get("code"),
				"codeVerifier": idptest.Verifier, "redirectUri": idptest.App}).Want(t, 200)
			if r.String("user.email") != servertest.Agent || r.String("user.ssoProvider") != "azure-ad" {
				t.Errorf("%s", r.Body)
			}
		}
		// the same object with the same name in another registration is the same person; another object is nobody
		person(object{"sub": "another pairwise"})
		if p := h.startEntra(); p.Get("code") == "" {
			t.Errorf("%s %s", p.URL, h.why())
		}
		person(object{"oid": "object-2"})
		h.refused(h.startEntra(), "access_denied")

		for name, o := range map[string]object{
			"common": {"tenantId": "common", "clientId": "x"}, "organizations": {"tenantId": "organizations",
				"clientId": "x"},
			"no tenant":    {"clientId": "x"},
			"consumers":    {"tenantId": "9188040d-6c67-4c5b-b112-36a304b66dad", "clientId": "x"},
			"braces":       {"tenantId": "{" + tenant + "}", "clientId": "x"},
			"other cloud":  {"tenantId": tenant, "authority": "https://login.example.com", "clientId": "x"},
			"other issuer": {"issuer": "https://idp.example.com", "clientId": "x"},
		} {
			if r := h.Do(t, "POST", "/v1/connections", object{"kind": "azure-ad", "name": "x", "clientSecret": "x",
				"openId": o}, h.admin); r.Status != 400 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		h.Do(t, "POST", "/v1/connections", object{
			"kind":         "azure-ad",
			"name":         "x",
			"clientSecret": "x",
			"openId": object{
				"tenantId": tenant,
				"clientId": "x",
			},
			"trust": object{"email": true},
		}, h.admin).Want(t, 400)
	})
}

// SSO16: groups that are left out of a token are read from Graph, at the cloud's own address; when that fails the last
// known ones hold, and never none.
func TestSSO16_Overage(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.entra(func(b object) {
			b["roles"] = object{"rules": []object{{"group": "g-managers", "role": "service_desk_manager"}},
				"default": "end_user"}
		})
		h.verify(domain)
		graph := "/graph/v1.0/users/object-1/getMemberObjects"
		in := []string{"g-others", "g-managers"}
		h.idp.Hook(idptest.Hooks{Handle: map[string]http.HandlerFunc{
			graph: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer app-gatehouse" || r.Method != "POST" {
					http.Error(w, "no", http.StatusUnauthorized)
					return
				}
				_ = json.NewEncoder(w).Encode(object{"value": in[:1], "@odata.nextLink": h.idp.URL + "/graph/next"})
			},
			"/graph/next": func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(object{"value": in[1:]})
			},
			"/elsewhere": func(http.ResponseWriter, *http.Request) { t.Error("the token's own address was asked") },
		}})
		person := func(more object) {
			told := object{
				"sub":      "pairwise",
				"tid":      tenant,
				"oid":      "object-1",
				"email":    servertest.Agent,
				"xms_edov": true,
			}
			for k, v := range more {
				told[k] = v
			}
			h.idp.Person(told)
		}
		role := func() string {
			t.Helper()
			p := h.startEntra()
			if p.Get("code") == "" {
				return p.Get("error")
			}
			return h.Do(t, "POST", "/v1/auth/sso/azure-ad/token", object{"code": p.Get("code"),
				"codeVerifier": idptest.Verifier, "redirectUri": idptest.App}).Want(t, 200).String("user.role")
		}
		forms := []object{
			{
				"_claim_names":   object{"groups": "src1"},
				"_claim_sources": object{"src1": object{"endpoint": h.idp.URL + "/elsewhere"}},
			},
			{"hasgroups": true},
			{"http://schemas.microsoft.com/claims/groups.link": h.idp.URL + "/elsewhere"},
		}
		for i, form := range forms {
			person(form)
			if got := role(); got != "service_desk_manager" {
				t.Errorf("form %d: %s %s", i, got, h.why())
			}
		}
		// in the token
		person(object{"groups": []string{"g-others"}})
		if got := role(); got != "end_user" {
			t.Errorf("%s", got)
		}
		person(object{"groups": []string{"g-managers"}})
		if got := role(); got != "service_desk_manager" {
			t.Errorf("%s", got)
		}
		// Graph is down: the last known ones hold
		h.idp.Hook(idptest.Hooks{Handle: map[string]http.HandlerFunc{
			graph: func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "busy",
					http.StatusServiceUnavailable)
			},
		}})
		person(object{"hasgroups": true})
		if got := role(); got != "service_desk_manager" {
			t.Errorf("Graph is down: %s", got)
		}
		// and of somebody nothing is known
		h.idp.Person(
			object{"sub": "p", "tid": tenant, "oid": "object-9", "email": servertest.EndUser, "xms_edov": true,
				"hasgroups": true},
		)
		if got := role(); got != "temporarily_unavailable" {
			t.Errorf("nothing is known: %s", got)
		}
		// a next page elsewhere is not asked for
		h.idp.Hook(idptest.Hooks{Handle: map[string]http.HandlerFunc{
			graph: func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).
					Encode(object{"value": []string{}, "@odata.nextLink": h.idp.URL + "/elsewhere"})
			},
			"/elsewhere": func(http.ResponseWriter, *http.Request) { t.Error("another address was asked") }}})
		person(object{"hasgroups": true})
		if got := role(); got != "service_desk_manager" {
			t.Errorf("%s", got)
		}
	})
}

// SSO17: Google's people are those of the Workspace domains that are listed; both spellings of the issuer are
// Google's.
func TestSSO17_Google(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.connect("", func(b object) {
			b["kind"] = "google"
			b["openId"] = object{"hostedDomains": []string{domain, "second.example"}, "clientId": idptest.ClientID}
		})
		h.verify(domain)
		person := func(more object) {
			told := object{"sub": "google-1", "email": servertest.Agent, "email_verified": true, "hd": domain}
			for k, v := range more {
				if told[k] = v; v == nil {
					delete(told, k)
				}
			}
			h.idp.Person(told)
		}
		for name, c := range map[string]struct {
			more  object
			check string
		}{
			"a private account": {object{"hd": nil}, "hosted_domain"},
			"another domain":    {object{"hd": "other.example"}, "hosted_domain"},
			"a list":            {object{"hd": []string{domain}}, "hosted_domain"},
			"in capitals":       {object{"hd": "ACME-CORP.EXAMPLE"}, "hosted_domain"},
			"not verified":      {object{"email_verified": false}, "email_verified"},
			"verified, text":    {object{"email_verified": "true"}, "email_verified"},
			"nothing said":      {object{"email_verified": nil}, "email_verified"},
			"another issuer":    {object{"iss": "accounts.google.com"}, "issuer"},
			"good":              {nil, ""}, "second domain": {object{"hd": "second.example"}, ""},
		} {
			person(c.more)
			p := idptest.NewBrowser(t, h.Server).Open(idptest.Start("google", "organization", "acme-corp"))
			switch {
			case c.check == "" && p.Get("code") == "":
				t.Errorf("%s: %s %s", name, p.URL, h.why())
			case c.check != "":
				h.refused(p, "access_denied")
				if got := h.why(); got != c.check {
					t.Errorf("%s: refused for %s, want %s", name, got, c.check)
				}
			}
		}
		h.Do(t, "POST", "/v1/connections", object{"kind": "google", "name": "x", "clientSecret": "x",
			"openId": object{"clientId": "x"}}, h.admin).Want(t, 400)
	})
}

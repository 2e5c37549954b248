package sso

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO18, A25: Google's groups are read from the directory with a service account, by its own role or as an
// administrator, nested ones by walking up, page by page; when that fails the last known ones hold, and never none.
func TestSSO18_A25_GoogleGroups(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(idptest.RSA(2))
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(object{"type": "service_account", "client_email": "reader@project.example",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, h *house) {
		rules := object{"rules": []object{{"group": "chiefs@" + domain, "role": "service_desk_manager"}},
			"default": "end_user"}
		openID := object{"hostedDomains": []string{domain}, "clientId": idptest.ClientID}
		body := object{
			"kind":         "google",
			"name":         "x",
			"clientSecret": idptest.ClientSecret,
			"openId":       openID,
			"roles":        rules,
		}
		h.Do(t, "POST", "/v1/connections", body, h.admin).Want(t, 400) // no token has groups
		openID["directory"] = object{}
		h.Do(t, "POST", "/v1/connections", body, h.admin).Want(t, 400) // and nobody could ask for them
		body["serviceAccount"] = string(account)
		c := h.connect("", func(b object) {
			for k, v := range body {
				b[k] = v
			}
		})
		h.verify(domain)
		h.idp.Person(object{"sub": "google-1", "email": servertest.Agent, "email_verified": true, "hd": domain})
		groups := map[string][]string{"google-1": {"team@" + domain, "others@" + domain},
			"team@" + domain: {"chiefs@" + domain}, "chiefs@" + domain: {"team@" + domain}}
		var status atomic.Int32
		var subject atomic.Value
		serve := func() {
			h.idp.Hook(idptest.Hooks{Handle: map[string]http.HandlerFunc{
				"/directory/admin/directory/v1/groups": func(w http.ResponseWriter, r *http.Request) {
					if code := int(status.Load()); code != 0 {
						http.Error(w, "no", code)
						return
					}
					token, err := jose.ParseSignedCompact(
						strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer grant-"),
						[]jose.SignatureAlgorithm{"RS256"})
					if err != nil {
						t.Error(err)
						return
					}
					payload, err := token.Verify(&idptest.RSA(2).PublicKey)
					var told object
					if err != nil || json.Unmarshal(payload, &told) != nil || told["iss"] != "reader@project.example" ||
						told["aud"] != h.idp.URL+"/token" ||
						!strings.HasSuffix(told["scope"].(string), "group.readonly") {
						t.Errorf("%v %s", err, payload)
					}
					subject.Store(told["sub"])
					list, page := groups[r.URL.Query().Get("userKey")], r.URL.Query().Get("pageToken")
					answer := object{"groups": []object{}}
					if len(list) > 1 && page == "" {
						list, answer["nextPageToken"] = list[:1], "2"
					} else if page != "" {
						list = list[1:]
					}
					for _, g := range list {
						answer["groups"] = append(answer["groups"].([]object),
							object{"email": g, "name": "chiefs@" + domain})
					}
					_ = json.NewEncoder(w).Encode(answer)
				},
				"/identity/v1/groups/-/memberships:searchDirectGroups": func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer at-") {
						t.Error("not the person's own token")
					}
					_ = json.NewEncoder(w).
						Encode(object{"memberships": []object{{"groupKey": object{"id": "chiefs@" + domain}}}})
				},
			}, Claims: func(told map[string]any) {
				told["iat"], told["exp"] = h.Clock.Now().Unix(), h.Clock.Now().Add(time.Minute).Unix()
			}})
		}
		serve()
		role := func() string {
			t.Helper()
			p := idptest.NewBrowser(t, h.Server).Open(idptest.Start("google", "organization", "acme-corp"))
			if p.Get("code") == "" {
				return p.Get("error")
			}
			return h.Do(t, "POST", "/v1/auth/sso/google/token", object{"code": p.Get("code"),
				"codeVerifier": idptest.Verifier, "redirectUri": idptest.App}).Want(t, 200).String("user.role")
		}
		if got := role(); got != "service_desk_manager" || subject.Load() != "reader@project.example" {
			t.Errorf("%s as %v, %s", got, subject.Load(), h.why())
		}
		for _, code := range []int32{403, 429, 500} {
			h.Clock.Advance(6 * time.Minute)
			status.Store(code)
			if got := role(); got != "service_desk_manager" {
				t.Errorf("%d: %s", code, got)
			}
		}
		status.Store(0)
		h.Clock.Advance(6 * time.Minute)
		delete(groups, "team@"+domain)
		if got := role(); got != "end_user" {
			t.Errorf("%s", got)
		}
		groups["team@"+domain] = []string{"chiefs@" + domain}
		if got := role(); got != "end_user" { // read a moment ago
			t.Errorf("%s", got)
		}
		h.admin = h.As(t, servertest.Admin)
		openID["directory"] = object{"delegateAs": "boss@" + domain}
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"openId": openID}, h.admin).Want(t, 200)
		if got := role(); got != "service_desk_manager" || subject.Load() != "boss@"+domain {
			t.Errorf("%s as %v", got, subject.Load())
		}
		openID["directory"] = object{"ownToken": true}
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"openId": openID}, h.admin).Want(t, 400) // the scope is missing
		openID["scopes"] = []string{"openid", "email", "profile",
			"https://www.googleapis.com/auth/cloud-identity.groups.readonly"}
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"openId": openID}, h.admin).Want(t, 200)
		if got := role(); got != "service_desk_manager" {
			t.Errorf("%s %s", got, h.why())
		}
		// somebody of whom nothing is known
		status.Store(500)
		openID["directory"] = object{}
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"openId": openID}, h.admin).Want(t, 200)
		h.idp.Person(object{"sub": "google-2", "email": servertest.EndUser, "email_verified": true, "hd": domain})
		if got := role(); got != "temporarily_unavailable" {
			t.Errorf("%s", got)
		}
		if shown := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin); strings.Contains(string(shown.Body),
			"PRIVATE") {
			t.Error("the service account is shown")
		}
	})
}

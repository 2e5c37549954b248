package sso

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO46, SSO47, B10, A27: an ItemPath front end signs in by the code of a company sign-in, or by an access token of
// Entra ID for our API: once, fresh, of a listed front end and a person. Whoever needs a second factor is refused as
// ItemPath refuses.
func TestSSO46_SSO47_B10_ItemPath(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const api, front = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
		c := h.entra(func(b object) {
			b["openId"].(object)["msal"] = object{
				"audience":  api,
				"clientIds": []string{front},
				"scope":     "itempath.use",
			}
		})
		h.verify(domain)
		h.idp.Person(
			object{"sub": "p", "tid": tenant, "oid": "object-1", "email": servertest.Agent, "xms_edov": true})
		shape := h.Do(t, "POST", "/api/users/login", object{"username": "agent", "password": "wrong"})
		good := func(r servertest.Response) servertest.Change {
			t.Helper()
			r.Want(t, 200)
			for _, key := range []string{"login", "accessToken", "refreshToken", "id", "username", "isAdmin",
				"accessExpiryDate",
				"refreshExpiryDate", "viewId", "timeZone"} {
				if !strings.Contains(string(r.Body), `"`+key+`"`) {
					t.Errorf("no %s in %s", key, r.Body)
				}
			}
			return servertest.Bearer(r.String("accessToken"))
		}
		bad := func(what string, r servertest.Response) {
			t.Helper()
			if r.Status != shape.Status || string(r.Body) != string(shape.Body) {
				t.Errorf("%s: %d %s, not %s", what, r.Status, r.Body, shape.Body)
			}
		}
		code := h.startEntra().Get("code")
		body := object{"code": code, "codeVerifier": idptest.Verifier, "redirectUri": idptest.App}
		as := good(h.Do(t, "POST", "/api/users/login/sso", body))
		h.Do(t, "GET", "/v1/auth/sessions", nil, as).Want(t, 401) // it is an ItemPath session
		h.Do(t, "GET", "/verify", nil, as).Want(t, 200)
		bad("the code again", h.Do(t, "POST", "/api/users/login/sso", body))
		h.Do(t, "GET", "/verify", nil, as).Want(t, 401)

		n := 0
		token := func(change object) string {
			now := time.Now()
			n++
			told := object{"iss": h.idp.Issuer, "aud": api, "azp": front, "scp": "other itempath.use", "ver": "2.0",
				"tid": tenant, "oid": "object-1", "sub": "p", "iat": now.Unix(), "nbf": now.Unix(),
				"exp": now.Add(time.Hour).Unix(), "uti": strings.Repeat("u", n)}
			for k, v := range change {
				if told[k] = v; v == nil {
					delete(told, k)
				}
			}
			raw, err := json.Marshal(told)
			if err != nil {
				t.Fatal(err)
			}
			return idptest.Sign(idptest.RSAKey(0, "rsa-0", "RS256"), raw)
		}
		post := func(token string) servertest.Response {
			return h.Do(t, "POST", "/api/users/login/msal", object{"token": token})
		}
		once := token(nil)
		good(post(once))
		bad("twice", post(once))
		without := token(object{"uti": nil})
		good(post(without))
		bad("twice, without uti", post(without))
		good(post(token(object{"ver": "1.0", "iss": h.idp.URL + "/sts/" + tenant + "/", "azp": nil, "appid": front})))
		for name, change := range map[string]object{
			"old":                                  {"iat": time.Now().Add(-11 * time.Minute).Unix()},
			"expired":                              {"exp": time.Now().Add(-3 * time.Minute).Unix()},
			"Graph":                                {"aud": "00000003-0000-0000-c000-000000000000"},
			"the front end itself, as an ID token": {"aud": front, "scp": nil}, "no scope": {"scp": nil},
			"another scope": {"scp": "itempath.used"}, "a program": {"idtyp": "app"}, "another front end": {"azp": api},
			"no front end": {"azp": nil}, "appid for azp": {"azp": nil, "appid": front},
			"another tenant": {"tid": "33333333-3333-4333-8333-333333333333"}, "no object": {"oid": nil},
			"v1 issuer in v2": {"iss": h.idp.URL + "/sts/" + tenant + "/"}, "no version": {"ver": nil},
			"audience in a list": {"aud": []string{api}}, "nobody's object": {"oid": "object-2"},
		} {
			bad(name, post(token(change)))
		}
		bad("no token", post("x"))
		h.Do(t, "POST", "/api/users/login/msal?token="+token(nil), object{}).Want(t, 422)
		other := h.Do(t, "POST", "/api/users/login/msal", object{"token": token(nil)},
			servertest.Header("X-Tenant-Slug", "second-tenant"))
		bad("another organization", other)

		agent := h.UserID(t, servertest.Agent)
		h.Do(t, "PATCH", "/v1/users/"+agent+"/mfa", object{"required": true}, h.admin).Want(t, 200)
		bad("a second factor is needed", post(token(nil)))
		body["code"] = h.startEntra().Get("code")
		bad("a second factor is needed", h.Do(t, "POST", "/api/users/login/sso", body))
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"trust": object{"amr": []string{"mfa"}}}, h.admin).Want(t, 200)
		bad("trusted, and not proven", post(token(nil)))
		good(post(token(object{"amr": []string{"pwd", "mfa"}})))
	})
}

// B10, SSO32: two tokens of somebody new at once make one account, and both sign in.
func TestB10_TwoAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const api, front = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
		h.entra(func(b object) {
			b["provisioning"] = object{"enabled": true, "role": "end_user"}
			b["openId"].(object)["msal"] = object{"audience": api, "clientIds": []string{front},
				"scope": "itempath.use"}
		})
		h.verify(domain)
		const each = 6
		answers := make(chan string, each)
		for n := range each {
			now := time.Now().Unix()
			payload, err := json.Marshal(object{"iss": h.idp.Issuer, "aud": api, "azp": front, "scp": "itempath.use",
				"ver": "2.0", "tid": tenant, "oid": "somebody-new", "sub": "p", "uti": fmt.Sprint("uti-", n),
				"iat": now, "exp": now + 600, "email": "new@" + domain, "xms_edov": true, "name": "Somebody New"})
			if err != nil {
				t.Fatal(err)
			}
			token := idptest.Sign(idptest.RSAKey(0, "rsa-0", "RS256"), payload)
			go func() {
				r, err := h.Try("POST", "/api/users/login/msal", object{"token": token})
				answers <- fmt.Sprint(r.Status, " ", err)
			}()
		}
		for range each {
			if a := <-answers; a != "200 <nil>" {
				t.Errorf("%s %s", a, h.why())
			}
		}
	})
}

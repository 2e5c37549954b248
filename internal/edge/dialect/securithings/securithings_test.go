package securithings_test

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

type object = map[string]any

const path = "/token/acme-corp"

func typed(contentType string) servertest.Change {
	return func(r *http.Request) { r.Header.Set("Content-Type", contentType) }
}

// E2, E3, E6: every answer, good and bad, is as its golden file says.
func TestE2_Golden(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		c, other := s.Seeds.Clients[0], s.Seeds.Clients[1]
		basic := servertest.Basic(c.ClientID, c.ClientSecret)
		renewing := s.Client(t, admin, object{"refreshTokens": true, "tokenLifetimeSeconds": 120}, "tickets:read:all")
		ours := servertest.Basic(renewing.Client, renewing.Secret)
		pair := s.Do(t, "POST", path, nil, ours).Want(t, 200)
		do := func(body any, changes ...servertest.Change) servertest.Response {
			return s.Do(t, "POST", path, body, changes...)
		}
		form := func(pairs ...string) servertest.Response { return s.PostForm(t, path, pairs, basic) }
		for _, g := range []struct {
			name string
			r    servertest.Response
		}{
			{"empty", do(nil, basic)},
			{"empty_json_type", do(nil, basic, typed("application/json"))},
			{"empty_form_type", do(nil, basic, typed("application/x-www-form-urlencoded"))},
			{"empty_any_type", do(nil, basic, typed("text/plain"))},
			{"json", do(object{"grant_type": "client_credentials"}, basic)},
			{"json_scope", do(object{"grant_type": "client_credentials", "scope": "reports:read:all"}, basic)},
			{"json_empty_scope", do(object{"grant_type": "client_credentials", "scope": ""}, basic)},
			{"json_with_charset", do(object{"grant_type": "client_credentials"}, basic,
				typed("application/json; charset=utf-8"))},
			{"form", form("grant_type", "client_credentials")},
			{"form_empty_scope", form("grant_type", "client_credentials", "scope", "")},
			{"with_refresh_token", do(nil, ours)},
			{"refreshed",
				s.PostForm(t, path, []string{"grant_type", "refresh_token", "refresh_token",
					pair.String("refresh_token")}, ours)},
			{"refreshed_again", s.PostForm(t, path,
				[]string{"grant_type", "refresh_token", "refresh_token", pair.String("refresh_token")}, ours)},
			{"refresh_not_allowed", form("grant_type", "refresh_token", "refresh_token", pair.String("refresh_token"))},
			{"refresh_missing", s.PostForm(t, path, []string{"grant_type", "refresh_token"}, ours)},
			{"grant_unsupported", form("grant_type", "password")},
			{"grant_missing", form("scope", "tickets:read:all")},
			{"grant_missing_json", do(object{}, basic)},
			{"grant_twice", do("grant_type=client_credentials&grant_type=client_credentials", basic,
				typed("application/x-www-form-urlencoded"))},
			{"grant_twice_json", do(`{"grant_type":"client_credentials","grant_type":"x"}`, basic)},
			{"grant_wrong_type", do(`{"grant_type":7}`, basic)},
			{"json_list", do(`[]`, basic)},
			{"not_json", do(`{`, basic)},
			{"not_a_form", do("a=%zz", basic, typed("application/x-www-form-urlencoded"))},
			{"other_type", do("grant_type=client_credentials", basic, typed("text/plain"))},
			{"no_type", do("grant_type=client_credentials", basic, func(r *http.Request) {
				r.Header.Del("Content-Type")
			})},
			{"scope_unknown", form("grant_type", "client_credentials", "scope", "everything")},
			{"scope_too_wide", form("grant_type", "client_credentials", "scope", "users:read:all")},
			{"in_address", s.Do(t, "POST", path+"?grant_type=client_credentials", nil, basic)},
			{"repeated", form("grant_type", "client_credentials", "client_id", c.ClientID, "client_secret",
				c.ClientSecret)},
			{"repeated_json", do(object{"grant_type": "client_credentials", "client_secret": c.ClientSecret}, basic)},
			{"two_secrets", form("grant_type", "client_credentials", "client_id", c.ClientID, "client_secret",
				other.ClientSecret)},
			{"two_secrets_json", do(object{"grant_type": "client_credentials", "client_secret": other.ClientSecret},
				basic)},
			{"two_ways", form("grant_type", "client_credentials", "client_assertion", "x")},
			{"two_ways_json", do(object{"grant_type": "client_credentials", "client_assertion": "x"}, basic)},
			{"audience", form("grant_type", "client_credentials", "audience", servertest.PublicURL+"/securithings")},
			{"audience_other", form("grant_type", "client_credentials", "audience", "https://other.example")},
			{"audience_other_json", do(object{"grant_type": "client_credentials", "audience": "https://other.example"},
				basic)},
			{"resource_other", form("grant_type", "client_credentials", "resource", "https://other.example")},
			{"empty_secret_in_form", form("grant_type", "client_credentials", "client_id", "", "client_secret", "")},
			{"null_secret_in_json", do(object{"grant_type": "client_credentials", "client_secret": nil}, basic)},
			{"two_ids", form("grant_type", "client_credentials", "client_id", other.ClientID)},
			{"too_large", do(`{"grant_type":"`+strings.Repeat("a", 40_000)+`"}`, basic)},
			{"missing", do(nil)},
			{"bearer", do(nil, servertest.Bearer("x"))},
			{"two_headers", do(nil, basic, basic)},
			{"wrong_secret", do(nil, servertest.Basic(c.ClientID, servertest.Altered(c.ClientSecret)))},
			{"empty_secret", do(nil, servertest.Basic(c.ClientID, ""))},
			{"unknown_client", do(nil, servertest.Basic("cli_01BX5ZZKBKACTAV9WEVGEMMVRZ", c.ClientSecret))},
			{"unknown_organization", s.Do(t, "POST", "/token/nowhere", nil, basic)},
			{"other_organization", s.Do(t, "POST", "/token/second-tenant", nil, basic)},
			{"bad_organization", s.Do(t, "POST", "/token/A_B", nil, basic)},
			{"wrong_method", s.Do(t, "GET", path, nil, basic)},
			{"no_organization", s.Do(t, "POST", "/token/", nil, basic)},
		} {
			// What a golden file cannot say: the id of the request is in the body of every failure.
			body := regexp.MustCompile(`,"request_id":"req_[0-9A-Z]+"`).ReplaceAll(g.r.Body, nil)
			if g.r.Status >= 400 && len(body) == len(g.r.Body) {
				t.Errorf("%s: without the request's id: %s", g.name, g.r.Body)
			}
			g.r.Golden(t, g.name)
		}
	})
}

// E6: wrong secret, unknown client, unknown and other organization: one answer, to the byte but for the request's id,
// with the challenge.
func TestE6_OneAnswer(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Seeds.Clients[0]
		off := s.Client(t, s.As(t, servertest.Admin), nil)
		s.Do(t, "PATCH", "/v1/clients/"+off.Client, object{"state": "off"}, s.As(t, servertest.Admin)).Want(t, 200)
		id := regexp.MustCompile(`req_[0-9A-Z]+`)
		first := ""
		for name, r := range map[string]servertest.Response{
			"secret":  s.Do(t, "POST", path, nil, servertest.Basic(c.ClientID, servertest.Altered(c.ClientSecret))),
			"client":  s.Do(t, "POST", path, nil, servertest.Basic("cli_01BX5ZZKBKACTAV9WEVGEMMVRZ", c.ClientSecret)),
			"unknown": s.Do(t, "POST", "/token/nowhere", nil, servertest.Basic(c.ClientID, c.ClientSecret)),
			"other":   s.Do(t, "POST", "/token/second-tenant", nil, servertest.Basic(c.ClientID, c.ClientSecret)),
			"none":    s.Do(t, "POST", path, nil), "off": s.Do(t, "POST", path, nil,
				servertest.Basic(off.Client, off.Secret)),
			"number": s.Do(t, "POST", "/token/50001", nil, servertest.Basic(c.ClientID, c.ClientSecret)),
		} {
			body := id.ReplaceAllString(string(r.Body), "")
			if first == "" {
				first = body
			}
			if r.Status != 401 || body != first || r.Header.Get("WWW-Authenticate") != `Basic realm="gatehouse", charset="UTF-8"` ||
				r.String("error") != "invalid_client" || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v %s", name, r.Status, r.Header, r.Body)
			}
		}
	})
}

// G9: a right secret in the wrong place looks like a wrong one to whoever sends it, and like what it is in the log; it
// is no use of the secret.
func TestE6_WrongPlaceIsLogged(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		m := s.Client(t, s.As(t, servertest.Admin), nil)
		s.Do(t, "POST", "/token/second-tenant", nil, servertest.Basic(m.Client, m.Secret)).Want(t, 401)
		s.Do(t, "POST", "/up/v5/oauth2/accessToken",
			object{"ClientId": m.Client, "ClientSecret": m.Secret, "GrantType": "ClientCredentials",
				"ExpiresInSeconds": 60}).Want(t, 401)
		log := s.Logs.String()
		for _, why := range []string{"the address names another organization",
			"the organization's systems use the other kind of credential"} {
			if !strings.Contains(log, why) {
				t.Errorf("the log does not say that %s", why)
			}
		}
		if strings.Contains(log, m.Secret) || !strings.Contains(log, m.Client) {
			t.Error("the log has the secret, or not the client")
		}
	})
}

// E1, E3, E4, E5: what a token says and opens; one hour unless the client has another; refresh tokens at this address
// only.
func TestE5_Token(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Seeds.Clients[0]
		if plain := regexp.MustCompile(`^[A-Za-z0-9_-]+$`); !plain.MatchString(c.ClientID) ||
			!plain.MatchString(c.ClientSecret) {
			t.Errorf("%s, %s", c.ClientID, c.ClientSecret)
		}
		r := s.Do(t, "POST", path, nil, servertest.Basic(c.ClientID, c.ClientSecret)).Want(t, 200)
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(r.String("access_token"), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims object
		if err := json.Unmarshal(raw, &claims); err != nil {
			t.Fatal(err)
		}
		if claims["client_id"] != c.ClientID || claims["organizationId"] != s.Organization("acme-corp") ||
			claims["scope"] != "introspection:read:all reports:read:all tickets:manage:all" ||
			claims["exp"].(float64)-claims["iat"].(float64) != 3600 || r.Get("expires_in") != 3600.0 ||
			r.Get("refresh_token") != nil {
			t.Errorf("%v", claims)
		}
		// It opens its own organization, and no other.
		bearer := servertest.Bearer(r.String("access_token"))
		s.Do(t, "GET", "/v1/tickets", nil, bearer).Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, bearer, servertest.Header("X-Tenant-Slug", "second-tenant")).
			Want(t, 403, "TENANT_MISMATCH")
		s.Do(t, "GET", "/api/v1/acme-corp/requests", nil, bearer).Want(t, 401)
		s.Do(t, "GET", "/up/v5/entity", nil, bearer).Want(t, 401)

		m := s.Client(t, s.As(t, servertest.Admin), object{"refreshTokens": true}, "tickets:read:all")
		basic := servertest.Basic(m.Client, m.Secret)
		refresh := func(at, token string) servertest.Response {
			return s.PostForm(t, at, []string{"grant_type", "refresh_token", "refresh_token", token}, basic)
		}
		here, there := s.Do(t, "POST", path, nil, basic).
			Want(t, 200), s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"}, basic).
			Want(t, 200)
		for name, r := range map[string]servertest.Response{"here's there": refresh("/oauth2/token",
			here.String("refresh_token")), "there's here": refresh(path, there.String("refresh_token")),
			"at another organization's": refresh("/token/second-tenant", here.String("refresh_token"))} {
			if want := map[bool]int{true: 401, false: 400}[name == "at another organization's"]; r.Status != want {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		next := refresh(path, here.String("refresh_token")).Want(t, 200)
		if next.String("refresh_token") == here.String("refresh_token") {
			t.Error("the refresh token does not rotate")
		}
		last := refresh(path, next.String("refresh_token")).Want(t, 200)
		if r := refresh(path, next.String("refresh_token")); r.Status != 400 || r.String("error") != "invalid_grant" {
			t.Errorf("used twice: %d %s", r.Status, r.Body)
		}
		if r := refresh(path, last.String("refresh_token")); r.Status != 400 {
			t.Errorf("after reuse: %d", r.Status)
		}
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(last.String("access_token"))).Want(t, 401)
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(there.String("access_token"))).Want(t, 200)
		s.Clock.Advance(time.Hour + time.Second)
		s.Do(t, "GET", "/v1/tickets", nil, bearer).Want(t, 401, "TOKEN_EXPIRED")
	})
}

// E2: a space before the colon, as an old page prints it, is refused before anything reads the header (RFC 9112 §5.1).
func TestE2_SpaceBeforeColon(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		c := s.Seeds.Clients[0]
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		credentials := base64.StdEncoding.EncodeToString([]byte(c.ClientID + ":" + c.ClientSecret))
		if _,
			err := conn.Write(
			[]byte("POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization : Basic " + credentials +
				"\r\nContent-Length: 0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 100)
		n, _ := conn.Read(answer)
		if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 400 ") {
			t.Errorf("%s", answer[:n])
		}
	})
}

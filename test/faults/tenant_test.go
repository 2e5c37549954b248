//go:build faults

package faults

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// admin signs in the administrator of a fresh tenant; the operator makes both.
func (l *lab) tenant(at *node, slug string) (access string, org string) {
	l.Helper()
	org = at.must(201, "POST", "/v1/organizations", l.admin, map[string]any{"slug": slug, "name": slug}).text("id")
	email := "admin@" + slug + ".example"
	l.person(at, slug, email, "tenant_admin")
	return at.must(200, "POST", "/v1/auth/login", "", map[string]any{"email": email, "password": personPassword}).
		text("accessToken"), org
}

const personPassword = "a sentence that nobody knows"

// person makes a user of a tenant with a password.
func (l *lab) person(at *node, slug, email, role string) (id string) {
	l.Helper()
	cmd := at.request("POST", "/v1/users", l.admin, map[string]any{"email": email, "role": role})
	cmd.Header.Set("X-Tenant-Slug", slug)
	r := at.send(cmd)
	if r.status != 201 {
		l.Fatalf("user: %d %v %v", r.status, r.body, r.err)
	}
	_, token, _ := strings.Cut(r.text("setPasswordUrl"), "#token=")
	at.must(200, "POST", "/v1/auth/password/set", "", map[string]any{"token": token, "password": personPassword})
	return r.text("id")
}

// right is something that opens a door and can be taken away.
type right struct {
	kind  string
	value string
	open  func(at *node) bool
	end   func(at *node) reply
}

// opens asks for a path with a credential.
func opens(path, credential string) func(at *node) bool {
	return func(at *node) bool { return at.call("GET", path, credential, nil).status == 200 }
}

// rights makes one of each kind in a tenant of its own.
func (l *lab) rights(at *node, slug string) []right {
	l.Helper()
	admin, org := l.tenant(at, slug)
	email := "worker@" + slug + ".example"
	user := l.person(at, slug, email, "service_desk_manager")
	signIn := func() (access, session string) {
		r := at.must(200, "POST", "/v1/auth/login", "", map[string]any{"email": email, "password": personPassword})
		s := at.must(200, "GET", "/v1/auth/me", r.text("accessToken"), nil).text("sessionId")
		return r.text("accessToken"), s
	}
	made := func(path string, body map[string]any, member string) (string, string) {
		r := at.must(201, "POST", path, admin, body)
		return r.text(member), r.text("id")
	}
	ends := func(method, path string, body any) func(*node) reply {
		return func(at *node) reply { return at.call(method, path, admin, body) }
	}
	var out []right
	session, id := signIn()
	out = append(out, right{"session", session, opens("/v1/auth/me", session),
		ends("DELETE", "/v1/auth/sessions/"+id, nil)})
	key, id := made("/v1/api-keys", map[string]any{"name": "x", "permissions": []string{"tickets:read:all"},
		"rateLimitPerMinute": 100000}, "key")
	out = append(out, right{"api key", key, opens("/v1/tickets", key), ends("DELETE", "/v1/api-keys/"+id, nil)})
	pat, id := made("/v1/access-tokens", map[string]any{"name": "x"}, "token")
	out = append(out, right{"access token", pat, opens("/v1/tickets", pat),
		ends("DELETE", "/v1/access-tokens/"+id, nil)})
	sat, id := made("/v1/system-tokens", map[string]any{"name": "x"}, "token")
	out = append(out, right{"system token", sat, opens("/v1/tickets", sat),
		ends("DELETE", "/v1/system-tokens/"+id, nil)})
	grant := func() (token, client string) {
		r := at.must(201, "POST", "/v1/clients", admin,
			map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}})
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {r.text("id")},
			"client_secret": {r.text("clientSecret")}}
		return at.must(200, "POST", "/oauth2/token", "", form.Encode()).text("access_token"), r.text("id")
	}
	token, client := grant()
	out = append(out, right{"client", token, opens("/v1/tickets", token),
		ends("PATCH", "/v1/clients/"+client, map[string]any{"state": "off"})})
	again, _ := signIn()
	out = append(out, right{"single token", again, opens("/v1/auth/me", again), func(at *node) reply {
		return at.call("POST", "/oauth2/revoke", again, url.Values{"token": {again}}.Encode())
	}})

	// What follows from something else.
	r := at.must(201, "POST", "/v1/clients", admin,
		map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}, "refreshTokens": true})
	basic := url.Values{"client_id": {r.text("id")}, "client_secret": {r.text("clientSecret")}}
	oauth := func(at *node, path string, pairs ...string) reply {
		form := maps.Clone(basic)
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return at.call("POST", path, "", form.Encode())
	}
	granted := oauth(at, "/oauth2/token", "grant_type", "client_credentials")
	if granted.status != 200 || granted.text("refresh_token") == "" {
		l.Fatalf("a client's grant: %d %v", granted.status, granted.body)
	}
	out = append(out, right{"grant", granted.text("access_token"), opens("/v1/tickets", granted.text("access_token")),
		func(at *node) reply {
			return oauth(at, "/oauth2/revoke", "token", granted.text("refresh_token"))
		}})
	fresh := at.must(200, "POST", "/v1/auth/login", "", map[string]any{"email": email, "password": personPassword})
	session = at.must(200, "GET", "/v1/auth/me", fresh.text("accessToken"), nil).text("sessionId")
	out = append(out, right{"refresh token", fresh.text("refreshToken"), func(at *node) bool {
		return oauth(at, "/oauth2/introspect", "token", fresh.text("refreshToken")).body["active"] == true
	}, ends("DELETE", "/v1/auth/sessions/"+session, nil)})
	made("/v1/roles", map[string]any{"name": "reader", "permissions": []string{"tickets:read:all"}}, "id")
	made("/v1/roles", map[string]any{"name": "reporter", "permissions": []string{"reports:read:all"}}, "id")
	reader := l.person(at, slug, "reader@"+slug+".example", "reader")
	theirs, _ := made("/v1/access-tokens", map[string]any{"name": "x", "userId": reader}, "token")
	out = append(out, right{"user's role", theirs, opens("/v1/tickets", theirs),
		ends("PATCH", "/v1/users/"+reader, map[string]any{"role": "reporter"})})
	_, role := made("/v1/roles", map[string]any{"name": "other_reader", "permissions": []string{"tickets:read:all"}},
		"id")
	reader = l.person(at, slug, "other-reader@"+slug+".example", "other_reader")
	theirs, _ = made("/v1/access-tokens", map[string]any{"name": "x", "userId": reader}, "token")
	out = append(out, right{"permission of a role", theirs, opens("/v1/tickets", theirs),
		ends("PATCH", "/v1/roles/"+role, map[string]any{"permissions": []string{"teams:read:all"}})})
	program := at.must(201, "POST", "/v1/users", admin,
		map[string]any{"email": "program@" + slug + ".example", "role": "service_desk_agent", "type": "application"}).
		text("id")
	app, id := made("/v1/application-tokens", map[string]any{"name": "x", "userId": program}, "token")
	out = append(out, right{"application token", app, opens("/v1/tickets", app),
		ends("DELETE", "/v1/application-tokens/"+id, nil)})

	access, _ := signIn()
	req := at.request("POST", "/api/users/login", "", map[string]any{"username": email, "password": personPassword})
	req.Header.Set("X-Tenant-Slug", slug)
	item := at.send(req)
	if item.status != 200 {
		l.Fatalf("ItemPath sign-in: %d %v", item.status, item.body)
	}
	list, _ := at.must(200, "GET", "/v1/users/"+user+"/sessions", admin, nil).body["data"].([]any)
	newest, _ := list[len(list)-1].(map[string]any)["id"].(string) // in order of their beginning
	out = append(out, right{"itempath session", item.text("accessToken"), opens("/verify", item.text("accessToken")),
		func(at *node) reply {
			return at.call("DELETE", "/v1/auth/sessions/"+newest, admin, nil)
		}})
	out = append(out, right{"user", access, opens("/v1/auth/me", access),
		ends("PATCH", "/v1/users/"+user, map[string]any{"state": "disabled"})})
	last, _ := made("/v1/api-keys", map[string]any{"name": "y", "permissions": []string{"tickets:read:all"},
		"rateLimitPerMinute": 100000}, "key")
	out = append(out, right{"organization", last, opens("/v1/tickets", last), func(at *node) reply {
		return at.call("PATCH", "/v1/organizations/"+org, l.admin, map[string]any{"state": "suspended"})
	}})
	for _, r := range out {
		if r.value == "" {
			l.Fatalf("there is no %s", r.kind)
		}
	}
	return out
}

var names atomic.Int64

// slug is a name that no other tenant of the process has.
func slug() string {
	return fmt.Sprintf("tenant-%d-%d", time.Now().UnixMilli()%1_000_000, names.Add(1))
}

package servicebroker_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

type object = map[string]any

const (
	token  = "/up/v5/entityToken"
	entity = "/up/v5/entity"
	access = "/up/v5/oauth2/accessToken"
	info   = "/up/v5/oauth2/userInfo"
)

func grant(e servertest.Entity, more object) object {
	b := object{"ClientId": e.ClientID, "ClientSecret": e.ClientSecret, "GrantType": "ClientCredentials",
		"ExpiresInSeconds": 600}
	for k, v := range more {
		b[k] = v
	}
	return b
}

// D1–D9: every answer, good and bad, is as its golden file says.
func TestD3_Golden(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		own, master := servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token), s.Master()
		field := s.Provision(t, "Field Service", "OAuth2")
		broker := s.BrokerToken(t, field.ClientID, field.ClientSecret)
		made := s.Do(t, "POST", token, object{"Name": "Dispatcher"}, own).Want(t, 200)
		off := s.Do(t, "POST", token, object{"Name": "Off"}, own).Want(t, 200)
		s.Do(t, "PUT", token+"/"+off.String("Id"), object{"Active": false}, own).Want(t, 200)
		powerless := s.Do(t, "POST", "/v1/system-tokens", object{"name": "powerless", "permissions": []string{}},
			admin).Want(t, 201).String("token")
		do := func(method, path string, body any, changes ...servertest.Change) servertest.Response {
			return s.Do(t, method, path, body, changes...)
		}
		const nobody = "01890a5d-ac96-774b-bcce-b302099a8057"
		for _, g := range []struct {
			name string
			r    servertest.Response
		}{
			{"tokens", do("GET", token, nil, own)},
			{"token_created", do("POST", token, object{"Name": "Scheduler"}, own)},
			{"token_changed", do("PUT", token+"/"+made.String("Id"), object{"Name": "Dispatcher 2", "Active": false},
				own)},
			{"token_deleted", do("DELETE", token+"/"+made.String("Id"), nil, own)},
			{"token_deleted_again", do("DELETE", token+"/"+made.String("Id"), nil, own)},
			{"token_changed_after_deletion", do("PUT", token+"/"+made.String("Id"), object{"Active": true}, own)},
			{"token_no_name", do("POST", token, object{}, own)},
			{"token_bad_name", do("POST", token, object{"Name": strings.Repeat("x", 201)}, own)},
			{"token_foreign_entity", do("POST", token, object{"Name": "x", "EntityId": nobody}, own)},
			{"token_not_json", do("POST", token, "[]", own)},
			{"token_form", s.PostForm(t, token, []string{"Name", "x"}, own)},
			{"token_missing", do("GET", token, nil)},
			{"token_off", do("GET", token, nil, servertest.Bearer(off.String("JWT")))},
			{"token_not_permitted", do("POST", token, object{"Name": "x"}, servertest.Bearer(powerless))},
			{"token_wrong_kind", do("GET", token, nil, servertest.Bearer(s.Seeds.AccessTokens[0].Token))},
			{"token_broken", do("GET", token, nil, servertest.Bearer("a.b.c"))},
			{"entity_own", do("GET", entity, nil, own)},
			{"entity_by_master", do("GET", entity+"/"+field.EntityID, nil, master)},
			{"entity_by_master_in_query", do("GET", entity+"?EntityId="+field.EntityID, nil, master)},
			{"entity_foreign", do("GET", entity+"/"+field.EntityID, nil, own)},
			{"entity_unknown", do("GET", entity+"/"+nobody, nil, master)},
			{"entity_bad_id", do("GET", entity+"/acme-corp", nil, master)},
			{"entity_created",
				do("POST", entity, object{"Name": "Field service north", "Email": "it@north.example",
					"ExtSysId": "C-77", "Desc": "North", "SID": "north", "Domain": "north.example"}, master)},
			{"entity_created_oauth2", do("POST", entity, object{"Name": "Außendienst süd", "AuthType": "OAuth2"},
				master)},
			{"entity_created_inactive", do("POST", entity, object{"Name": "Later", "Active": false}, master)},
			{"entity_created_no_name", do("POST", entity, object{"AuthType": "OAuth2"}, master)},
			{"entity_created_bad_type", do("POST", entity, object{"Name": "x", "AuthType": "Password"}, master)},
			{"entity_created_bad_email", do("POST", entity, object{"Name": "x", "Email": "not an address"}, master)},
			{"entity_created_by_tenant", do("POST", entity, object{"Name": "x"}, own)},
			{"entity_changed",
				do("PUT", entity, object{"Name": "Acme Corporation", "Desc": "Changed", "Active": true,
					"AuthType": "SystemAccessToken", "SID": "acme-corp"}, own)},
			{"entity_changed_beyond", do("PUT", entity, object{"AuthType": "OAuth2"}, own)},
			{"entity_changed_by_master", do("PUT", entity+"/"+field.EntityID,
				object{"SID": "fs-1", "AuthType": "SystemAccessToken"}, master)},
			{"entity_changed_back_by_master", do("PUT", entity,
				object{"EntityId": field.EntityID, "AuthType": "OAuth2"}, master)},
			{"entity_two_ids", do("PUT", entity+"/"+field.EntityID, object{"EntityId": nobody, "Name": "x"}, master)},
			{"access_token", do("POST", access, grant(field, nil))},
			{"access_token_clamped", do("POST", access, grant(field, object{"ExpiresInSeconds": 86400}))},
			{"access_token_zero", do("POST", access, grant(field, object{"ExpiresInSeconds": 0}))},
			{"access_token_fraction", do("POST", access, grant(field, object{"ExpiresInSeconds": 1.5}))},
			{"access_token_text", do("POST", access, grant(field, object{"ExpiresInSeconds": "600"}))},
			{"access_token_no_lifetime", do("POST", access,
				object{"ClientId": field.ClientID, "ClientSecret": field.ClientSecret,
					"GrantType": "ClientCredentials"})},
			{"access_token_wrong_grant", do("POST", access, grant(field, object{"GrantType": "client_credentials"}))},
			{"access_token_wrong_secret", do("POST", access,
				grant(field, object{"ClientSecret": servertest.Altered(field.ClientSecret)}))},
			{"access_token_wrong_client", do("POST", access,
				grant(field, object{"ClientId": "cli_01BX5ZZKBKACTAV9WEVGEMMVRZ"}))},
			{"access_token_no_client", do("POST", access,
				object{"GrantType": "ClientCredentials", "ExpiresInSeconds": 60})},
			{"access_token_other_kind", do("POST", access,
				grant(servertest.Entity{ClientID: s.Seeds.Clients[0].ClientID,
					ClientSecret: s.Seeds.Clients[0].ClientSecret}, nil))},
			{"user_info", do("GET", info, nil, servertest.Bearer(broker))},
			{"user_info_with_system_token", do("GET", info, nil, own)},
			{"user_info_missing", do("GET", info, nil)},
			{"entity_deleted", do("DELETE", entity+"/"+field.EntityID, nil, master)},
			{"entity_deleted_again", do("DELETE", entity+"/"+field.EntityID, nil, master)},
			{"entity_deleted_by_tenant", do("DELETE", entity, nil, own)},
			{"entity_deleted_unnamed", do("DELETE", entity, nil, master)},
			{"token_of_deleted_entity", do("GET", token, nil, servertest.Bearer(broker))},
			{"unknown_path", do("GET", "/up/v5/nothing", nil, own)},
			{"wrong_method", do("PATCH", token, nil, own)},
		} {
			g.r.Golden(t, g.name)
		}
		limited := s.Do(t, "POST", "/v1/system-tokens",
			object{"name": "limited", "permissions": []string{"system_tokens:read:all"}, "rateLimitPerMinute": 1},
			admin).Want(t, 201).String("token")
		s.Clock.Advance(time.Minute - time.Duration(s.Clock.Now().Second())*time.Second) // a fresh minute
		s.Do(t, "GET", token, nil, servertest.Bearer(limited)).Want(t, 200)
		s.Do(t, "GET", token, nil, servertest.Bearer(limited)).Golden(t, "limited")
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), object{"state": "suspended"},
			s.As(t, servertest.Operator)).Want(t, 200)
		s.Do(t, "GET", token, nil, own).Golden(t, "suspended")
	})
}

// D6: EntityId is the 128 bits of the organization's ULID.
func TestD6_EntityID(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, sqldbtest.SQLite(t))
	u := ulid.MustParseStrict(strings.TrimPrefix(s.Organization("acme-corp"), "org_"))
	own := s.Do(t, "GET", entity, nil, servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)).Want(t, 200)
	if want := uuid.UUID(u).String(); own.String("EntityId") != want {
		t.Errorf("%s, want %s", own.String("EntityId"), want)
	}
	for _, spelled := range []string{strings.ToUpper(own.String("EntityId")), "{" + own.String("EntityId") + "}",
		strings.ReplaceAll(own.String("EntityId"), "-", ""), "urn:uuid:" + own.String("EntityId")} {
		want := 400
		if len(spelled) == 36 {
			want = 200 // hexadecimal has two cases
		}
		if r := s.Do(t, "GET", entity+"?EntityId="+spelled, nil, s.Master()); r.Status != want {
			t.Errorf("%s: %d %s", spelled, r.Status, r.Body)
		}
	}
}

// D2, D7: provisioning gives the one kind of credential that the tenant uses, once. Another AuthType makes the other
// kind rest, everywhere and on every node, without deleting it; back again, it works as before.
func TestD7_OneKind(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		other := servertest.Join(t, address)
		e := s.Provision(t, "One kind", "SystemAccessToken")
		if e.JWT == "" || e.ClientID != "" || e.ClientSecret != "" {
			t.Fatalf("provisioned: %+v", e)
		}
		sat := servertest.Bearer(e.JWT)
		set := func(authType string) servertest.Response {
			return s.Do(t, "PUT", entity+"/"+e.EntityID, object{"AuthType": authType}, s.Master()).Want(t, 200)
		}
		answers := func(node *servertest.Server, by servertest.Change) [4]int {
			return [4]int{node.Do(t, "GET", entity, nil, by).Status, node.Do(t, "GET", token, nil, by).Status,
				node.Do(t, "GET", "/v1/tickets", nil, by).Status,
				node.Do(t, "GET", "/verify?permission=tickets:read", nil, by).Status}
		}
		works, rests := [4]int{200, 200, 200, 200}, [4]int{401, 401, 401, 401}
		check := func(what string, by servertest.Change, want [4]int) {
			t.Helper()
			if got := answers(s, by); got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
			deadline := time.Now().Add(5 * time.Second)
			for answers(other, by) != want {
				if time.Now().After(deadline) {
					t.Fatalf("%s on another node: %v, want %v", what, answers(other, by), want)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		check("a new SAT", sat, works)
		if changed := set("OAuth2"); changed.String("ClientId") != "" || changed.String("JWT") != "" {
			// what opens a tenant is for its own people to make
			t.Fatalf("changed: %s", changed.Body)
		}
		check("the SAT of an OAuth2 tenant", sat, rests)
		permissions := []string{"tickets:manage:all", "entity:manage:all", "system_tokens:manage:all"}
		made := s.Do(t, "POST", "/v1/clients", object{"name": "systems", "permissions": permissions},
			s.As(t, servertest.Operator), servertest.Header("X-Tenant-Slug", e.SID)).Want(t, 201)
		e.ClientID, e.ClientSecret = made.String("id"), made.String("clientSecret")
		bearer := servertest.Bearer(s.BrokerToken(t, e.ClientID, e.ClientSecret))
		check("its token", bearer, works)
		// A token of the kind that rests is not made by a machine, to wait for better days.
		if r := s.Do(t, "POST", token, object{"Name": "sleeper"}, bearer); r.Status != 401 {
			t.Errorf("a SAT in an OAuth2 tenant: %d %s", r.Status, r.Body)
		}
		set("SystemAccessToken")
		check("the SAT again", sat, works)
		check("the token of an SAT tenant", bearer, rests)
		s.Do(t, "POST", access, grant(e, nil)).Want(t, 401)
		// The client itself is no ServiceBroker credential: at the OAuth endpoints it goes on.
		oauth := s.PostForm(t, "/oauth2/token", []string{"grant_type", "client_credentials"},
			servertest.Basic(e.ClientID, e.ClientSecret)).Want(t, 200).String("access_token")
		if got := answers(s, servertest.Bearer(oauth)); got != [4]int{401, 401, 200, 200} {
			t.Errorf("an OAuth token: %v", got)
		}
		set("OAuth2")
		check("the token again", bearer, works)
	})
}

// D1, D3, G12: more tokens, one a system: each is switched off and on and deleted by itself; what a token makes holds
// no more than it does; none that was deleted comes back.
func TestD3_Lifecycle(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		own := servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)
		a := s.Do(t, "POST", token, object{"Name": "A"}, own).Want(t, 200)
		// a token's token
		b := s.Do(t, "POST", token, object{"Name": "B"}, servertest.Bearer(a.String("JWT"))).Want(t, 200)
		get := func(r servertest.Response) int {
			return s.Do(t, "GET", token, nil, servertest.Bearer(r.String("JWT"))).Status
		}
		if get(a) != 200 || get(b) != 200 {
			t.Fatal("new tokens do not work")
		}
		put := func(r servertest.Response, body object, by servertest.Change) servertest.Response {
			return s.Do(t, "PUT", token+"/"+r.String("Id"), body, by)
		}
		put(a, object{"Active": false}, own).Want(t, 200)
		if get(a) != 401 || get(b) != 200 {
			t.Errorf("A off: %d, B %d", get(a), get(b))
		}
		if r := put(a, object{"Active": true, "Name": "A again", "Id": a.String("Id"),
			"EntityId": a.String("EntityId")}, servertest.Bearer(b.String("JWT"))).
			Want(t, 200); r.String("Name") != "A again" || r.Get("Active") != true || r.String("JWT") != "" {
			t.Errorf("A on: %s", r.Body)
		}
		if get(a) != 200 {
			t.Error("A does not work again")
		}
		put(a, object{"Id": b.String("Id")}, own).Want(t, 400)
		for _, body := range []object{{}, {"active": false}, {"Name": "x", "enabled": true}} {
			// a member that is not looked at would leave the token on
			put(a, body, own).Want(t, 400)
		}
		s.Do(t, "POST", token, object{"Name": "x", "active": false}, own).Want(t, 400)
		s.Do(t, "PUT", entity, object{}, own).Want(t, 400)
		s.Do(t, "POST", entity, object{"Name": "x", "authType": "OAuth2"}, s.Master()).Want(t, 400)
		// Who may do less changes none that may do more.
		weak := s.Do(t, "POST", "/v1/system-tokens",
			object{"name": "weak", "permissions": []string{"system_tokens:manage:all"}}, s.As(t, servertest.Admin)).
			Want(t, 201)
		for name, body := range map[string]object{"rename": {"Name": "x"}} {
			if r := put(a, body, servertest.Bearer(weak.String("token"))); r.Status != 401 {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		put(a, object{"Active": false}, servertest.Bearer(weak.String("token"))).Want(t, 200)
		put(a, object{"Active": true}, servertest.Bearer(weak.String("token"))).Want(t, 401)
		child := s.Do(t, "POST", token, object{"Name": "child of the weak"}, servertest.Bearer(weak.String("token"))).
			Want(t, 200)
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(child.String("JWT"))).Want(t, 403)
		s.Do(t, "DELETE", token+"/"+b.String("Id"), nil, own).Want(t, 204)
		if get(b) != 401 {
			t.Error("B works, deleted")
		}
		put(b, object{"Active": true}, own).Want(t, 400)
		// The list names what is there, and no value.
		list := s.Do(t, "GET", token, nil, own).Want(t, 200)
		if strings.Contains(string(list.Body), "eyJ") || strings.Contains(string(list.Body), b.String("Id")) ||
			!strings.Contains(string(list.Body), a.String("Id")) {
			t.Errorf("list: %s", list.Body)
		}
		// A tenant's own PUT may repeat what it read.
		mine := s.Do(t, "GET", entity, nil, own).Want(t, 200)
		s.Do(t, "PUT", entity, string(mine.Body), own).Want(t, 200)
		for field, value := range map[string]any{"Active": false, "AuthType": "OAuth2", "SID": "other",
			"EntityId": "01890a5d-ac96-774b-bcce-b302099a8057"} {
			if r := s.Do(t, "PUT", entity, object{field: value, "Desc": "sneaked in"}, own); r.Status != 401 {
				t.Errorf("%s: %d %s", field, r.Status, r.Body)
			}
		}
		if r := s.Do(t, "GET", entity, nil, own).Want(t, 200); r.String("Desc") != mine.String("Desc") {
			t.Errorf("half a write: %s", r.Body)
		}
	})
}

// D4, D5, D8: the lifetime is what is asked for, cut to what the organization and the client allow; no Authorization is
// looked at; the token ends when it says so, with its secret, and is no OAuth token.
func TestD4_Lifetime(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		e := s.Provision(t, "Lifetimes", "OAuth2")
		ask := func(seconds any) servertest.Response {
			return s.Do(t, "POST", access, grant(e, object{"ExpiresInSeconds": seconds}))
		}
		for seconds, want := range map[any]float64{1: 1, 60: 60, 3600: 3600, 3601: 3600, 1e9: 3600, 1e300: 3600} {
			if r := ask(seconds).Want(t, 200); r.Get("expires_in") != want || r.String("token_type") != "bearer" {
				t.Errorf("%v: %s", seconds, r.Body)
			}
		}
		for _, text := range []string{`1e3`, `2.0`, `10E1`} {
			s.Do(t, "POST", access,
				fmt.Sprintf(`{"ClientId":%q,"ClientSecret":%q,"GrantType":"ClientCredentials","ExpiresInSeconds":%s}`,
					e.ClientID, e.ClientSecret, text)).Want(t, 200)
		}
		for _, text := range []string{`-1`, `0`, `0.9`, `1.0000001`, `null`, `true`, `[60]`, `"60"`, `{}`, `1e-3`,
			`-1e300`} {
			if r := s.Do(t, "POST", access,
				fmt.Sprintf(`{"ClientId":%q,"ClientSecret":%q,"GrantType":"ClientCredentials","ExpiresInSeconds":%s}`,
					e.ClientID, e.ClientSecret, text)); r.Status != 400 {
				t.Errorf("%s: %d %s", text, r.Status, r.Body)
			}
		}
		org := "/v1/organizations/" + organization(t, s, e.EntityID)
		operator := s.As(t, servertest.Operator)
		s.Do(t, "PATCH", org, object{"settings": object{"requestedTokenSeconds": 120}}, operator).Want(t, 200)
		if r := ask(3600).Want(t, 200); r.Get("expires_in") != 120.0 {
			t.Errorf("the organization's maximum: %s", r.Body)
		}
		s.Do(t, "PATCH", org, object{"settings": object{"requestedTokenSeconds": 86400}}, operator).Want(t, 200)
		if r := ask(7200).Want(t, 200); r.Get("expires_in") != 3600.0 {
			t.Errorf("the client's own: %s", r.Body)
		}
		r := s.Do(t, "POST", access, grant(e, object{"ExpiresInSeconds": 60}), servertest.Bearer("whatever")).
			Want(t, 200)
		bearer := servertest.Bearer(r.String("access_token"))
		me := s.Do(t, "GET", "/v1/auth/me", nil, bearer).Want(t, 200)
		if me.String("kind") != "client" || me.String("id") != e.ClientID {
			t.Errorf("me: %s", me.Body)
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s.Do(t, method, info, nil, bearer).Want(t, 200)
		}
		s.Clock.Advance(61 * time.Second)
		if r := s.Do(t, "GET", info, nil, bearer); r.Status != 401 || r.String("Code") != "TOKEN_EXPIRED" {
			t.Errorf("after a minute: %d %s", r.Status, r.Body)
		}
		last := servertest.Bearer(ask(600).Want(t, 200).String("access_token"))
		s.Do(t, "PUT", entity+"/"+e.EntityID, object{"Active": false}, s.Master()).Want(t, 200)
		if r := ask(600); r.Status != 401 || s.Do(t, "GET", info, nil, last).Status != 401 {
			t.Errorf("inactive: %d", r.Status)
		}
		s.Do(t, "PUT", entity+"/"+e.EntityID, object{"Active": true}, s.Master()).Want(t, 200)
		s.Do(t, "GET", info, nil, last).Want(t, 200)
	})
}

func organization(t *testing.T, s *servertest.Server, entityID string) string {
	t.Helper()
	return "org_" + ulid.ULID(uuid.MustParse(entityID)).String()
}

// D2, ATK32: provisioning is the platform's, by what its token holds; a provisioned credential holds the default, never
// people, roles or settings; names that are taken get a slug of their own; nothing is half made.
func TestD2_Provisioning(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator := s.As(t, servertest.Operator)
		count := func() int {
			var l struct{ Data []any }
			s.Do(t, "GET", "/v1/organizations?limit=1000", nil, operator).Want(t, 200).Into(t, &l)
			return len(l.Data)
		}
		before := count()
		a, b := s.Provision(t, "Größe & Höhe", "SystemAccessToken"), s.Provision(t, "Größe & Höhe", "OAuth2")
		if a.SID != "grosse-hohe" || !strings.HasPrefix(b.SID, a.SID+"-") {
			t.Errorf("%q and %q", a.SID, b.SID)
		}
		s.Provision(t, "組織", "SystemAccessToken")
		s.Provision(t, "7", "SystemAccessToken")
		if n := count() - before; n != 4 {
			t.Errorf("%d organizations", n)
		}
		for _, c := range []struct {
			name string
			by   string
		}{{"SAT", a.JWT}, {"client", s.BrokerToken(t, b.ClientID, b.ClientSecret)}} {
			me := s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(c.by)).Want(t, 200)
			if fmt.Sprint(me.Get("permissions")) != "[entity:manage:all reports:read:all sla_policies:manage:all "+
				"system_tokens:manage:all tickets:manage:all]" {
				t.Errorf("%s holds %v", c.name, me.Get("permissions"))
			}
		}
		before = count()
		reader := s.Do(t, "POST", "/v1/system-tokens",
			object{"name": "reader", "permissions": []string{"organizations:read:all"}}, operator).Want(t, 201).
			String("token")
		for path, method := range map[string]string{entity: "POST", entity + "/" + a.EntityID: "DELETE"} {
			s.Do(t, method, path, object{"Name": "x"}, servertest.Bearer(reader)).Want(t, 401)
		}
		s.Do(t, "PUT", entity+"/"+a.EntityID, object{"Name": "x"}, servertest.Bearer(reader)).Want(t, 401)
		s.Do(t, "GET", entity+"/"+a.EntityID, nil, servertest.Bearer(reader)).Want(t, 200)
		for _, body := range []object{{"Name": ""}, {"Name": strings.Repeat("x", 201)}, {"Name": "x", "Email": "@"},
			{"Name": "x", "EntityId": a.EntityID}, {"Name": "x", "SID": strings.Repeat("x", 101)},
			{"Name": "x", "Desc": "a\u0001b"}} {
			s.Do(t, "POST", entity, body, s.Master()).Want(t, 400)
		}
		if n := count(); n != before {
			t.Errorf("%d organizations were half made", n-before)
		}
		// The platform's own entry cannot be ended.
		platform := s.Do(t, "GET", entity, nil, s.Master()).Want(t, 200).String("EntityId")
		s.Do(t, "DELETE", entity+"/"+platform, nil, s.Master()).Want(t, 400)
		s.Do(t, "PUT", entity+"/"+platform, object{"Active": false}, s.Master()).Want(t, 400)
		s.Do(t, "PUT", entity, object{"AuthType": "OAuth2"}, s.Master()).Want(t, 400) // it would stop itself
		s.Do(t, "GET", entity, nil, s.Master()).Want(t, 200)
		// Audited where it happened and where the platform is.
		events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, operator).Want(t, 200).Body)
		if strings.Count(events, `"organization.created"`) < 4 || strings.Count(events, `"system_token.created"`) < 3 ||
			strings.Count(events, `"client_secret.created"`) != 1 {
			t.Errorf("events: %s", events)
		}
	})
}

// D2: an organization whose first credential cannot be written is not made: nobody meets one half made, and asking
// again makes it whole.
func TestD2_AllOrNothing(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		operator := s.As(t, servertest.Operator)
		before := string(s.Do(t, "GET", "/v1/organizations?limit=1000", nil, operator).Want(t, 200).Body)
		s.Do(t, "GET", entity, nil, s.Master()).Want(t, 200) // its own row is known from now on
		s.Rename(t, "credentials", "credentials_gone")
		for _, authType := range []string{"SystemAccessToken", "OAuth2"} {
			r := s.Do(t, "POST", entity, object{"Name": "All or nothing", "AuthType": authType}, s.Master())
			if r.Status != 500 || r.String("Code") != "INTERNAL_ERROR" ||
				strings.Contains(string(r.Body), "credentials") || strings.Contains(string(r.Body), "eyJ") {
				t.Errorf("%s: %d %s", authType, r.Status, r.Body)
			}
		}
		s.Rename(t, "credentials_gone", "credentials")
		if after := string(s.Do(t, "GET", "/v1/organizations?limit=1000", nil, operator).
			Want(t, 200).Body); after != before {
			t.Errorf("half made: %s", after)
		}
		if e := s.Provision(t, "All or nothing", "OAuth2"); e.SID != "all-or-nothing" || e.ClientSecret == "" {
			t.Errorf("%+v", e)
		}
	})
}

// D6: a parameter that is misspelled, of something else or given twice never makes the caller's own entity of another,
// and what was meant to narrow a token or a list is not dropped.
func TestD6_ParametersThatAreNone(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		field := s.Provision(t, "Field Service", "OAuth2")
		master, own := s.Master(), servertest.Bearer(s.Seeds.SystemAccessTokens[0].Token)
		for _, c := range []struct {
			method, path string
			body         any
			by           servertest.Change
		}{
			{"GET", entity + "?entityId=" + field.EntityID, nil, master},
			{"GET", entity + "?EntityId=" + field.EntityID + "&EntityId=" + field.EntityID, nil, master},
			{"GET", entity + "/" + field.EntityID + "?Active=false", nil, master},
			{"PUT", entity + "?entityid=" + field.EntityID, object{"Name": "Renamed"}, master},
			{"POST", entity + "?Name=x", object{"Name": "Another"}, master},
			{"DELETE", entity + "/" + field.EntityID + "?force=1", nil, master},
			{"GET", token + "?EntityId=" + field.EntityID, nil, own},
			{"GET", token + "?Active=true", nil, own},
			{"GET", token + "?limit=1", nil, own},
			{"POST", access + "?scope=tickets:read:all", grant(field, nil), own},
			{"POST", access, grant(field, object{"Scope": "tickets:read:all"}), own},
		} {
			if r := s.Do(t, c.method, c.path, c.body, c.by); r.Status != 400 || r.String("Code") == "" {
				t.Errorf("%s %s: %d %s", c.method, c.path, r.Status, r.Body)
			}
		}
		for _, path := range []string{entity, entity + "?EntityId=" + field.EntityID} {
			if r := s.Do(t, "GET", path, nil, master).Want(t, 200); r.String("Name") == "Renamed" {
				t.Errorf("%s: %s", path, r.Body)
			}
		}
	})
}

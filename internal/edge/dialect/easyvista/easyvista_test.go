package easyvista_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

type object = map[string]any

const base = "/api/v1/acme-corp"

// C4: a date outside 1970 to 9999 is refused. The day before year 1 closes at the zero time, which must not mean never.
func TestC4_ZeroDatesAreNoAbsence(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		boss := servertest.Demo("admin")
		made := s.Do(t, "POST", base+"/tokens", object{"name": "x", "expiry_date": "2099-12-31"}, boss).Want(t, 201)
		for _, date := range []any{"0000-12-31", "0001-01-01", "1969-12-31", "1970-01-01", "9999-12-31",
			"10000-01-01", "", 0, false} {
			s.Do(t, "POST", base+"/tokens", object{"name": "x", "expiry_date": date}, boss).Want(t, 400)
			s.Do(t, "PUT", base+"/tokens/"+made.String("id"), object{"expiry_date": date}, boss).Want(t, 400)
		}
		for _, period := range []any{0, -30, "", false} {
			s.Do(t, "PUT", base+"/tokens/"+made.String("id"), object{"period": period}, boss).Want(t, 400)
		}
		r := s.Do(t, "GET", base+"/tokens/"+made.String("id"), nil, boss).Want(t, 200)
		if r.Get("expiry_date") != "2099-12-31" {
			t.Errorf("ends %v", r.Get("expiry_date"))
		}
	})
}

// C2, C3, C7, C8, C9: every answer, good and bad, is as its golden file says.
func TestC7_Golden(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		boss, desk := servertest.Demo("admin"), servertest.Bearer(s.Seeds.AccessTokens[0].Token)
		seeded := s.Seeds.AccessTokens[0].ID
		revoked := s.AccessToken(t, admin, s.UserID(t, servertest.Manager))
		made := s.Do(t, "POST", base+"/tokens", object{"name": "Nightly export", "user": "manager",
			"expiry_date": "2099-12-31"}, boss).Want(t, 201)
		var tickets struct {
			Records []struct{ ID string }
		}
		s.Do(t, "GET", base+"/requests", nil, desk).Want(t, 200).Into(t, &tickets)
		do := func(method, path string, body any, changes ...servertest.Change) servertest.Response {
			return s.Do(t, method, path, body, changes...)
		}
		s.Do(t, "DELETE", base+"/tokens/"+revoked.ID, nil, boss).Want(t, 204)
		for _, g := range []struct {
			name string
			r    servertest.Response
		}{
			{"tokens", do("GET", base+"/tokens", nil, boss)},
			{"tokens_page", do("GET", base+"/tokens?max_rows=1", nil, boss)},
			{"token", do("GET", base+"/tokens/"+made.String("id"), nil, boss)},
			{"token_created", do("POST", base+"/tokens",
				object{"name": "Export", "user": "manager", "period": 30, "resources": []string{"tickets"}}, boss)},
			{"token_created_for_oneself", do("POST", base+"/tokens", object{"name": "Mine"}, boss)},
			{"token_changed", do("PUT", base+"/tokens/"+made.String("id"), object{"expiry_date": nil}, boss)},
			{"token_changed_by_period", do("PUT", base+"/tokens/"+made.String("id"), object{"period": 365}, boss)},
			{"token_revoked", do("DELETE", base+"/tokens/"+made.String("id"), nil, boss)},
			{"token_changed_after_revocation", do("PUT", base+"/tokens/"+made.String("id"), object{"expiry_date": nil},
				boss)},
			{"token_unknown", do("GET", base+"/tokens/act_01BX5ZZKBKACTAV9WEVGEMMVRZ", nil, boss)},
			{"token_denied", do("GET", base+"/tokens/"+seeded, nil, servertest.Demo("agent"))},
			{"create_no_name", do("POST", base+"/tokens", object{"user": "manager"}, boss)},
			{"create_unknown_user", do("POST", base+"/tokens", object{"name": "x", "user": "nobody"}, boss)},
			{"create_bad_date", do("POST", base+"/tokens", object{"name": "x", "expiry_date": "31/12/2099"}, boss)},
			{"create_past_date", do("POST", base+"/tokens", object{"name": "x", "expiry_date": "2020-12-31"}, boss)},
			{"create_bad_period", do("POST", base+"/tokens", object{"name": "x", "period": 31}, boss)},
			{"create_period_as_text", do("POST", base+"/tokens", object{"name": "x", "period": "30"}, boss)},
			{"create_both", do("POST", base+"/tokens", object{"name": "x", "period": 30, "expiry_date": "2099-12-31"},
				boss)},
			{"create_bad_resource", do("POST", base+"/tokens", object{"name": "x", "resources": []string{"nothing"}},
				boss)},
			{"create_not_json", do("POST", base+"/tokens", "{", boss)},
			{"create_form", s.PostForm(t, base+"/tokens", []string{"name", "x"}, boss)},
			{"create_by_token", do("POST", base+"/tokens", object{"name": "x"}, desk)},
			{"change_nothing", do("PUT", base+"/tokens/"+seeded, object{}, boss)},
			{"requests", do("GET", base+"/requests", nil, desk)},
			{"requests_page", do("GET", base+"/requests?max_rows=3&status=new", nil, desk)},
			{"requests_none", do("GET", base+"/requests?status=closed", nil, desk)},
			{"requests_bad_status", do("GET", base+"/requests?status=lost", nil, desk)},
			{"requests_bad_rows", do("GET", base+"/requests?max_rows=1001", nil, desk)},
			{"requests_bad_cursor", do("GET", base+"/requests?cursor=x", nil, desk)},
			{"request", do("GET", base+"/requests/"+tickets.Records[0].ID, nil, desk)},
			{"request_unknown", do("GET", base+"/requests/tkt_01BX5ZZKBKACTAV9WEVGEMMVRZ", nil, desk)},
			{"missing", do("GET", base+"/requests", nil)},
			{"wrong_token", do("GET", base+"/requests", nil, servertest.Bearer("gth_at_nonsense"))},
			{"revoked_token", do("GET", base+"/requests", nil, revoked.Send())},
			{"wrong_kind", do("GET", base+"/requests", nil,
				servertest.Bearer(s.Login(t, servertest.Manager).AccessToken))},
			{"wrong_password", do("GET", base+"/requests", nil, servertest.Password("manager", "wrong"))},
			{"bad_basic", do("GET", base+"/requests", nil, servertest.Header("Authorization", "Basic nonsense"))},
			{"latin1_basic", do("GET", base+"/requests", nil, servertest.Password("manager", "gr\xfcn"))},
			{"other_account", do("GET", "/api/v1/second-tenant/requests", nil, desk)},
			{"unknown_account", do("GET", "/api/v1/nowhere/requests", nil, desk)},
			{"unknown_path", do("GET", base+"/nothing", nil, desk)},
			{"wrong_method", do("PATCH", base+"/tokens", nil, desk)},
		} {
			g.r.Golden(t, g.name)
		}
		for range 5 {
			do("GET", base+"/requests", nil, servertest.Password("agent", "wrong"))
		}
		do("GET", base+"/requests", nil, servertest.Demo("agent")).Golden(t, "locked")
		s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"basicAuthentication": false}}, admin).
			Want(t, 200)
		do("GET", base+"/requests", nil, servertest.Demo("manager")).Golden(t, "basic_off")
		do("GET", base+"/requests", nil, desk).Want(t, 200)
		expiring := s.Do(t, "POST", "/v1/access-tokens",
			object{"name": "short", "userId": s.UserID(t, servertest.Manager), "expiresAt": s.Clock.Now().
				Add(time.Minute)}, admin).Want(t, 201).String("token")
		s.Clock.Advance(2 * time.Minute)
		do("GET", base+"/requests", nil, servertest.Bearer(expiring)).Golden(t, "expired_token")
		s.Do(t, "PATCH", "/v1/organizations/"+s.Organization("acme-corp"), object{"state": "suspended"},
			s.As(t, servertest.Operator)).Want(t, 200)
		do("GET", base+"/requests", nil, desk).Golden(t, "suspended")
	})
}

// C1: an access token opens what its user's role opens, now, and of that only the resources it is narrowed to.
func TestC1_Rights(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		boss := servertest.Demo("admin")
		user := s.UserID(t, servertest.Manager)
		token := func(body object) servertest.Change {
			body["name"], body["user"] = "x", "manager"
			return servertest.Bearer(s.Do(t, "POST", base+"/tokens", body, boss).Want(t, 201).String("token"))
		}
		whole, tickets, reports := token(object{}), token(object{"resources": []string{"tickets"}}),
			token(object{"resources": []string{"reports"}})
		get := func(path string, by servertest.Change) int { return s.Do(t, "GET", path, nil, by).Status }
		for name, got := range map[string][2]int{
			"whole": {get(base+"/requests", whole), 200}, "tickets": {get(base+"/requests", tickets), 200},
			"reports":         {get(base+"/requests", reports), 403},
			"whole reports":   {get("/v1/reports/tickets", whole), 200},
			"tickets reports": {get("/v1/reports/tickets", tickets), 403},
			"reports reports": {get("/v1/reports/tickets", reports), 200},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %d, want %d", name, got[0], got[1])
			}
		}
		// Own tickets by an end user's token; Basic gives the same.
		end := servertest.Bearer(s.Do(t, "POST", base+"/tokens", object{"name": "x", "user": "enduser"}, boss).
			Want(t, 201).String("token"))
		for name, by := range map[string]servertest.Change{"token": end, "password": servertest.Demo("enduser"),
			"password by e-mail": servertest.Demo(servertest.EndUser)} {
			r := s.Do(t, "GET", base+"/requests", nil, by).Want(t, 200)
			if r.Get("record_count") != 2.0 || r.Get("total_record_count") != 2.0 {
				t.Errorf("an end user's %s: %v of %v", name, r.Get("record_count"), r.Get("total_record_count"))
			}
		}
		s.Do(t, "PATCH", "/v1/users/"+user, object{"role": "end_user"}, admin).Want(t, 200) // felt at once
		if got := [2]int{get("/v1/reports/tickets", whole), get("/v1/reports/tickets", reports)}; got != [2]int{403,
			403} {
			t.Errorf("after a change of role: %v", got)
		}
		s.Do(t, "PATCH", "/v1/users/"+user, object{"state": "disabled"}, admin).Want(t, 200)
		if got := [2]int{get(base+"/requests", whole), get(base+"/requests", tickets)}; got != [2]int{401, 401} {
			t.Errorf("its user disabled: %v", got)
		}
		// A token manages tokens as far as its user's role does, but makes none (G12), and lifts no bounds.
		manage := s.AccessToken(t, admin, s.UserID(t, servertest.Admin))
		id := s.Seeds.AccessTokens[0].ID
		for name, got := range map[string][2]int{
			"list": {s.Do(t, "GET", base+"/tokens", nil, manage.Send()).Status, 200},
			"make": {s.Do(t, "POST", base+"/tokens", object{"name": "x"}, manage.Send()).Status, 403},
			"prolong": {s.Do(t, "PUT", base+"/tokens/"+id, object{"expiry_date": "2099-12-31"}, manage.Send()).Status,
				403}, "revoke": {s.Do(t, "DELETE", base+"/tokens/"+id, nil, manage.Send()).Status, 204},
		} {
			if got[0] != got[1] {
				t.Errorf("a token %ss: %d, want %d", name, got[0], got[1])
			}
		}
	})
}

// C4: a date and a period end at the midnight that closes the day where the organization is; the instant is shown; the
// expiry can be edited, and taken away.
func TestC4_Midnight(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		boss := servertest.Demo("admin")
		zone := func(name string) *time.Location {
			s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"timeZone": name}},
				s.As(t, servertest.Admin)).Want(t, 200)
			l, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		for _, name := range []string{"UTC", "Europe/Madrid", "America/New_York", "Pacific/Kiritimati",
			"Africa/Cairo"} {
			l := zone(name)
			now := s.Clock.Now().In(l)
			r := s.Do(t, "POST", base+"/tokens", object{"name": name, "period": 90}, boss).Want(t, 201)
			want := time.Date(now.Year(), now.Month(), now.Day()+91, 0, 0, 0, 0, l)
			if got, err := time.Parse(time.RFC3339, r.String("expires_at")); err != nil || !got.Equal(want) ||
				!strings.HasSuffix(r.String("expires_at"), "Z") {
				t.Errorf("90 days in %s: %s, want %s", name, r.String("expires_at"), want)
			}
			shown := s.Do(t, "GET", base+"/tokens/"+r.String("id"), nil, boss).Want(t, 200)
			if shown.String("expiry_date") != want.AddDate(0, 0, -1).Format(time.DateOnly) ||
				shown.String("expires_at") != r.String("expires_at") {
				t.Errorf("shown: %s", shown.Body)
			}
		}
		// Today is a date too: the token works until the day closes, to the millisecond.
		zone("Europe/Madrid")
		madrid, _ := time.LoadLocation("Europe/Madrid")
		// about noon, so that no midnight passes meanwhile
		s.Clock.Advance(12*time.Hour - time.Duration(s.Clock.Now().In(madrid).Hour())*time.Hour + 24*time.Hour)
		now := s.Clock.Now().In(madrid)
		midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, madrid)
		r := s.Do(t, "POST", base+"/tokens", object{"name": "today", "user": "manager",
			"expiry_date": now.Format(time.DateOnly)}, boss).Want(t, 201)
		token := servertest.Bearer(r.String("token"))
		if got, _ := time.Parse(time.RFC3339, r.String("expires_at")); !got.Equal(midnight) {
			t.Errorf("today closes at %s, want %s", got, midnight)
		}
		s.Clock.Advance(midnight.Sub(s.Clock.Now()) - time.Minute)
		s.Do(t, "GET", base+"/requests", nil, token).Want(t, 200)
		// Another day, from the last minute of this one; then none; then gone for good.
		id := r.String("id")
		s.Do(t, "PUT", base+"/tokens/"+id, object{"expiry_date": midnight.Format(time.DateOnly)}, boss).Want(t, 200)
		s.Clock.Advance(2 * time.Minute)
		s.Do(t, "GET", base+"/requests", nil, token).Want(t, 200)
		s.Clock.Advance(24 * time.Hour)
		if r := s.Do(t, "GET", base+"/requests", nil, token); r.Status != 401 ||
			r.String("error_code") != "TOKEN_EXPIRED" {
			t.Errorf("after the second midnight: %d %s", r.Status, r.Body)
		}
		if r := s.Do(t, "PUT", base+"/tokens/"+id, object{"expiry_date": nil}, boss).
			Want(t, 200); r.Get("expires_at") != nil || r.Get("expiry_date") != nil {
			t.Errorf("without an expiry: %s", r.Body)
		}
		s.Do(t, "GET", base+"/requests", nil, token).Want(t, 200)
		s.Do(t, "DELETE", base+"/tokens/"+id, nil, boss).Want(t, 204)
		s.Do(t, "GET", base+"/requests", nil, token).Want(t, 401)
		s.Do(t, "PUT", base+"/tokens/"+id, object{"period": 30}, boss).Want(t, 409)
		if r := s.Do(t, "GET", base+"/tokens/"+id, nil, boss).Want(t, 200); r.Get("revoked") != true { // C5
			t.Errorf("a revoked one: %s", r.Body)
		}
	})
}

// C9: following @next gives every record once, in pages of max_rows; the totals are right; addresses work as they are.
func TestC9_Pages(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		boss := servertest.Demo("admin")
		for i := range 7 {
			s.Do(t, "POST", "/v1/tickets", object{"type": "task", "title": fmt.Sprint("task ", i), "priority": "low"},
				s.As(t, servertest.Manager)).Want(t, 201)
			s.Do(t, "POST", base+"/tokens", object{"name": fmt.Sprint("token ", i)}, boss).Want(t, 201)
		}
		for path, total := range map[string]int{base + "/requests?max_rows=3": 11,
			base + "/requests?max_rows=3&priority=low": 8, base + "/tokens?max_rows=3": 8,
			"/api/v1/50001/requests?max_rows=11": 11, base + "/requests": 11} {
			seen, pages, next := map[string]bool{}, 0, path
			for next != "" && pages < 20 {
				var page struct {
					HREF    string `json:"HREF"`
					Count   int    `json:"record_count"`
					Total   int    `json:"total_record_count"`
					Records []struct {
						HREF string `json:"HREF"`
						ID   string `json:"id"`
					} `json:"records"`
					Next string `json:"@next"`
				}
				s.Do(t, "GET", next, nil, boss).Want(t, 200).Into(t, &page)
				pages++
				if page.Count != len(page.Records) || page.Total != total {
					t.Fatalf("%s: %d of %d, %d records", next, page.Count, page.Total, len(page.Records))
				}
				for _, r := range page.Records {
					if seen[r.ID] {
						t.Errorf("%s twice", r.ID)
					}
					seen[r.ID] = true
					if got := s.Do(t, "GET", local(t, r.HREF), nil, boss).Want(t, 200).String("id"); got != r.ID {
						t.Errorf("%s is %s", r.HREF, got)
					}
				}
				if next = page.Next; next != "" {
					next = local(t, next)
				}
			}
			if len(seen) != total {
				t.Errorf("%s: %d seen of %d in %d pages", path, len(seen), total, pages)
			}
		}
		// A cursor is for its own list, filters and tenant.
		var page struct {
			Next string `json:"@next"`
		}
		s.Do(t, "GET", base+"/requests?max_rows=1", nil, boss).Into(t, &page)
		u, _ := url.Parse(page.Next)
		cursor := u.Query().Get("cursor")
		for _, path := range []string{base + "/tokens?cursor=" + cursor,
			base + "/requests?status=new&cursor=" + cursor} {
			s.Do(t, "GET", path, nil, boss).Want(t, 400)
		}
		s.Do(t, "GET", "/api/v1/second-tenant/requests?cursor="+cursor, nil,
			servertest.Bearer(s.Seeds.AccessTokens[1].Token)).Want(t, 400)
	})
}

// C9: offset, max_rows, sort and search give what they ask for, and what is not honoured is refused; nothing that
// narrows a list is dropped in silence. What is denied is told before what is misspelled (C8).
func TestC9_Parameters(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		boss := servertest.Demo("admin")
		manager, agent := s.UserID(t, servertest.Manager), s.UserID(t, servertest.Agent)
		for i := range 3 {
			s.Do(t, "POST", "/v1/tickets", object{"type": "task", "title": fmt.Sprint("task ", i), "priority": "low",
				"assigneeId": agent}, s.As(t, servertest.Manager)).Want(t, 201)
			s.Do(t, "POST", base+"/tokens", object{"name": fmt.Sprint("token ", i), "user": "manager"}, boss).
				Want(t, 201)
		}
		type page struct {
			Count   int `json:"record_count"`
			Total   int `json:"total_record_count"`
			Records []map[string]any
			Next    string `json:"@next"`
		}
		get := func(path string, by servertest.Change) (p page) {
			t.Helper()
			s.Do(t, "GET", path, nil, by).Want(t, 200).Into(t, &p)
			return p
		}
		ids := func(p page) string {
			var list []string
			for _, r := range p.Records {
				list = append(list, r["id"].(string))
			}
			return strings.Join(list, " ")
		}
		follow := func(path string) string { // all ids behind an address, by @next
			var list []string
			for pages := 0; path != "" && pages < 50; pages++ {
				p := get(path, boss)
				list = append(list, ids(p))
				if path = p.Next; path != "" {
					path = local(t, path)
				}
			}
			return strings.Join(list, " ")
		}
		for _, name := range []string{"/requests", "/tokens"} {
			whole := get(base+name, boss)
			all := strings.Fields(ids(whole))
			backwards := slices.Clone(all)
			slices.Reverse(backwards)
			ascending := slices.Clone(all)
			slices.Sort(ascending)
			descending := slices.Clone(ascending)
			slices.Reverse(descending)
			// As public clients walk: by offset, until there is no @next.
			var seen []string
			for offset := 0; offset < 50; offset++ {
				p := get(fmt.Sprint(base, name, "?max_rows=1&offset=", offset), boss)
				seen = append(seen, strings.Fields(ids(p))...)
				if p.Count != 1 || p.Total != whole.Total {
					t.Errorf("%s from %d: %d of %d", name, offset, p.Count, p.Total)
				}
				if p.Next == "" {
					break
				}
			}
			if !slices.Equal(seen, all) {
				t.Errorf("%s by offset: %v, want %v", name, seen, all)
			}
			if p := get(fmt.Sprint(base, name, "?offset=", len(all)), boss); p.Count != 0 || p.Next != "" ||
				p.Total != whole.Total || p.Records == nil {
				t.Errorf("%s behind the end: %+v", name, p)
			}
			for query, want := range map[string][]string{"offset=2&max_rows=2": all[2:], "sort=created_at": ascending,
				"sort=created_at+asc&max_rows=3": ascending, "sort=CREATED_AT%20DESC&max_rows=2": descending,
				"sort=id+desc": descending, "sort=id&max_rows=2&offset=1": ascending[1:]} {
				if got := follow(base + name + "?" + query); got != strings.Join(want, " ") {
					t.Errorf("%s?%s: %s, want %v", name, query, got, want)
				}
			}
			for _, query := range []string{"offset=-1", "offset=x", "offset=100001", "offset=99999999999999999999",
				"offset=1.5", "max_rows=0", "max_rows=1&max_rows=2", "offset=1&offset=1", "sort=title", "sort=id+up",
				"sort=id+asc,created_at", "search=title", "search=title:x", "search=:x", "search=id:", "search=x",
				"search=" + url.QueryEscape(`user:"manager`), "search=" + url.QueryEscape(`user:"manager"x`), "fields=id",
				"formatDate=x", "page=2", "Status=new", "nothing="} {
				r := s.Do(t, "GET", base+name+"?"+query, nil, boss)
				if r.Status != 400 || r.String("error_code") != "VALIDATION_ERROR" {
					t.Errorf("%s?%s: %d %s", name, query, r.Status, r.Body)
				}
			}
			u, err := url.Parse(get(base+name+"?max_rows=1", boss).Next)
			if err != nil {
				t.Fatal(err)
			}
			cursor := u.Query().Get("cursor")
			for _, query := range []string{"offset=1", "offset=0", "sort=id"} { // for another order it is no position
				s.Do(t, "GET", base+name+"?"+query+"&cursor="+cursor, nil, boss).Want(t, 400)
			}
			s.Do(t, "GET", base+name+"/"+all[0]+"?fields=id", nil, boss).Want(t, 400)
		}
		ticket := get(base+"/requests?search=priority:low&max_rows=1", boss).Records[0]["id"].(string)
		for query, want := range map[string]int{"search=status:new": 7, "search=Priority:low": 4,
			`search=id:"` + ticket + `"`: 1, "search=assignee_id:" + agent: 4,
			`search=priority:"low",assignee_id:` + agent: 3, "search=priority:low,requester_id:" + manager: 3,
			"search=id:tkt_01BX5ZZKBKACTAV9WEVGEMMVRZ": 0, "search=team_id:team_01BX5ZZKBKACTAV9WEVGEMMVRZ": 0,
			"status=new&search=priority:low": 4} {
			path := base + "/requests?max_rows=2&" + strings.ReplaceAll(query, `"`, "%22")
			if p, n := get(path, boss), len(strings.Fields(follow(path))); p.Total != n {
				t.Errorf("%s: %d in all, %d by @next", query, p.Total, n)
			} else if n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
			if p := get(path, servertest.Demo("enduser")); p.Total > 2 || p.Count > p.Total {
				t.Errorf("an end user finds %d by %s", p.Total, query)
			}
		}
		for _, query := range []string{"search=status:lost", "search=status:!new", "search=assignee_id:is_null",
			"search=id~tkt", "search=status:new,status:open", "status=new&search=status:new", "search=title:task",
			"search=type:task", "status=new&status=new",
			"search=requester_id:" + manager + ",assignee_id:" + agent, "status=lost"} {
			s.Do(t, "GET", base+"/requests?"+query, nil, boss).Want(t, 400)
		}
		for query, want := range map[string]int{"user:manager": 4, `user:"` + servertest.Manager + `"`: 4,
			"user:" + manager: 4, "user:admin": 0, "user:nobody": 0} {
			if p := get(base+"/tokens?search="+url.QueryEscape(query), boss); p.Total != want || p.Count != want {
				t.Errorf("%s: %d of %d, want %d", query, p.Count, p.Total, want)
			}
		}
		// Whoever sees their own alone learns nothing of others, nor whether there are such people.
		own := servertest.Demo("manager")
		for _, query := range []string{"user:admin", "user:nobody"} {
			r := s.Do(t, "GET", base+"/tokens?search="+query, nil, own)
			if r.Status == 200 && r.Get("total_record_count") != 0.0 {
				t.Errorf("%s by a manager: %s", query, r.Body)
			}
		}
		// What is denied, and what does not exist, is one answer, however it is asked for.
		denied := servertest.Demo("enduser")
		for _, path := range []string{"/tokens", "/nothing", "/nothing?x=1&x=2", "/tokens?x=1&x=2", "/tokens?offset=-1",
			"/nothing?offset=-1"} {
			if r := s.Do(t, "GET", base+path, nil, denied); r.Status != 403 || r.String("error_code") != "FORBIDDEN" {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
	})
}

func local(t *testing.T, address string) string {
	t.Helper()
	path, ok := strings.CutPrefix(address, servertest.PublicURL)
	if !ok {
		t.Fatalf("%s is not at the public URL", address)
	}
	return path
}

// C7: a password is proven anew each time; a change of it, of the user or of the setting is felt by the next request,
// on every node.
func TestC7_BasicRemembersNothing(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		s := servertest.New(t, address)
		admin := s.As(t, servertest.Admin)
		get := func(node *servertest.Server, password string) int {
			return node.Do(t, "GET", base+"/requests", nil, servertest.Password("manager", password)).Status
		}
		before := s.Hasher.Done()
		for range 3 {
			if got := get(s, demo.Password); got != 200 {
				t.Fatal(got)
			}
		}
		if n := s.Hasher.Done() - before; n != 3 {
			t.Errorf("three requests, %d hashes", n)
		}
		s.Do(t, "PUT", "/v1/auth/password", object{"currentPassword": demo.Password,
			"newPassword": "another passphrase of mine"}, s.As(t, servertest.Manager)).Want(t, 200)
		if a, b := get(s, demo.Password), get(s, "another passphrase of mine"); a != 401 || b != 200 {
			t.Errorf("after a change: the old one %d, the new one %d", a, b)
		}
		other := servertest.Join(t, address)
		if got := get(other, demo.Password); got != 401 {
			t.Errorf("on another node: %d", got)
		}
		s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"basicAuthentication": false}}, admin).
			Want(t, 200)
		if got := get(s, "another passphrase of mine"); got != 401 {
			t.Errorf("switched off: %d", got)
		}
		// It is a person's sign-in for one request: no session, no cookie, nothing at /v1.
		r := s.Do(t, "GET", "/v1/tickets", nil, servertest.Password("manager", "another passphrase of mine"))
		if r.Status != 401 || r.Header.Get("Set-Cookie") != "" {
			t.Errorf("at /v1: %d", r.Status)
		}
		var sessions struct{ Data []any }
		s.Do(t, "GET", "/v1/auth/sessions", nil, admin).Want(t, 200).Into(t, &sessions)
		if len(sessions.Data) != 1 {
			t.Errorf("%d sessions", len(sessions.Data))
		}
	})
}

// C7, C8: with Basic switched off a right password, a wrong one, an unknown name and an unknown account are one answer,
// the one of a wrong password while it is on, and each costs one hash.
func TestC8_SwitchedOffLooksLikeWrong(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		ask := func(account, name, password string) string {
			before := s.Hasher.Done()
			r := s.Do(t, "GET", "/api/v1/"+account+"/requests", nil, servertest.Password(name, password))
			r.Header.Del("X-Request-Id")
			r.Header.Del("Date")
			return fmt.Sprintf("%d hashes, %d %v %s", s.Hasher.Done()-before, r.Status, r.Header, r.Body)
		}
		on := ask("acme-corp", "manager", "a wrong passphrase")
		if !strings.HasPrefix(on, "1 hashes, 401") {
			t.Fatal(on)
		}
		s.Do(t, "PATCH", "/v1/organization", object{"settings": object{"basicAuthentication": false}}, admin).
			Want(t, 200)
		for name, off := range map[string]string{
			"a right password":                 ask("acme-corp", "manager", demo.Password),
			"a right password, by the address": ask("acme-corp", "manager@acme-corp.example", demo.Password),
			"a wrong password":                 ask("acme-corp", "manager", "a wrong passphrase"),
			"an unknown name":                  ask("acme-corp", "nobody", demo.Password),
			"an unknown account":               ask("nowhere", "manager", demo.Password),
		} {
			if off != on {
				t.Errorf("%s: %s\nwhile it is on: %s", name, off, on)
			}
		}
		// The administrator learns why, and the account is not locked for its owner by a program that goes on trying.
		events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, admin).Want(t, 200).Body)
		if !strings.Contains(events, `"switched_off"`) {
			t.Error(events)
		}
		for range 6 {
			ask("acme-corp", "manager", demo.Password)
		}
		s.Login(t, servertest.Manager)
	})
}

// A4, ATK31: a browser sends a remembered password by itself, so what changes something needs an origin of the
// organization's, as with the cookie. Programs send no origin.
func TestC7_BasicAcrossSites(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Do(t, "PATCH", "/v1/organization",
			object{"settings": object{"allowedOrigins": []string{"https://evil.example"}}},
			s.As(t, servertest.Foreigner)).Want(t, 200)
		s.Do(t, "PATCH", "/v1/organization",
			object{"settings": object{"allowedOrigins": []string{"https://app.example"}}}, s.As(t, servertest.Admin)).
			Want(t, 200)
		for origin, want := range map[string]int{"https://evil.example": 403, "null": 403, "https://app.example": 201,
			servertest.PublicURL: 201, "": 201} {
			changes := []servertest.Change{servertest.Demo("admin")}
			if origin != "" {
				changes = append(changes, servertest.Header("Origin", origin))
			}
			r := s.Do(t, "POST", base+"/tokens", object{"name": "x"}, changes...)
			if r.Status != want {
				t.Errorf("from %q: %d %s", origin, r.Status, r.Body)
			}
			if r := s.Do(t, "GET", base+"/tokens", nil, changes...); r.Status != 200 ||
				origin == "https://evil.example" && r.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("reading from %q: %d %v", origin, r.Status, r.Header)
			}
		}
		// a token is sent by nobody but who has it
		s.Do(t, "GET", base+"/requests", nil, servertest.Bearer(s.Seeds.AccessTokens[0].Token),
			servertest.Header("Origin", "https://evil.example")).Want(t, 200)
	})
}

// G9: the use of a password with single requests is in the audit log: once an hour for a user and a network, not for
// each.
func TestG9_BasicIsRecorded(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for range 5 {
			s.Do(t, "GET", base+"/requests", nil, servertest.Demo("agent")).Want(t, 200)
			s.Do(t, "GET", base+"/requests", nil, servertest.Demo("manager")).Want(t, 200)
		}
		events := string(s.Do(t, "GET", "/v1/audit-events?limit=1000", nil, s.As(t, servertest.Admin)).
			Want(t, 200).Body)
		if n := strings.Count(events, `"password.used"`); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

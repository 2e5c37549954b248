package api_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// G10, A17: a time outside 1970 to 9999 is 400 wherever one may be given, and never taken for none: a key with a date
// of year 1 would have no end.
func TestG10_ZeroTimesAreNoAbsence(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		key := s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "ends", "permissions": []string{},
			"expiresAt": "2099-01-01T00:00:00Z"}, admin).Want(t, 201).String("id")
		token := s.Do(t, "POST", "/v1/access-tokens", map[string]any{"name": "ends",
			"expiresAt": "2099-01-01T00:00:00Z"}, admin).Want(t, 201).String("id")
		client := s.Do(t, "POST", "/v1/clients", map[string]any{"name": "x", "permissions": []string{}}, admin).
			Want(t, 201).String("id")
		secrets := "/v1/clients/" + client + "/secrets"
		secret := s.Do(t, "POST", secrets, map[string]any{"name": "ends", "expiresAt": "2099-01-01T00:00:00Z"}, admin).
			Want(t, 201).String("id")
		for _, at := range []string{"0001-01-01T00:00:00Z", "0001-01-01T01:00:00+01:00", "0000-12-31T23:59:59Z",
			"1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z"} {
			for _, c := range []struct {
				method, path string
				body         map[string]any
			}{
				{"POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{}, "expiresAt": at}},
				{"PATCH", "/v1/api-keys/" + key, map[string]any{"expiresAt": at}},
				{"POST", "/v1/access-tokens", map[string]any{"name": "x", "expiresAt": at}},
				{"PATCH", "/v1/access-tokens/" + token, map[string]any{"expiresAt": at}},
				{"POST", secrets, map[string]any{"name": "x", "expiresAt": at}},
				{"PATCH", secrets + "/" + secret, map[string]any{"expiresAt": at}},
			} {
				if r := s.Do(t, c.method, c.path, c.body, admin); r.Status != 400 || !strings.Contains(string(r.Body),
					"expiresAt") {
					t.Errorf("%s %s with %s: %d %s", c.method, c.path, at, r.Status, r.Body)
				}
			}
			if at == "1970-01-01T00:00:00Z" { // as a bound it is one
				continue
			}
			for _, path := range []string{"/v1/audit-events?since=", "/v1/audit-events?until=",
				"/v1/reports/sign-ins?since=", "/v1/reports/sign-ins?until="} {
				s.Do(t, "GET", path+url.QueryEscape(at), nil, admin).Want(t, 400)
			}
		}
		r := s.Do(t, "GET", "/v1/audit-events?until=1970-01-01T00:00:00Z", nil, admin)
		if r.Status == 200 && strings.Contains(string(r.Body), "evt_") {
			t.Errorf("events from before 1970: %s", r.Body)
		}
		for _, path := range []string{"/v1/api-keys/" + key, "/v1/access-tokens/" + token, secrets + "/" + secret} {
			if r := s.Do(t, "GET", path, nil, admin).Want(t, 200); r.Get("expiresAt") != "2099-01-01T00:00:00Z" {
				t.Errorf("%s ends %v", path, r.Get("expiresAt"))
			}
		}
		r = s.Do(t, "POST", "/v1/api-keys", map[string]any{"name": "x", "permissions": []string{},
			"expiresAt": "0001-01-01T00:00:00Z"}, admin)
		if !strings.Contains(string(r.Body), "must be a time of the years 1970 to 9999") {
			t.Errorf("the answer does not say what would be right: %s", r.Body)
		}
	})
}

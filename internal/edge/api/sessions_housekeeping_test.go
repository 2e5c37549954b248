package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// Rows that have served their time are removed, in batches, and nothing that still counts goes with them.
func TestHousekeeping(t *testing.T) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := s.As(t, servertest.Admin)
		s.Do(t, "POST", "/v1/users", map[string]any{"email": "linked@acme-corp.example", "role": "end_user"}, admin).
			Want(t, 201)
		for range 5 {
			tokens := s.Login(t, servertest.Agent)
			s.Do(t, "POST", "/v1/auth/refresh", map[string]any{"refreshToken": tokens.RefreshToken}).Want(t, 200)
		}
		s.Do(t, "DELETE", "/v1/users/"+s.UserID(t, servertest.Agent)+"/sessions", nil, admin).Want(t, 204)
		try(s, "nobody@acme-corp.example", "wrong")
		count := func(table string) int { return strings.Count(dump(t, s, table)+"\n", "\n") }
		purge := func() {
			t.Helper()
			for range 20 {
				if _, err := s.Sessions.Purge(t.Context(), s.Clock.Now(), 2); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.OneTime.Purge(t.Context(), s.Clock.Now(), 100); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Attempts.Purge(t.Context(), s.Clock.Now(), 100); err != nil {
				t.Fatal(err)
			}
		}
		before := count("sessions")
		purge()
		if after := count("sessions"); after != before {
			t.Errorf("%d of %d sessions were removed at once", before-after, before)
		}
		s.Clock.Advance(31 * 24 * time.Hour)
		live := s.Login(t, servertest.Manager)
		purge()
		for table, most := range map[string]int{"sessions": 7, "refresh_families": 7, "onetime": 1,
			"login_attempts": 2} {
			if n := count(table); n > most {
				t.Errorf("%s still has %d rows", table, n)
			}
		}
		s.Do(t, "GET", "/v1/auth/me", nil, servertest.Bearer(live.AccessToken)).Want(t, 200)
		s.Clock.Advance(40 * 24 * time.Hour)
		purge()
		if rows := dump(t, s, "sessions"); rows != "" {
			t.Errorf("sessions that expired long ago are still there: %s", rows)
		}
	})
}

package credential

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// C3, C6: the last use is right to the minute, is known before it is written, and never goes back, whichever node
// writes last.
func TestC6_LastUse(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		other := newService(t, db, w.now)
		c := w.issue(Request{Kind: APIKey}).Credential
		at := func(after time.Duration) time.Time { return c.CreatedAt.Add(after) }
		flush := func(s *Service, after time.Duration) {
			t.Helper()
			w.later.Store(int64(after))
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string, s *Service, want time.Time) {
			t.Helper()
			got, err := s.Get(t.Context(), w.as(w.admin), APIKey, c.ID)
			if err != nil || !got.LastUsedAt.Equal(want) {
				t.Errorf("%s: last used at %s, want %s, %v", when, got.LastUsedAt, want, err)
			}
		}
		check("never used", w.Service, time.Time{})
		w.Touch(c, at(time.Second))
		check("used, on the node", w.Service, at(time.Second))
		check("used, on another node", other, time.Time{})
		w.Touch(c, at(time.Second+stampEvery-1))
		check("used again within the interval", w.Service, at(time.Second))
		w.Touch(c, at(time.Second+stampEvery))
		check("used again after it", w.Service, at(time.Second+stampEvery))
		flush(w.Service, time.Minute)
		check("written", other, at(time.Second+stampEvery))
		other.Touch(c, at(2*time.Second))
		check("an older use of another node", other, at(time.Second+stampEvery))
		flush(other, time.Minute)
		check("an older use written later", w.Service, at(time.Second+stampEvery))
		other.Touch(c, at(time.Hour))
		flush(other, time.Hour)
		check("a newer use written", w.Service, at(time.Hour))
	})
}

// G4, C3: what deserves a look: what never expires, is old since it was made or rotated, or idle since it was made or
// used; nothing that has ended, and no kind that one may not read.
func TestG4_Report(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		end := w.now().Add(1000 * time.Hour)
		made := func(n Request) Credential { return w.issue(n).Credential }
		fresh := made(Request{Kind: APIKey, ExpiresAt: end})
		used, rotated := made(Request{Kind: APIKey, ExpiresAt: end}), made(Request{Kind: APIKey, ExpiresAt: end})
		unending, token := made(Request{Kind: APIKey}), made(Request{Kind: AccessToken})
		revoked, ended := made(Request{Kind: APIKey}), made(Request{Kind: APIKey, ExpiresAt: w.now().Add(time.Hour)})
		w.put(revoked, Revoked)
		names := map[any]string{fresh.ID: "fresh", used.ID: "used", rotated.ID: "rotated", unending.ID: "unending",
			token.ID: "token", revoked.ID: "revoked", ended.ID: "ended"}
		w.later.Store(int64(10 * time.Hour))
		w.Touch(used, w.now())
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Rotate(t.Context(), w.as(w.admin), APIKey, rotated.ID, 0); err != nil {
			t.Fatal(err)
		}
		keys, tokens := caller(w, "api_keys:read:all"), caller(w, "access_tokens:read:all")
		const never = 1000 * time.Hour
		for _, c := range []struct {
			name             string
			p                principal.Principal
			older, idle, now time.Duration
			want             []string
		}{
			{"all of a kind", keys, never, never, 10 * time.Hour, []string{"unending: never expires"}},
			{"all of another kind", tokens, never, never, 10 * time.Hour, []string{"token: never expires"}},
			{"of two kinds", caller(w, "api_keys:read:all", "access_tokens:read:all"), never, never, 10 * time.Hour,
				[]string{"token: never expires", "unending: never expires"}},
			{"old", keys, 5 * time.Hour, never, 10 * time.Hour,
				[]string{"fresh: old", "unending: never expires, old", "used: old"}},
			{"idle", keys, never, 5 * time.Hour, 10 * time.Hour,
				[]string{"fresh: idle", "rotated: idle", "unending: never expires, idle"}},
			{"old and idle", keys, 5 * time.Hour, 5 * time.Hour, 10 * time.Hour, []string{"fresh: old, idle",
				"rotated: idle", "unending: never expires, old, idle", "used: old"}},
			{"before one ends", keys, never, 0, 30 * time.Minute, []string{"ended: idle", "fresh: idle",
				"rotated: idle", "unending: never expires, idle"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.later.Store(int64(c.now))
				list, err := w.Report(t.Context(), c.p, ReportFilter{OlderThan: c.older, IdleFor: c.idle, Limit: 100})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range list {
					line := names[f.ID] + ":"
					for _, why := range []struct {
						is   bool
						word string
					}{{f.NeverExpires, " never expires,"}, {f.Old, " old,"}, {f.Idle, " idle,"}} {
						if why.is {
							line += why.word
						}
					}
					got = append(got, line[:len(line)-1])
				}
				slices.Sort(got)
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		}
		_, err := w.Report(t.Context(), caller(w, "api_keys:read:own"), ReportFilter{Limit: 100})
		faulttest.Check(t, err, "FORBIDDEN: This needs the permission to read credentials of the whole organization.")
	})
}

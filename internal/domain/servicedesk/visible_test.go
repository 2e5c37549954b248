package servicedesk

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A41: whoever may not see all tickets gets exactly those of their scope, page by page, whether it is found among
// the newest tickets or gathered, in both orders, from every offset, narrowed or not. The count is that of the list.
func TestVisibleTickets(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := fill(t, db)
		for _, walked := range []int64{5, 1000} {
			s := New(db, time.Now)
			s.walked = walked
			for i, me := range w.users {
				for _, role := range []string{permission.RoleEndUser, permission.RoleAgent} {
					for _, scope := range []string{"own", "team"} {
						set, err := permission.ParseSet([]string{"tickets:read:" + scope})
						if err != nil {
							t.Fatal(err)
						}
						p := principal.Principal{Kind: principal.User, ID: string(me), Home: w.org, Organization: w.org,
							Role: role, Permissions: set}
						for _, f := range []Filter{{}, {Status: "new"}, {Priority: "high"}, {OldestFirst: true},
							{Assignee: string(w.users[1])}, {Assignee: string(w.users[2]), Status: "new"},
							{Requester: string(w.users[4]), Priority: "low"}, {Requester: string(me)},
							{Team: string(w.ids[1]), Status: "closed", OldestFirst: true}, {Team: string(w.ids[0])},
							{Status: "closed", Priority: "high", OldestFirst: true}, {Offset: 3},
							{Status: "new", Offset: 2}, {Offset: 2, OldestFirst: true}} {
							name := fmt.Sprintf("walked %d, user %d, %s, %s, %+v", walked, i, role, scope, f)
							want := w.visible(me, role != permission.RoleEndUser, scope == "team", f)
							if n, err := s.Count(t.Context(), p, f); err != nil || n != int64(len(want)) {
								t.Fatalf("%s: count %d, want %d: %v", name, n, len(want), err)
							}
							want = want[min(f.Offset, len(want)):]
							var got []id.Ticket
							for f.Limit = 4; ; {
								page, err := s.List(t.Context(), p, f)
								if err != nil {
									t.Fatal(err)
								}
								for _, ticket := range page {
									got = append(got, ticket.ID)
								}
								if len(page) < f.Limit {
									break
								}
								f.Past, f.Offset = got[len(got)-1], 0
							}
							if !slices.Equal(got, want) {
								t.Fatalf("%s:\n%v, want\n%v", name, got, want)
							}
						}
					}
				}
			}
		}
	})
}

// desk is an organization with users in teams and their tickets.
type desk struct {
	org     id.Organization
	users   []id.User
	teams   map[id.Team][]id.User
	ids     []id.Team
	tickets []Ticket // oldest first
}

func fill(t *testing.T, db *sqldb.DB) *desk {
	t.Helper()
	caches := &cache.Group{Feed: invalidation.New(db, slog.New(slog.DiscardHandler))}
	o, err := organization.New(db, caches, organization.MFAOptional, time.Now).Create(t.Context(),
		principal.NewSystem("test", ""), organization.NewOrganization{Slug: "acme-corp", Name: "Acme Corp"})
	if err != nil {
		t.Fatal(err)
	}
	w := &desk{org: o.ID, teams: make(map[id.Team][]id.User)}
	random := rand.New(rand.NewPCG(3, 4))
	err = db.Tx(t.Context(), w.org, func(tx *sqldb.Tx) error {
		run := func(statement string, args ...any) {
			if _, err := tx.Exec(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 6 {
			u := id.New[id.User]()
			w.users = append(w.users, u)
			run(`INSERT INTO users (organization_id, id, email, email_key, username, username_key, name, kind, role, state,
				password_hash, password_changed_at, created_at, updated_at)
				VALUES ($1, $2, $3, $3, $3, $3, '', 'person', 'end_user', 'active', '', 1, 1, 1)`, w.org, u,
				fmt.Sprintf("user%d@acme-corp.example", i))
		}
		for i := range 3 {
			team := id.New[id.Team]()
			w.ids = append(w.ids, team)
			run(`INSERT INTO teams (organization_id, id, name, name_key, description, created_at, updated_at)
				VALUES ($1, $2, $3, $3, '', 1, 1)`, w.org, team, fmt.Sprint("team ", i))
			for _, u := range [][]id.User{w.users[:2], w.users[1:4], {w.users[3]}}[i] { // the last two are in none
				w.teams[team] = append(w.teams[team], u)
				run(`INSERT INTO team_members (organization_id, team_id, user_id) VALUES ($1, $2, $3)`, w.org, team, u)
			}
		}
		for i := range 120 {
			ticket := Ticket{ID: id.New[id.Ticket](), Status: []string{"new", "closed"}[random.IntN(2)],
				Priority: []string{"low", "high"}[random.IntN(2)], Requester: w.users[min(random.IntN(12), 4)]}
			if i < 20 { // the last user's are all old
				ticket.Requester = w.users[5]
			}
			if random.IntN(2) == 0 {
				ticket.Assignee = w.users[random.IntN(5)]
			}
			if random.IntN(4) == 0 {
				ticket.Team = w.ids[random.IntN(3)]
			}
			w.tickets = append(w.tickets, ticket)
		}
		slices.SortFunc(w.tickets, func(a, b Ticket) int {
			return slices.Compare([]byte(a.ID), []byte(b.ID))
		})
		for _, ticket := range w.tickets {
			run(`INSERT INTO tickets (organization_id, id, type, title, description, classification, status, priority,
				requester_id, assignee_id, team_id, created_at, updated_at)
				VALUES ($1, $2, 'incident', 'x', '', '', $3, $4, $5, $6, $7, 1, 1)`, w.org, ticket.ID, ticket.Status,
				ticket.Priority, ticket.Requester, ticket.Assignee, ticket.Team)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// visible is what a user may see, one ticket after the other.
func (w *desk) visible(me id.User, assigned, team bool, f Filter) (out []id.Ticket) {
	mate := func(u id.User) bool {
		for _, members := range w.teams {
			if slices.Contains(members, me) && slices.Contains(members, u) {
				return true
			}
		}
		return false
	}
	for _, t := range w.tickets {
		sees := t.Requester == me || assigned && t.Assignee == me ||
			team && (slices.Contains(w.teams[t.Team], me) || t.Assignee != "" && mate(t.Assignee))
		if sees && (f.Status == "" || f.Status == t.Status) && (f.Priority == "" || f.Priority == t.Priority) &&
			(f.Assignee == "" || f.Assignee == string(t.Assignee)) &&
			(f.Requester == "" || f.Requester == string(t.Requester)) && (f.Team == "" || f.Team == string(t.Team)) {
			out = append(out, t.ID)
		}
	}
	if !f.OldestFirst {
		slices.Reverse(out)
	}
	return out
}

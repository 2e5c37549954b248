package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

// domain is that of all addresses.
const domain = "@acme-corp.example"

// people are whom the lists are asked by and about.
type people struct {
	Organization id.Organization
	Team         id.Team
	Since, Until time.Time // of everything
	Rows         int       // of each table

	// admin and agent ask. busy has a tenth of everything, calm forty rows of each table, among them forty tickets to
	// see, and most sessions of stale ran out.
	IDs map[string]id.User
}

// few is how many rows of a table calm has, whatever its size: more than a page.
const few = 40

// fewest is how many rows a table has at least: of fewer, some filters would not find a page.
const fewest = 1000

// each tells whether row i is one of few that are spread over n, another choice for each k.
func each(i, k, n int) bool { return i%(n/few) == k }

// at is when row i came to be.
func (p people) at(i int) time.Time {
	return p.Since.Add(p.Until.Sub(p.Since) / time.Duration(p.Rows) * time.Duration(i))
}

// makePeople makes them as they are always made, with one password.
func makePeople(ctx context.Context, s *server.Server, rows int) (people, error) {
	now := time.Now().Truncate(time.Second)
	p := people{Since: now.Add(-20 * 24 * time.Hour), Until: now, Rows: rows, IDs: make(map[string]id.User)}
	if rows < fewest {
		return p, fmt.Errorf("-small and -large are at least %d where lists are measured", fewest)
	}
	if _, err := s.EnsurePlatform(ctx); err != nil {
		return p, err
	}
	org, err := s.Organizations.Create(ctx, principal.NewSystem("bench", ""),
		organization.NewOrganization{Slug: demo.Tenant, Name: "Acme Corp"})
	if err != nil {
		return p, err
	}
	p.Organization = org.ID
	system := principal.NewSystem("bench", org.ID)
	team, err := s.Users.CreateTeam(ctx, system, user.Team{Name: "First line"})
	if err != nil {
		return p, err
	}
	p.Team = team.ID
	hash, err := s.Hasher.Hash(ctx, "bench", demo.Password)
	if err != nil {
		return p, err
	}
	for name, role := range map[string]string{"admin": permission.RoleAdmin, "agent": permission.RoleAgent,
		"busy": permission.RoleManager, "calm": permission.RoleEndUser, "stale": permission.RoleEndUser} {
		n := user.NewUser{Email: name + domain, Role: role, PasswordHash: hash}
		if name == "agent" {
			n.Teams = []id.Team{team.ID}
		}
		u, err := s.Users.Create(ctx, system, n)
		if err != nil {
			return p, err
		}
		p.IDs[name] = u.ID
	}
	return p, nil
}

// fillLists makes people, stops the server and fills the tables that lists show.
func fillLists(ctx context.Context, s *server.Server, database string, rows int) (map[string]string, error) {
	p, err := makePeople(ctx, s, rows)
	if err != nil {
		return nil, err
	}
	if err := s.Close(ctx); err != nil {
		return nil, err
	}
	if err := seed(ctx, database, p.tables()...); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(p)
	return map[string]string{"people": string(raw)}, err
}

// mostUsers is how many users there are at most: a large organization has more events than people.
const mostUsers = 100_000

// tables are what the lists show.
func (p people) tables() []bulk {
	others := make([]id.User, min(p.Rows, mostUsers))
	for i := range others {
		others[i] = id.At[id.User](p.at(i))
	}
	other := func(i int) string { return string(others[i%len(others)]) }
	return []bulk{
		{"users", userColumns, len(others), func(i int) []any { return p.user(i, len(others), other(i)) }},
		{"search_terms", termColumns, termsOfUser * len(others), func(i int) []any {
			n := i / termsOfUser
			terms := user.User{Email: emailOf(n), Username: emailOf(n), Name: nameOf(n)}.Terms()
			return []any{string(p.Organization), "user", terms[i%termsOfUser], other(n)}
		}},
		{"audit_events", []string{"organization_id", "id", "at", "act", "outcome", "actor_kind", "actor_id",
			"actor_home", "target_kind", "target_id", "address", "user_agent", "request_id", "details"}, p.Rows,
			func(i int) []any { return p.event(i, other(i), other(7*i)) }},
		{"sessions", []string{"organization_id", "id", "user_id", "state", "sliding", "auth_time", "created_at",
			"last_used_at", "expires_at", "absolute_expires_at", "ended_at", "device", "fingerprint", "address"},
			p.Rows, func(i int) []any { return p.session(i, other(i)) }},
		{"tickets", []string{"organization_id", "id", "type", "title", "description", "classification", "status",
			"priority", "requester_id", "assignee_id", "team_id", "created_at", "updated_at"}, p.Rows,
			func(i int) []any { return p.ticket(i, other(i)) }},
	}
}

func emailOf(i int) string { return fmt.Sprintf("user-%d%s", i, domain) }

func nameOf(i int) string { return fmt.Sprint("Member ", i) }

// termsOfUser is how many terms such a user has: the address and two words.
const termsOfUser = 3

func (p people) user(i, users int, user string) []any {
	role, state := permission.RoleEndUser, "active"
	switch {
	case each(i, 1, users):
		role, state = permission.RoleManager, "disabled"
	case each(i, 2, users):
		role = permission.RoleAdmin
	case i%10 == 0:
		state = "disabled"
	case i%10 == 5:
		role = permission.RoleManager
	}
	email, at := emailOf(i), p.at(i).UnixMilli()
	return []any{string(p.Organization), user, email, email, email, email, nameOf(i), "person", role, state, "", at,
		at, at}
}

func (p people) event(i int, actor, target string) []any {
	act, busy, calm := "session.created", string(p.IDs["busy"]), string(p.IDs["calm"])
	switch {
	case each(i, 1, p.Rows):
		act, actor = "role.deleted", busy
	case each(i, 2, p.Rows):
		actor = calm
	case each(i, 3, p.Rows):
		target = calm
	case i%10 == 0:
		actor = busy
	case i%10 == 5:
		act, target = "user.updated", busy
	}
	return []any{string(p.Organization), string(id.At[id.Event](p.at(i))), p.at(i).UnixMilli(), act, "success", "user",
		actor, string(p.Organization), "user", target, "192.0.2.1", "Mozilla/5.0", string(id.New[id.Request]()),
		`{"door":"password"}`}
}

func (p people) session(i int, user string) []any {
	state, expires, ended := "active", p.Until.Add(7*24*time.Hour), int64(0)
	switch {
	case each(i, 1, p.Rows):
		user = string(p.IDs["calm"])
	case each(i, 2, p.Rows):
		user = string(p.IDs["stale"])
	case i%100 == 3:
		user, expires = string(p.IDs["stale"]), p.Until.Add(-time.Hour)
	case i%10 == 0:
		user = string(p.IDs["busy"])
	case i%10 == 5:
		user, state, ended = string(p.IDs["busy"]), "ended", p.Until.UnixMilli()
	}
	at := p.at(i).UnixMilli()
	return []any{string(p.Organization), string(id.At[id.Session](p.at(i))), user, state, false, at, at, at,
		expires.UnixMilli(), int64(0), ended, "Mozilla/5.0", "", "192.0.2.1"}
}

func (p people) ticket(i int, requester string) []any {
	status, priority, assignee, team := "closed", "medium", "", ""
	switch {
	case each(i, 1, p.Rows):
		status = "on_hold"
	case each(i, 2, p.Rows):
		priority = "critical"
	case each(i, 3, p.Rows):
		status, priority, team = "open", "high", string(p.Team)
	case each(i, 4, p.Rows):
		requester = string(p.IDs["calm"])
	case i%10 == 0:
		status = "open"
	case i%10 == 5:
		priority = "high"
	case i%10 == 7:
		assignee = string(p.IDs["busy"])
	case i%10 == 9:
		team = string(p.Team)
	}
	at := p.at(i).UnixMilli()
	return []any{string(p.Organization), string(id.At[id.Ticket](p.at(i))), "incident",
		"The printer on floor 2 is offline", "It was online yesterday.", "hardware", status, priority, requester,
		assignee, team, at, at}
}

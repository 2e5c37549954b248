package servicedesk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk/servicedeskdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Service owns tickets and service levels.
type Service struct {
	db     *sqldb.DB
	now    func() time.Time
	walked int64 // how many tickets are looked at one by one, beside twice those asked for
}

// New makes the service.
func New(db *sqldb.DB, now func() time.Time) *Service { return &Service{db, now, 500} }

const newest = id.Ticket("tkt_ZZZZZZZZZZZZZZZZZZZZZZZZZZ") // sorts behind every ticket

// seesAssigned tells whether "own" includes what is assigned to the caller. For an end user it is what they requested,
// nothing else.
func seesAssigned(p principal.Principal) bool { return p.Role != permission.RoleEndUser }

// within tells whether a ticket lies in a scope of the principal.
func (s *Service) within(ctx context.Context, q *servicedeskdb.Queries, p principal.Principal, scope permission.Scope,
	t Ticket) (bool, error) {
	user := p.UserID()
	switch {
	case scope == permission.All:
		return true, nil
	case scope == permission.None || user == "" || p.Abroad():
		return false, nil
	case t.Requester == user || (t.Assignee == user && seesAssigned(p)):
		return true, nil
	case scope != permission.Team:
		return false, nil
	}
	if t.Team != "" {
		if in, err := q.InTeam(ctx, p.Organization, t.Team, user); err != nil || in {
			return in, err
		}
	}
	if t.Assignee != "" {
		return q.SharesTeam(ctx, p.Organization, user, t.Assignee)
	}
	return false, nil
}

// Filter narrows a listing; zero fields do not.
type Filter struct {
	Ticket                    id.Ticket
	Status, Priority          string
	Assignee, Requester, Team string // ids
	OldestFirst               bool
	Past                      id.Ticket // the last one that was listed already, in that order
	Offset                    int       // how many to leave out
	Limit                     int
}

// check refuses to look for two people, or a person and a team, at once: an index finds the tickets of one.
func (f Filter) check() error {
	if f.Assignee != "" && (f.Requester != "" || f.Team != "") || f.Requester != "" && f.Team != "" {
		return fault.Invalidf("search", "takes one of assignee, requester and team at a time")
	}
	return nil
}

// List gives the tickets the principal may read, newest first unless the filter says otherwise. It needs tickets:read.
func (s *Service) List(ctx context.Context, p principal.Principal, f Filter) ([]Ticket, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Past == "" && !f.OldestFirst {
		f.Past = newest
	}
	q := servicedeskdb.New(s.db.Tenant(p.Organization))
	var rows []servicedeskdb.Ticket
	var err error
	scope := p.Scope("tickets", "read")
	all := servicedeskdb.ListAllTicketsParams{OrganizationID: p.Organization, Past: f.Past, Status: f.Status,
		Priority: f.Priority, AssigneeID: f.Assignee, RequesterID: f.Requester, TeamID: f.Team, ID: string(f.Ticket),
		RowLimit: int64(f.Limit), RowOffset: int64(f.Offset)}
	visible := servicedeskdb.GatherTicketsParams{OrganizationID: p.Organization, Past: f.Past, Status: f.Status,
		Priority: f.Priority, AssigneeID: f.Assignee, RequesterID: f.Requester, TeamID: f.Team, ID: string(f.Ticket),
		UserID: p.UserID(), SeeAssigned: seesAssigned(p), SeeTeam: scope == permission.Team,
		RowLimit: int64(f.Limit), RowOffset: int64(f.Offset)}
	inOrder := scope == permission.All // an index has them as they are listed
	if scope != permission.All && (p.UserID() == "" || p.Abroad()) {
		return nil, nil
	}
	own := scope == permission.Own && !seesAssigned(p) // what they requested, and no more
	if own && f.Assignee == "" && f.Requester == "" && f.Team == "" {
		all.RequesterID, inOrder = string(p.UserID()), true
	}
	switch {
	case inOrder && f.OldestFirst:
		rows, err = q.ListAllTicketsOldestFirst(ctx, servicedeskdb.ListAllTicketsOldestFirstParams(all))
	case inOrder:
		rows, err = q.ListAllTickets(ctx, all)
	default:
		rows, err = s.pageOf(ctx, q, visible, own, f.OldestFirst)
	}
	if err != nil {
		return nil, fmt.Errorf("ticket: list: %w", err)
	}
	out := make([]Ticket, len(rows))
	for i, r := range rows {
		out[i] = fromRow(r)
	}
	return out, nil
}

// pageOf gives a page of what one user may see. Who sees much finds a page among the next tickets that are asked for,
// or these are few; who sees little has it gathered quickly. Each way alone would read a large organization's tickets
// for some. Of who sees nothing but their own, only these are read.
func (s *Service) pageOf(ctx context.Context, q *servicedeskdb.Queries, v servicedeskdb.GatherTicketsParams,
	own, oldestFirst bool) ([]servicedeskdb.Ticket, error) {
	walk := servicedeskdb.WalkTicketsParams{OrganizationID: v.OrganizationID, Past: v.Past,
		Walked: s.walked + 2*(v.RowOffset+v.RowLimit), Status: v.Status, Priority: v.Priority,
		AssigneeID: v.AssigneeID, RequesterID: v.RequesterID, TeamID: v.TeamID, ID: v.ID, UserID: v.UserID,
		SeeAssigned: v.SeeAssigned, SeeTeam: v.SeeTeam, RowLimit: v.RowLimit, RowOffset: v.RowOffset}
	if v.AssigneeID == "" && v.RequesterID == "" && v.TeamID == "" { // else no index has both
		walk.WalkStatus, walk.WalkPriority, walk.Status, walk.Priority = v.Status, v.Priority, "", ""
	}
	walked := servicedeskdb.CountWalkedParams{OrganizationID: v.OrganizationID, Past: v.Past,
		WalkStatus: walk.WalkStatus, WalkPriority: walk.WalkPriority, AssigneeID: v.AssigneeID,
		RequesterID: v.RequesterID, TeamID: v.TeamID, ID: v.ID, Walked: walk.Walked}
	find, count, gather := q.WalkTickets, q.CountWalked, q.GatherTickets
	if oldestFirst {
		find = func(ctx context.Context, w servicedeskdb.WalkTicketsParams) ([]servicedeskdb.Ticket, error) {
			return q.WalkTicketsOldestFirst(ctx, servicedeskdb.WalkTicketsOldestFirstParams(w))
		}
		count = func(ctx context.Context, w servicedeskdb.CountWalkedParams) (int64, error) {
			return q.CountWalkedOldestFirst(ctx, servicedeskdb.CountWalkedOldestFirstParams(w))
		}
		gather = func(ctx context.Context, v servicedeskdb.GatherTicketsParams) ([]servicedeskdb.Ticket, error) {
			return q.GatherTicketsOldestFirst(ctx, servicedeskdb.GatherTicketsOldestFirstParams(v))
		}
	}
	if own {
		return gather(ctx, v)
	}
	rows, err := find(ctx, walk)
	if err != nil || int64(len(rows)) == v.RowLimit {
		return rows, err
	}
	// The walk came to the end if there are far fewer: some may have been changed between the two looks.
	if n, err := count(ctx, walked); err != nil || n < walked.Walked/2 {
		return rows, err
	}
	return gather(ctx, v)
}

// Count is how many tickets List gives in all.
func (s *Service) Count(ctx context.Context, p principal.Principal, f Filter) (n int64, err error) {
	q := servicedeskdb.New(s.db.Tenant(p.Organization))
	scope := p.Scope("tickets", "read")
	switch {
	case scope == permission.All:
		n, err = q.CountAllTickets(ctx, servicedeskdb.CountAllTicketsParams{OrganizationID: p.Organization,
			Status: f.Status, Priority: f.Priority, AssigneeID: f.Assignee, RequesterID: f.Requester, TeamID: f.Team,
			ID: string(f.Ticket)})
	case p.UserID() == "" || p.Abroad():
		return 0, nil
	default:
		n, err = q.CountVisibleTickets(ctx, servicedeskdb.CountVisibleTicketsParams{OrganizationID: p.Organization,
			Status: f.Status, Priority: f.Priority, AssigneeID: f.Assignee, RequesterID: f.Requester, TeamID: f.Team,
			ID: string(f.Ticket), UserID: p.UserID(), SeeAssigned: seesAssigned(p), SeeTeam: scope == permission.Team})
	}
	if err != nil {
		return 0, fmt.Errorf("ticket: count: %w", err)
	}
	return n, nil
}

// Get finds a ticket the principal may read; any other does not exist for them.
func (s *Service) Get(ctx context.Context, p principal.Principal, ticket id.Ticket) (Ticket, error) {
	return s.visible(ctx, servicedeskdb.New(s.db.Tenant(p.Organization)), p, ticket, p.Scope("tickets", "read"))
}

func (s *Service) visible(ctx context.Context, q *servicedeskdb.Queries, p principal.Principal, ticket id.Ticket,
	scope permission.Scope) (Ticket, error) {
	r, err := q.GetTicket(ctx, p.Organization, ticket)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Ticket{}, fault.NotFoundf("There is no such ticket.")
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("ticket: load: %w", err)
	}
	t := fromRow(r)
	ok, err := s.within(ctx, q, p, scope, t)
	if err != nil {
		return Ticket{}, fmt.Errorf("ticket: scope: %w", err)
	}
	if !ok {
		return Ticket{}, fault.NotFoundf("There is no such ticket.")
	}
	return t, nil
}

// Create opens a ticket. It needs tickets:create; a requester other than oneself needs it for all, an assignee needs
// tickets:assign.
func (s *Service) Create(ctx context.Context, p principal.Principal, t Ticket) (Ticket, error) {
	t.Status = "new"
	if t.Priority == "" {
		t.Priority = "medium"
	}
	if err := t.check(); err != nil {
		return Ticket{}, err
	}
	self := p.UserID()
	if p.Abroad() {
		self = ""
	}
	if t.Requester == "" {
		t.Requester = self
	}
	if t.Requester == "" {
		return Ticket{}, fault.Invalidf("requesterId",
			"is needed, since the credential belongs to no user of this organization")
	}
	if t.Requester != self && p.Scope("tickets", "create") < permission.All {
		return Ticket{}, fault.Forbiddenf("You may open tickets for yourself only.")
	}
	t.ID, t.CreatedAt = id.New[id.Ticket](), s.now()
	t.UpdatedAt = t.CreatedAt
	err := s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := servicedeskdb.New(tx)
		if t.Requester != self {
			if err := checkUser(ctx, q, p, "requesterId", t.Requester); err != nil {
				return err
			}
		}
		if err := s.checkPlacement(ctx, q, p, Ticket{Requester: t.Requester, Team: t.Team}, t); err != nil {
			return err
		}
		err := q.InsertTicket(ctx, servicedeskdb.InsertTicketParams{OrganizationID: p.Organization, ID: t.ID,
			Type: t.Type, Title: t.Title, Description: t.Description,
			Classification: t.Classification, Priority: t.Priority, RequesterID: t.Requester, AssigneeID: t.Assignee,
			TeamID: t.Team, CreatedAt: sqldb.MillisOf(t.CreatedAt)})
		if err != nil {
			return fmt.Errorf("ticket: insert: %w", err)
		}
		return s.record(ctx, tx, p, t, "ticket.created")
	})
	return t, err
}

func (s *Service) record(ctx context.Context, tx *sqldb.Tx, p principal.Principal, t Ticket, act string) error {
	return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: act, TargetKind: "ticket", TargetID: string(t.ID),
		Details: map[string]string{"status": t.Status, "priority": t.Priority, "assignee": string(t.Assignee),
			"team": string(t.Team)}})
}

func checkUser(ctx context.Context, q *servicedeskdb.Queries, p principal.Principal, field string, user id.User) error {
	state, err := q.UserState(ctx, p.Organization, user)
	if errors.Is(err, sqldb.ErrNoRows) || (err == nil && state != "active") {
		return fault.Invalidf(field, "there is no such active user")
	}
	return err
}

// checkPlacement judges team and assignee of a ticket that was before and shall be after.
func (s *Service) checkPlacement(ctx context.Context, q *servicedeskdb.Queries, p principal.Principal, before,
	after Ticket) error {
	if after.Team != "" {
		if ok, err := q.TeamExists(ctx, p.Organization, after.Team); err != nil {
			return err
		} else if !ok {
			return fault.Invalidf("teamId", "there is no such team")
		}
	}
	if before.Assignee == after.Assignee && before.Team == after.Team {
		return nil
	}
	scope := p.Scope("tickets", "assign")
	ok, err := s.within(ctx, q, p, scope, before)
	if err != nil {
		return err
	}
	if !ok {
		return fault.Forbiddenf("This needs the permission tickets:assign for the ticket.")
	}
	if after.Assignee == "" || after.Assignee == before.Assignee {
		return nil
	}
	if err := checkUser(ctx, q, p, "assigneeId", after.Assignee); err != nil {
		return err
	}
	if scope == permission.Team && after.Assignee != p.UserID() {
		if shares, err := q.SharesTeam(ctx, p.Organization, p.UserID(), after.Assignee); err != nil {
			return err
		} else if !shares {
			return fault.Forbiddenf("You may assign within your teams only.")
		}
	}
	return nil
}

// Update changes a ticket; change edits a copy. It needs tickets:update for the ticket, or tickets:assign if only team
// and assignee change.
func (s *Service) Update(ctx context.Context, p principal.Principal, ticket id.Ticket, change func(t *Ticket)) (Ticket,
	error) {
	var t Ticket
	err := s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := servicedeskdb.New(tx)
		// who may change a ticket may know of it
		reach := max(p.Scope("tickets", "read"), p.Scope("tickets", "update"), p.Scope("tickets", "assign"))
		before, err := s.visible(ctx, q, p, ticket, reach)
		if err != nil {
			return err
		}
		t = before
		change(&t)
		if err := t.check(); err != nil {
			return err
		}
		content := t
		content.Assignee, content.Team = before.Assignee, before.Team
		if content != before {
			if ok, err := s.within(ctx, q, p, p.Scope("tickets", "update"), before); err != nil {
				return err
			} else if !ok {
				return fault.Forbiddenf("This needs the permission tickets:update for the ticket.")
			}
		}
		if err := s.checkPlacement(ctx, q, p, before, t); err != nil {
			return err
		}
		t.UpdatedAt = sqldb.Version(s.now(), before.UpdatedAt)
		n, err := q.UpdateTicket(ctx, servicedeskdb.UpdateTicketParams{Title: t.Title, Description: t.Description,
			Classification: t.Classification, Status: t.Status, Priority: t.Priority,
			AssigneeID: t.Assignee, TeamID: t.Team, Now: sqldb.MillisOf(t.UpdatedAt), OrganizationID: p.Organization,
			ID: ticket, WasUpdatedAt: sqldb.MillisOf(before.UpdatedAt)})
		if err != nil {
			return fmt.Errorf("ticket: update: %w", err)
		}
		if n == 0 {
			return fault.Conflictf("Someone else changed the ticket at the same time. Read it again.")
		}
		return s.record(ctx, tx, p, t, "ticket.updated")
	})
	return t, err
}

// Package audit writes and reads the record of security-relevant acts: who did what, on what, in which organization,
// from where, with which outcome. A row is written in the transaction of the act itself, so neither exists without the
// other. It knows nothing of the things it records but their kind and id, and holds no secret.
package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit/auditdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Outcome of an act.
type Outcome string

// Success was done; Failure was tried with a wrong or missing proof; Denied was refused to a known caller.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Denied  Outcome = "denied"
)

// Entry is what happened. The rest of an event comes from the principal.
type Entry struct {
	Act        string // "resource.past_tense", as "user.created"
	Outcome    Outcome
	TargetKind string
	TargetID   string
	Details    map[string]string
}

// Event is a recorded act.
type Event struct {
	ID           id.Event
	Organization id.Organization
	At           time.Time
	Act          string
	Outcome      Outcome
	ActorKind    principal.Kind
	ActorID      string
	ActorHome    id.Organization
	TargetKind   string
	TargetID     string
	Source       principal.Source
	Details      map[string]string
}

// Record writes one event into the principal's organization, in the transaction of the act.
func Record(ctx context.Context, tx *sqldb.Tx, now time.Time, p principal.Principal, e Entry) error {
	return RecordIn(ctx, tx, now, p.Organization, p, e)
}

// RecordIn writes into a named organization: for acts on organizations themselves and for those of an operator abroad.
func RecordIn(ctx context.Context, tx *sqldb.Tx, now time.Time, org id.Organization, p principal.Principal,
	e Entry) error {
	if e.Outcome == "" {
		e.Outcome = Success
	}
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	details, err := json.Marshal(e.Details, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("audit: details: %w", err)
	}
	err = auditdb.New(tx.Later()).Insert(ctx, auditdb.InsertParams{
		OrganizationID: org, ID: id.At[id.Event](now), At: sqldb.MillisOf(now), Act: e.Act, Outcome: string(e.Outcome),
		ActorKind: string(p.Kind), ActorID: p.ID, ActorHome: string(p.Home), TargetKind: e.TargetKind,
		TargetID: e.TargetID,
		Address:  p.Source.Address, UserAgent: p.Source.UserAgent, RequestID: p.Source.Request,
		Details: string(details),
	})
	if err != nil {
		return fmt.Errorf("audit: record %s: %w", e.Act, err)
	}
	return nil
}

// Filter narrows a listing; empty fields do not.
type Filter struct {
	Actor, Target, Act string
	Since, Until       *time.Time
	Before             id.Event // page: events older than this one
	Limit              int
}

// Service reads the record.
type Service struct{ db *sqldb.DB }

// New makes the service.
func New(db *sqldb.DB) *Service { return &Service{db} }

// newest sorts behind every event's id.
const newest = id.Event("evt_ZZZZZZZZZZZZZZZZZZZZZZZZZZ")

// forever is later than any event.
const forever = sqldb.Millis(1 << 62)

// between are the bounds of the ids of a time: ids sort by it, and so a time needs no index of its own. An id may be a
// moment younger than its event.
func between(since, until sqldb.Millis) (from, before id.Event) {
	const apart = time.Minute
	from, before = id.First[id.Event](since.Time()), newest
	if until < forever {
		before = id.First[id.Event](until.Time().Add(apart))
	}
	return from, before
}

// List gives events of the principal's organization, newest first. It needs audit:read:all.
func (s *Service) List(ctx context.Context, p principal.Principal, f Filter) ([]Event, error) {
	since, until := sqldb.Millis(0), forever
	if f.Since != nil {
		since = sqldb.MillisOf(*f.Since)
	}
	if f.Until != nil {
		until = sqldb.MillisOf(*f.Until)
	}
	if since >= until {
		return nil, fault.Invalidf("until", "must be later than since")
	}
	from, before := between(since, until)
	if f.Before != "" {
		before = min(before, f.Before)
	}
	rows, err := auditdb.New(s.db.Tenant(p.Organization)).List(ctx, auditdb.ListParams{
		OrganizationID: p.Organization, FromID: from, Before: before, Actor: f.Actor, Target: f.Target, Act: f.Act,
		Since: since, Until: until, RowLimit: int64(f.Limit),
	})
	if err != nil {
		return nil, fmt.Errorf("audit: list: %w", err)
	}
	events := make([]Event, len(rows))
	for i, r := range rows {
		events[i] = Event{
			ID: r.ID, Organization: r.OrganizationID, At: r.At.Time(), Act: r.Act, Outcome: Outcome(r.Outcome),
			ActorKind: principal.Kind(r.ActorKind), ActorID: r.ActorID, ActorHome: id.Organization(r.ActorHome),
			TargetKind: r.TargetKind, TargetID: r.TargetID,
			Source: principal.Source{Request: r.RequestID, Address: r.Address, UserAgent: r.UserAgent},
		}
		if err := json.Unmarshal([]byte(r.Details), &events[i].Details); err != nil {
			return nil, fmt.Errorf("audit: details of %s: %w", r.ID, err)
		}
	}
	return events, nil
}

// DayCount is how often an act happened on one UTC day.
type DayCount struct {
	Day     time.Time
	Outcome Outcome
	Total   int64
}

// CountByDay counts one act a day, for reports.
func (s *Service) CountByDay(ctx context.Context, org id.Organization, act string, since, until time.Time) ([]DayCount,
	error) {
	from, before := between(sqldb.MillisOf(since), sqldb.MillisOf(until))
	rows, err := auditdb.New(s.db.Tenant(org)).CountByDay(ctx, auditdb.CountByDayParams{OrganizationID: org, Act: act,
		FromID: from, Before: before, Since: sqldb.MillisOf(since), Until: sqldb.MillisOf(until)})
	if err != nil {
		return nil, fmt.Errorf("audit: count: %w", err)
	}
	out := make([]DayCount, len(rows))
	for i, r := range rows {
		out[i] = DayCount{Day: time.UnixMilli(r.Day * 86_400_000).UTC(), Outcome: Outcome(r.Outcome), Total: r.Total}
	}
	return out, nil
}

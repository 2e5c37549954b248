package servicedesk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk/servicedeskdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// TicketReport counts the organization's tickets.
type TicketReport struct {
	Total      int64
	ByStatus   map[string]int64
	ByPriority map[string]int64
}

// Report counts tickets. It needs reports:read:all.
func (s *Service) Report(ctx context.Context, p principal.Principal) (TicketReport, error) {
	rows, err := servicedeskdb.New(s.db.Tenant(p.Organization)).CountTickets(ctx, p.Organization)
	if err != nil {
		return TicketReport{}, fmt.Errorf("ticket: count: %w", err)
	}
	r := TicketReport{ByStatus: make(map[string]int64), ByPriority: make(map[string]int64)}
	for _, w := range Statuses {
		r.ByStatus[w] = 0
	}
	for _, w := range Priorities {
		r.ByPriority[w] = 0
	}
	for _, row := range rows {
		r.Total += row.Total
		r.ByStatus[row.Status] += row.Total
		r.ByPriority[row.Priority] += row.Total
	}
	return r, nil
}

// Policy is how quickly tickets of a priority shall be answered and resolved.
type Policy struct {
	Priority          string
	ResponseMinutes   int64
	ResolutionMinutes int64
	UpdatedAt         time.Time // zero: the default
}

const maxMinutes = 366 * 24 * 60

var defaultPolicies = []Policy{
	{Priority: "critical", ResponseMinutes: 15, ResolutionMinutes: 4 * 60},
	{Priority: "high", ResponseMinutes: 60, ResolutionMinutes: 8 * 60},
	{Priority: "medium", ResponseMinutes: 4 * 60, ResolutionMinutes: 3 * 24 * 60},
	{Priority: "low", ResponseMinutes: 24 * 60, ResolutionMinutes: 10 * 24 * 60},
}

// Policies gives the service levels of the four priorities. It needs sla_policies:read:all.
func (s *Service) Policies(ctx context.Context, p principal.Principal) ([]Policy, error) {
	rows, err := servicedeskdb.New(s.db.Tenant(p.Organization)).ListPolicies(ctx, p.Organization)
	if err != nil {
		return nil, fmt.Errorf("sla: list: %w", err)
	}
	out := slices.Clone(defaultPolicies)
	for _, r := range rows {
		for i := range out {
			if out[i].Priority == r.Priority {
				out[i] = Policy{r.Priority, r.ResponseMinutes, r.ResolutionMinutes, r.UpdatedAt.Time()}
			}
		}
	}
	return out, nil
}

// PutPolicies sets service levels, one a priority; priorities not named stay. It needs sla_policies:update:all.
func (s *Service) PutPolicies(ctx context.Context, p principal.Principal, policies []Policy) ([]Policy, error) {
	seen := make(map[string]bool)
	for i, l := range policies {
		field := fmt.Sprintf("policies[%d]", i)
		switch {
		case !slices.Contains(Priorities, l.Priority):
			return nil, fault.Invalidf(field+".priority", "must be one of the ticket priorities")
		case seen[l.Priority]:
			return nil, fault.Invalidf(field+".priority", "is given twice")
		case l.ResponseMinutes < 1 || l.ResponseMinutes > maxMinutes:
			return nil, fault.Invalidf(field+".responseMinutes", "must be from 1 to %d", maxMinutes)
		case l.ResolutionMinutes < l.ResponseMinutes || l.ResolutionMinutes > maxMinutes:
			return nil, fault.Invalidf(field+".resolutionMinutes", "must be from the response time to %d", maxMinutes)
		}
		seen[l.Priority] = true
	}
	now := s.now()
	err := s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := servicedeskdb.New(tx)
		for _, l := range policies {
			if err := q.PutPolicy(ctx, servicedeskdb.PutPolicyParams{OrganizationID: p.Organization,
				Priority: l.Priority, ResponseMinutes: l.ResponseMinutes, ResolutionMinutes: l.ResolutionMinutes,
				UpdatedAt: sqldb.MillisOf(now)}); err != nil {
				return fmt.Errorf("sla: put: %w", err)
			}
		}
		return audit.Record(ctx, tx, now, p, audit.Entry{Act: "sla_policies.updated", TargetKind: "organization",
			TargetID: string(p.Organization)})
	})
	if err != nil {
		return nil, err
	}
	return s.Policies(ctx, p)
}

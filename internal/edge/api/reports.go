package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerReports() {
	v1.Register(a.API, v1.Desk(http.MethodGet, "/v1/reports/tickets", "reports:read"),
		v1.Op("Tickets by status and priority"),
		a.reportTickets)
	v1.Register(a.API, v1.Desk(http.MethodGet, "/v1/reports/sign-ins", "reports:read"), v1.Op("Sign-ins by day"),
		a.reportSignIns)
	v1.Register(a.API, v1.Desk(http.MethodGet, "/v1/sla-policies", "sla_policies:read"),
		v1.Op("Service levels by priority"),
		a.getPolicies)
	v1.Register(a.API, v1.Desk(http.MethodPut, "/v1/sla-policies", "sla_policies:update"), v1.Op("Set service levels"),
		a.putPolicies)
}

type ticketReport struct {
	Total      int64            `json:"total"`
	ByStatus   map[string]int64 `json:"byStatus"`
	ByPriority map[string]int64 `json:"byPriority"`
}

func (a *routes) reportTickets(ctx context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[ticketReport], error) {
	r, err := a.Desk.Report(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return v1.Out(ticketReport{r.Total, r.ByStatus, r.ByPriority}), nil
}

type signInsInput struct {
	Since v1.OptionalTime `query:"since" doc:"RFC 3339; 30 days ago if left out"`
	Until v1.OptionalTime `query:"until" doc:"RFC 3339; now if left out"`
}

type signInDay struct {
	Date      string `json:"date" format:"date" doc:"UTC"`
	Succeeded int64  `json:"succeeded"`
	Refused   int64  `json:"refused"`
}

type signInReport struct {
	Since time.Time   `json:"since"`
	Until time.Time   `json:"until"`
	Days  []signInDay `json:"days" nullable:"false"`
}

const (
	day           = 24 * time.Hour
	maxReportSpan = 400 * day
)

func (a *routes) reportSignIns(ctx context.Context, c v1.Call, in *signInsInput) (*v1.Output[signInReport], error) {
	r := signInReport{Days: []signInDay{}}
	r.Until = a.Now().Truncate(time.Second).Add(time.Second) // what happened this second counts
	if in.Until.At != nil {
		r.Until = in.Until.At.UTC()
	}
	r.Since = r.Until.Add(-30 * day)
	if in.Since.At != nil {
		r.Since = in.Since.At.UTC()
	}
	if !r.Since.Before(r.Until) || r.Until.Sub(r.Since) > maxReportSpan {
		return nil, fault.Invalidf("since", "must be before until, by at most 400 days")
	}
	index := make(map[string]int)
	for d := r.Since.Truncate(day); d.Before(r.Until); d = d.Add(day) {
		index[d.Format(time.DateOnly)] = len(r.Days)
		r.Days = append(r.Days, signInDay{Date: d.Format(time.DateOnly)})
	}
	for _, act := range []string{"session.created", "session.refused"} {
		counts, err := a.Audit.CountByDay(ctx, c.Organization, act, r.Since, r.Until)
		if err != nil {
			return nil, err
		}
		for _, n := range counts {
			d := &r.Days[index[n.Day.Format(time.DateOnly)]]
			if n.Outcome == audit.Success {
				d.Succeeded += n.Total
			} else {
				d.Refused += n.Total
			}
		}
	}
	return v1.Out(r), nil
}

type policyBody struct {
	Priority          string     `json:"priority" enum:"critical,high,medium,low"`
	ResponseMinutes   int64      `json:"responseMinutes" minimum:"1"`
	ResolutionMinutes int64      `json:"resolutionMinutes" minimum:"1"`
	UpdatedAt         *time.Time `json:"updatedAt,omitempty" readOnly:"true" doc:"null: the default"`
}

type policiesBody struct {
	Policies []policyBody `json:"policies" nullable:"false" maxItems:"4"`
}

func showPolicies(list []servicedesk.Policy) *v1.Output[policiesBody] {
	b := policiesBody{Policies: make([]policyBody, len(list))}
	for i, p := range list {
		b.Policies[i] = policyBody{p.Priority, p.ResponseMinutes, p.ResolutionMinutes, v1.Moment(p.UpdatedAt)}
	}
	return v1.Out(b)
}

func (a *routes) getPolicies(ctx context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[policiesBody], error) {
	list, err := a.Desk.Policies(ctx, c.Principal)
	if err != nil {
		return nil, err
	}
	return showPolicies(list), nil
}

type putPoliciesInput struct{ Body policiesBody }

func (a *routes) putPolicies(ctx context.Context, c v1.Call, in *putPoliciesInput) (*v1.Output[policiesBody], error) {
	list := make([]servicedesk.Policy, len(in.Body.Policies))
	for i, p := range in.Body.Policies {
		list[i] = servicedesk.Policy{Priority: p.Priority, ResponseMinutes: p.ResponseMinutes,
			ResolutionMinutes: p.ResolutionMinutes}
	}
	list, err := a.Desk.PutPolicies(ctx, c.Principal, list)
	if err != nil {
		return nil, err
	}
	return showPolicies(list), nil
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

type auditBody struct {
	ID             string            `json:"id"`
	At             time.Time         `json:"at"`
	Act            string            `json:"act" example:"session.created"`
	Outcome        string            `json:"outcome" enum:"success,failure,denied"`
	Actor          auditActor        `json:"actor"`
	Target         auditTarget       `json:"target"`
	OrganizationID string            `json:"organizationId"`
	Address        string            `json:"address"`
	UserAgent      string            `json:"userAgent"`
	RequestID      string            `json:"requestId"`
	Details        map[string]string `json:"details"`
}

type auditActor struct {
	Kind           string `json:"kind"`
	ID             string `json:"id"`
	OrganizationID string `json:"organizationId" doc:"Where the actor lives; differs for an operator in your organization"`
}

type auditTarget struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

func showEvent(e audit.Event) auditBody {
	return auditBody{string(e.ID), e.At, e.Act, string(e.Outcome),
		auditActor{string(e.ActorKind), e.ActorID, string(e.ActorHome)}, auditTarget{e.TargetKind, e.TargetID},
		string(e.Organization), e.Source.Address, e.Source.UserAgent, string(e.Source.Request), e.Details}
}

func (a *routes) registerAudit() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/audit-events", "audit:read"),
		v1.Op("What happened, newest first"),
		a.listEvents)
}

type listEventsInput struct {
	v1.Page
	Actor  string          `query:"actor" maxLength:"100" doc:"Id of who did it"`
	Target string          `query:"target" maxLength:"100" doc:"Id of what it was done to"`
	Act    string          `query:"act" maxLength:"100"`
	Since  v1.OptionalTime `query:"since" doc:"RFC 3339; inclusive"`
	Until  v1.OptionalTime `query:"until" doc:"RFC 3339; exclusive"`
}

func (a *routes) listEvents(ctx context.Context, c v1.Call, in *listEventsInput) (*v1.ListOutput[auditBody], error) {
	filters := []string{in.Actor, in.Target, in.Act, in.Since.String(), in.Until.String()}
	before, err := a.Position(in.Page, c, "audit-events", filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.Audit.List(ctx, c.Principal, audit.Filter{Actor: in.Actor, Target: in.Target, Act: in.Act,
		Since: in.Since.At, Until: in.Until.At, Before: id.Event(before), Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "audit-events", filters, rows, func(e audit.Event) string {
		return string(e.ID)
	},
		showEvent), nil
}

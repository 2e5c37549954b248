package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

type ticketBody struct {
	ID             string    `json:"id"`
	Type           string    `json:"type" enum:"incident,service_request,problem,change,task"`
	Title          string    `json:"title"`
	Description    string    `json:"description"`
	Classification string    `json:"classification"`
	Status         string    `json:"status" enum:"new,open,in_progress,pending,on_hold,resolved,closed,cancelled"`
	Priority       string    `json:"priority" enum:"critical,high,medium,low"`
	RequesterID    string    `json:"requesterId"`
	AssigneeID     *string   `json:"assigneeId"`
	TeamID         *string   `json:"teamId"`
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`
}

func showTicket(t servicedesk.Ticket) ticketBody {
	return ticketBody{string(t.ID), t.Type, t.Title, t.Description, t.Classification, t.Status, t.Priority,
		string(t.Requester), v1.Text(t.Assignee), v1.Text(t.Team), t.CreatedAt, t.UpdatedAt}
}

func (a *routes) registerTickets() {
	v1.Register(a.API, v1.Desk(http.MethodGet, "/v1/tickets", "tickets:read"),
		v1.Op("List the tickets you may see, newest first"),
		a.listTickets)
	v1.Register(a.API, v1.Desk(http.MethodPost, "/v1/tickets", "tickets:create"), v1.Created("Open a ticket"),
		a.createTicket)
	v1.Register(a.API, v1.Desk(http.MethodGet, "/v1/tickets/{id}", "tickets:read"), v1.Op("Get a ticket"), a.getTicket)
	v1.Register(a.API, v1.Desk(http.MethodPatch, "/v1/tickets/{id}", "tickets:update|tickets:assign"),
		v1.Op("Change a ticket", http.StatusConflict), a.updateTicket)
}

type listTicketsInput struct {
	v1.Page
	Status     string `query:"status" enum:"new,open,in_progress,pending,on_hold,resolved,closed,cancelled"`
	Priority   string `query:"priority" enum:"critical,high,medium,low"`
	AssigneeID string `query:"assigneeId" maxLength:"40"`
}

func (a *routes) listTickets(ctx context.Context, c v1.Call, in *listTicketsInput) (*v1.ListOutput[ticketBody], error) {
	filters := []string{in.Status, in.Priority, in.AssigneeID}
	before, err := a.Position(in.Page, c, "tickets", filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.Desk.List(ctx, c.Principal, servicedesk.Filter{Status: in.Status, Priority: in.Priority,
		Assignee: in.AssigneeID, Past: id.Ticket(before), Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "tickets", filters, rows, func(t servicedesk.Ticket) string {
		return string(t.ID)
	},
		showTicket), nil
}

type createTicketInput struct {
	Body struct {
		Type           string `json:"type" enum:"incident,service_request,problem,change,task"`
		Title          string `json:"title" maxLength:"200"`
		Description    string `json:"description,omitempty" maxLength:"20000"`
		Classification string `json:"classification,omitempty" maxLength:"100"`
		Priority       string `json:"priority,omitempty" enum:"critical,high,medium,low" doc:"medium if left out"`
		RequesterID    string `json:"requesterId,omitempty" maxLength:"40" doc:"Yourself if left out"`
		AssigneeID     string `json:"assigneeId,omitempty" maxLength:"40"`
		TeamID         string `json:"teamId,omitempty" maxLength:"40"`
	}
}

func (a *routes) createTicket(ctx context.Context, c v1.Call, in *createTicketInput) (*v1.CreatedOutput[ticketBody],
	error) {
	b := in.Body
	t := servicedesk.Ticket{Type: b.Type, Title: b.Title, Description: b.Description, Classification: b.Classification,
		Priority: b.Priority}
	var err error
	if t.Requester, err = v1.OptionalID[id.User]("requesterId", b.RequesterID); err != nil {
		return nil, err
	}
	if t.Assignee, err = v1.OptionalID[id.User]("assigneeId", b.AssigneeID); err != nil {
		return nil, err
	}
	if t.Team, err = v1.OptionalID[id.Team]("teamId", b.TeamID); err != nil {
		return nil, err
	}
	if t, err = a.Desk.Create(ctx, c.Principal, t); err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/tickets/"+string(t.ID), showTicket(t)), nil
}

func (a *routes) getTicket(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[ticketBody], error) {
	ticket, err := v1.PathID[id.Ticket](in.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.Desk.Get(ctx, c.Principal, ticket)
	if err != nil {
		return nil, err
	}
	return v1.Out(showTicket(t)), nil
}

type updateTicketInput struct {
	v1.IDInput
	Body struct {
		Title          *string `json:"title,omitempty" maxLength:"200"`
		Description    *string `json:"description,omitempty" maxLength:"20000"`
		Classification *string `json:"classification,omitempty" maxLength:"100"`
		Status         *string `json:"status,omitempty" enum:"new,open,in_progress,pending,on_hold,resolved,closed,cancelled"`
		Priority       *string `json:"priority,omitempty" enum:"critical,high,medium,low"`
		AssigneeID     *string `json:"assigneeId,omitempty" maxLength:"40" doc:"Empty: nobody. Needs tickets:assign"`
		TeamID         *string `json:"teamId,omitempty" maxLength:"40" doc:"Empty: no team. Needs tickets:assign"`
	}
}

func (a *routes) updateTicket(ctx context.Context, c v1.Call, in *updateTicketInput) (*v1.Output[ticketBody], error) {
	ticket, err := v1.PathID[id.Ticket](in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	var assignee *id.User
	var team *id.Team
	if b.AssigneeID != nil {
		v, err := v1.OptionalID[id.User]("assigneeId", *b.AssigneeID)
		if err != nil {
			return nil, err
		}
		assignee = &v
	}
	if b.TeamID != nil {
		v, err := v1.OptionalID[id.Team]("teamId", *b.TeamID)
		if err != nil {
			return nil, err
		}
		team = &v
	}
	t, err := a.Desk.Update(ctx, c.Principal, ticket, func(t *servicedesk.Ticket) {
		v1.Set(&t.Title, b.Title)
		v1.Set(&t.Description, b.Description)
		v1.Set(&t.Classification, b.Classification)
		v1.Set(&t.Status, b.Status)
		v1.Set(&t.Priority, b.Priority)
		v1.Set(&t.Assignee, assignee)
		v1.Set(&t.Team, team)
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(showTicket(t)), nil
}

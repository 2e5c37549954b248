package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
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
		string(t.Requester), text(t.Assignee), text(t.Team), t.CreatedAt, t.UpdatedAt}
}

func (a *API) registerTickets() {
	register(a, desk(http.MethodGet, "/v1/tickets", "tickets:read"), op("List the tickets you may see, newest first"),
		a.listTickets)
	register(a, desk(http.MethodPost, "/v1/tickets", "tickets:create"), created("Open a ticket"), a.createTicket)
	register(a, desk(http.MethodGet, "/v1/tickets/{id}", "tickets:read"), op("Get a ticket"), a.getTicket)
	register(a, desk(http.MethodPatch, "/v1/tickets/{id}", "tickets:update|tickets:assign"),
		op("Change a ticket", http.StatusConflict), a.updateTicket)
}

type listTicketsInput struct {
	Page
	Status     string `query:"status" enum:"new,open,in_progress,pending,on_hold,resolved,closed,cancelled"`
	Priority   string `query:"priority" enum:"critical,high,medium,low"`
	AssigneeID string `query:"assigneeId" maxLength:"40"`
}

func (a *API) listTickets(ctx context.Context, c call, in *listTicketsInput) (*listOutput[ticketBody], error) {
	filters := []string{in.Status, in.Priority, in.AssigneeID}
	before, err := a.position(in.Page, c, "tickets", filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.Desk.List(ctx, c.Principal, servicedesk.Filter{Status: in.Status, Priority: in.Priority,
		Assignee: in.AssigneeID, Before: id.Ticket(before), Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return page(a, in.Page, c, "tickets", filters, rows, func(t servicedesk.Ticket) string { return string(t.ID) },
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

func (a *API) createTicket(ctx context.Context, c call, in *createTicketInput) (*createdOutput[ticketBody], error) {
	b := in.Body
	t := servicedesk.Ticket{Type: b.Type, Title: b.Title, Description: b.Description, Classification: b.Classification,
		Priority: b.Priority}
	var err error
	if t.Requester, err = optionalID[id.User]("requesterId", b.RequesterID); err != nil {
		return nil, err
	}
	if t.Assignee, err = optionalID[id.User]("assigneeId", b.AssigneeID); err != nil {
		return nil, err
	}
	if t.Team, err = optionalID[id.Team]("teamId", b.TeamID); err != nil {
		return nil, err
	}
	if t, err = a.Desk.Create(ctx, c.Principal, t); err != nil {
		return nil, err
	}
	return &createdOutput[ticketBody]{"/v1/tickets/" + string(t.ID), showTicket(t)}, nil
}

func (a *API) getTicket(ctx context.Context, c call, in *IDInput) (*output[ticketBody], error) {
	ticket, err := pathID[id.Ticket](in.ID)
	if err != nil {
		return nil, err
	}
	t, err := a.Desk.Get(ctx, c.Principal, ticket)
	if err != nil {
		return nil, err
	}
	return out(showTicket(t)), nil
}

type updateTicketInput struct {
	IDInput
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

func (a *API) updateTicket(ctx context.Context, c call, in *updateTicketInput) (*output[ticketBody], error) {
	ticket, err := pathID[id.Ticket](in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	var assignee *id.User
	var team *id.Team
	if b.AssigneeID != nil {
		v, err := optionalID[id.User]("assigneeId", *b.AssigneeID)
		if err != nil {
			return nil, err
		}
		assignee = &v
	}
	if b.TeamID != nil {
		v, err := optionalID[id.Team]("teamId", *b.TeamID)
		if err != nil {
			return nil, err
		}
		team = &v
	}
	t, err := a.Desk.Update(ctx, c.Principal, ticket, func(t *servicedesk.Ticket) {
		set(&t.Title, b.Title)
		set(&t.Description, b.Description)
		set(&t.Classification, b.Classification)
		set(&t.Status, b.Status)
		set(&t.Priority, b.Priority)
		set(&t.Assignee, assignee)
		set(&t.Team, team)
	})
	if err != nil {
		return nil, err
	}
	return out(showTicket(t)), nil
}

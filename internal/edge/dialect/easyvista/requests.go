package easyvista

import (
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// requestRecord is a ticket of the service desk.
type requestRecord struct {
	HREF           string  `json:"HREF"`
	ID             string  `json:"id"`
	Type           string  `json:"type"`
	Title          string  `json:"title"`
	Description    string  `json:"description"`
	Classification string  `json:"classification"`
	Status         string  `json:"status"`
	Priority       string  `json:"priority"`
	Requester      string  `json:"requester_id"`
	Assignee       *string `json:"assignee_id"`
	Team           *string `json:"team_id"`
	CreatedAt      *string `json:"created_at"`
	UpdatedAt      *string `json:"updated_at"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s Deps) request(r *http.Request, t servicedesk.Ticket) requestRecord {
	return requestRecord{HREF: s.href(r, "requests", string(t.ID)), ID: string(t.ID), Type: t.Type, Title: t.Title,
		Description: t.Description, Classification: t.Classification,
		Status: t.Status, Priority: t.Priority, Requester: string(t.Requester), Assignee: text(string(t.Assignee)),
		Team: text(string(t.Team)), CreatedAt: moment(t.CreatedAt), UpdatedAt: moment(t.UpdatedAt)}
}

// requestFields have an index each.
var requestFields = searchable{"id": idOf[id.Ticket]("id"), "status": oneOf("status", servicedesk.Statuses),
	"priority": oneOf("priority", servicedesk.Priorities), "requester_id": idOf[id.User]("requester_id"),
	"assignee_id": idOf[id.User]("assignee_id"), "team_id": idOf[id.Team]("team_id")}

func (s Deps) listRequests(w http.ResponseWriter, r *http.Request) error {
	ctx, p := r.Context(), web.InfoOf(r.Context()).Principal
	a, err := s.read(r, "requests", true, requestFields, "status", "priority")
	if err != nil {
		return err
	}
	f := servicedesk.Filter{Ticket: id.Ticket(a.fields["id"]), Status: a.fields["status"],
		Priority: a.fields["priority"], Requester: a.fields["requester_id"], Assignee: a.fields["assignee_id"],
		Team: a.fields["team_id"], OldestFirst: !a.newest, Past: id.Ticket(a.position), Offset: a.offset,
		Limit: a.rows + 1}
	found, err := s.Desk.List(ctx, p, f)
	if err != nil {
		return err
	}
	total, err := s.Desk.Count(ctx, p, f)
	if err != nil {
		return err
	}
	return writeList(s, w, r, a, found, total, func(t servicedesk.Ticket) string { return string(t.ID) },
		func(t servicedesk.Ticket) (requestRecord, error) { return s.request(r, t), nil })
}

func (s Deps) getRequest(w http.ResponseWriter, r *http.Request) error {
	ticket, err := id.Parse[id.Ticket](r.PathValue("id"))
	if err != nil {
		return fault.NotFoundf("There is no such request.")
	}
	t, err := s.Desk.Get(r.Context(), web.InfoOf(r.Context()).Principal, ticket)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, s.request(r, t))
	return nil
}

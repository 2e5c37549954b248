package easyvista

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

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

// oneOf checks a filter; none is good.
func oneOf(name, value string, words []string) error {
	if value == "" || slices.Contains(words, value) {
		return nil
	}
	return fault.Invalidf(name, "must be one of %s", strings.Join(words, ", "))
}

func (s Deps) listRequests(w http.ResponseWriter, r *http.Request) error {
	ctx, p, q := r.Context(), web.InfoOf(r.Context()).Principal, r.URL.Query()
	filters := url.Values{"status": {q.Get("status")}, "priority": {q.Get("priority")}}
	most, err1 := rows(r)
	before, err2 := s.position(r, "requests", filters)
	if err := errors.Join(err1, err2, oneOf("status", q.Get("status"), servicedesk.Statuses),
		oneOf("priority", q.Get("priority"), servicedesk.Priorities)); err != nil {
		return err
	}
	f := servicedesk.Filter{Status: q.Get("status"), Priority: q.Get("priority"), Before: id.Ticket(before),
		Limit: most + 1}
	found, err := s.Desk.List(ctx, p, f)
	if err != nil {
		return err
	}
	total, err := s.Desk.Count(ctx, p, f)
	if err != nil {
		return err
	}
	return writeList(s, w, r, "requests", filters, found, most, total, func(t servicedesk.Ticket) string {
		return string(t.ID)
	},
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

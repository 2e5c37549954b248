// Package servicedesk is the protected resource that ships with the server: tickets with own, team and organization
// scope, reports and service levels. It is small on purpose and real: it is how the permissions are proven.
package servicedesk

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk/servicedeskdb"
)

// The words of a ticket.
var (
	Types      = []string{"incident", "service_request", "problem", "change", "task"}
	Statuses   = []string{"new", "open", "in_progress", "pending", "on_hold", "resolved", "closed", "cancelled"}
	Priorities = []string{"critical", "high", "medium", "low"}
)

// Ticket is one piece of work of a service desk.
type Ticket struct {
	ID             id.Ticket
	Type           string
	Title          string
	Description    string
	Classification string
	Status         string
	Priority       string
	Requester      id.User
	Assignee       id.User // empty: nobody
	Team           id.Team // empty: no team
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

func fromRow(r servicedeskdb.Ticket) Ticket {
	return Ticket{ID: r.ID, Type: r.Type, Title: r.Title, Description: r.Description, Classification: r.Classification,
		Status: r.Status, Priority: r.Priority,
		Requester: r.RequesterID, Assignee: r.AssigneeID, Team: r.TeamID, CreatedAt: r.CreatedAt.Time(),
		UpdatedAt: r.UpdatedAt.Time()}
}

func (t *Ticket) check() error {
	var wrong []fault.Field
	oneOf := func(field, value string, words []string) {
		if !slices.Contains(words, value) {
			wrong = append(wrong, fault.Field{Field: field, Message: "must be one of " + strings.Join(words, ", ")})
		}
	}
	text := func(field string, value *string, least, most int, multiline bool) {
		*value = strings.TrimSpace(*value)
		n := utf8.RuneCountInString(*value)
		control := strings.ContainsFunc(*value, func(r rune) bool {
			return unicode.IsControl(r) && (!multiline || !strings.ContainsRune("\n\r\t", r))
		})
		if n < least || n > most || control || !utf8.ValidString(*value) {
			wrong = append(wrong, fault.Invalidf(field, "must have %d to %d characters and no control characters",
				least, most).Fields...)
		}
	}
	oneOf("type", t.Type, Types)
	oneOf("status", t.Status, Statuses)
	oneOf("priority", t.Priority, Priorities)
	text("title", &t.Title, 1, 200, false)
	text("description", &t.Description, 0, 20_000, true)
	text("classification", &t.Classification, 0, 100, false)
	if len(wrong) > 0 {
		return fault.InvalidFields(wrong)
	}
	return nil
}

package v1

import (
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/moment"
	"github.com/itsm-automation/gatehouse/internal/domain/search"

	"github.com/danielgtaylor/huma/v2"
)

// Page is the input of every list.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"25" doc:"How many to answer at most"`
	Cursor string `query:"cursor" maxLength:"256" doc:"Where to go on: the cursor of the last answer"`
}

// Search is the input of a list that can be searched.
type Search struct {
	Q string `query:"q" maxLength:"100" doc:"What has a word that begins like this, in the order of these words"`
}

// Searched answers a list that can be searched: find gives the page of a search, list the one without. Both give one
// row more than was asked for.
func Searched[R, T any](a *API, s Search, p Page, c Call, name string, filters []string,
	list func(after string) ([]R, error), find func(q search.Query, after string) ([]search.Hit[R], error),
	idOf func(R) string, show func(R) T) (*ListOutput[T], error) {
	q, err := search.Parse(s.Q)
	if err != nil {
		return nil, err
	}
	if q.Any() {
		filters = append(filters, s.Q)
	}
	position, err := a.Position(p, c, name, filters...)
	if err != nil {
		return nil, err
	}
	if !q.Any() {
		rows, err := list(position)
		if err != nil {
			return nil, err
		}
		return Paged(a, p, c, name, filters, rows, idOf, show), nil
	}
	hits, err := find(q.After(position))
	if err != nil {
		return nil, err
	}
	return Paged(a, p, c, name, filters, hits, func(h search.Hit[R]) string { return q.Position(idOf(h.V), h.Term) },
		func(h search.Hit[R]) T { return show(h.V) }), nil
}

// List is the answer of every list.
type List[T any] struct {
	Data    []T     `json:"data" nullable:"false"`
	HasMore bool    `json:"hasMore"`
	Cursor  *string `json:"cursor" doc:"Where to go on; null at the end"`
}

// ListOutput answers a list.
type ListOutput[T any] struct{ Body List[T] }

// Position reads the cursor of a list whose name, organization and filters are given.
func (a *API) Position(p Page, c Call, list string, filters ...string) (string, error) {
	return a.Cursors.Decode(p.Cursor, append([]string{list, string(c.Organization)}, filters...)...)
}

// Paged makes an answer from one row more than was asked for; idOf tells the position of a row.
func Paged[R, T any](a *API, p Page, c Call, list string, filters []string, rows []R, idOf func(R) string,
	show func(R) T) *ListOutput[T] {
	out := &ListOutput[T]{List[T]{Data: make([]T, 0, min(len(rows), p.Limit))}}
	if out.Body.HasMore = len(rows) > p.Limit; out.Body.HasMore {
		rows = rows[:p.Limit]
		cursor := a.Cursors.Encode(idOf(rows[len(rows)-1]),
			append([]string{list, string(c.Organization)}, filters...)...)
		out.Body.Cursor = &cursor
	}
	for _, r := range rows {
		out.Body.Data = append(out.Body.Data, show(r))
	}
	return out
}

// PathID reads an id of a path. One of the wrong form names nothing that exists.
func PathID[T id.ID](s string) (T, error) {
	v, err := id.Parse[T](s)
	if err != nil {
		return v, fault.NotFoundf("There is no such resource.")
	}
	return v, nil
}

// BodyIDs reads ids of a body.
func BodyIDs[T id.ID](field string, list []string) ([]T, error) {
	out := make([]T, len(list))
	for i, s := range list {
		v, err := id.Parse[T](s)
		if err != nil {
			return nil, fault.Invalidf(field, "entry %d: %v", i, err)
		}
		out[i] = v
	}
	return out, nil
}

// OptionalID reads an id that may be empty.
func OptionalID[T id.ID](field, s string) (T, error) {
	if s == "" {
		return "", nil
	}
	v, err := id.Parse[T](s)
	if err != nil {
		return "", fault.Invalidf(field, "%v", err)
	}
	return v, nil
}

// Moment shows a time, or null for none.
func Moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// OptionalTime is a time in a query, or none.
type OptionalTime struct{ At *time.Time }

// UnmarshalText notes that the parameter was there.
func (o *OptionalTime) UnmarshalText(text []byte) error {
	t, err := moment.Parse(string(text))
	o.At = &t
	return err
}

// Schema is that of a time.
func (o OptionalTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// String binds a cursor to it.
func (o OptionalTime) String() string {
	if o.At == nil {
		return ""
	}
	return o.At.UTC().String()
}

// Text shows a string, or null for none.
func Text[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	v := string(s)
	return &v
}

// Set changes a field if the input has it.
func Set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// IDInput is the id in a path. It is exported since huma looks into exported embedded structs only.
type IDInput struct {
	ID string `path:"id" maxLength:"40"`
}

// CreatedOutput answers what was made, and where it is.
type CreatedOutput[T any] struct {
	Location string `header:"Location"`
	Body     T
}

// CreatedAt answers what was made.
func CreatedAt[T any](location string, body T) *CreatedOutput[T] {
	return &CreatedOutput[T]{location, body}
}

// Output answers one thing.
type Output[T any] struct{ Body T }

// Out answers one thing.
func Out[T any](v T) *Output[T] { return &Output[T]{v} }

// Nothing is no input, or no answer.
type Nothing struct{}

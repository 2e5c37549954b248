package api

import (
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
)

// Page is the input of every list.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"25" doc:"How many to answer at most"`
	Cursor string `query:"cursor" maxLength:"256" doc:"Where to go on: the cursor of the last answer"`
}

// List is the answer of every list.
type List[T any] struct {
	Data    []T     `json:"data" nullable:"false"`
	HasMore bool    `json:"hasMore"`
	Cursor  *string `json:"cursor" doc:"Where to go on; null at the end"`
}

type listOutput[T any] struct{ Body List[T] }

// position reads the cursor of a list whose name, organization and filters are given.
func (a *API) position(p Page, c call, list string, filters ...string) (string, error) {
	return a.Cursors.Decode(p.Cursor, append([]string{list, string(c.Organization)}, filters...)...)
}

// page makes an answer from one row more than was asked for; idOf tells the position of a row.
func page[R, T any](a *API, p Page, c call, list string, filters []string, rows []R, idOf func(R) string,
	show func(R) T) *listOutput[T] {
	out := &listOutput[T]{List[T]{Data: make([]T, 0, min(len(rows), p.Limit))}}
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

// pathID reads an id of a path. One of the wrong form names nothing that exists.
func pathID[T id.ID](s string) (T, error) {
	v, err := id.Parse[T](s)
	if err != nil {
		return v, fault.NotFoundf("There is no such resource.")
	}
	return v, nil
}

// bodyIDs reads ids of a body.
func bodyIDs[T id.ID](field string, list []string) ([]T, error) {
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

// optionalID reads an id that may be empty.
func optionalID[T id.ID](field, s string) (T, error) {
	if s == "" {
		return "", nil
	}
	v, err := id.Parse[T](s)
	if err != nil {
		return "", fault.Invalidf(field, "%v", err)
	}
	return v, nil
}

// moment shows a time, or null for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// text shows a string, or null for none.
func text[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	v := string(s)
	return &v
}

// set changes a field if the input has it.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// IDInput is the id in a path. It is exported since huma looks into exported embedded structs only.
type IDInput struct {
	ID string `path:"id" maxLength:"40"`
}

type createdOutput[T any] struct {
	Location string `header:"Location"`
	Body     T
}

type output[T any] struct{ Body T }

func out[T any](v T) *output[T] { return &output[T]{v} }

type nothing struct{}

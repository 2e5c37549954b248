package v1

import (
	"encoding/json"
	"reflect"

	"github.com/itsm-automation/gatehouse/internal/edge/web"

	"github.com/danielgtaylor/huma/v2"
)

// Nullable is a value that a change may leave alone (absent), take away (null) or set.
type Nullable[T any] struct {
	Set   bool
	Value *T
}

// UnmarshalJSON notes that the member was there.
func (n *Nullable[T]) UnmarshalJSON(b []byte) error {
	n.Set = true
	return web.DecodeJSON(b, &n.Value)
}

// MarshalJSON writes the value, or null.
func (n Nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(n.Value) }

// Schema is that of the value, or null.
func (n Nullable[T]) Schema(r huma.Registry) *huma.Schema {
	var v T
	s := *huma.SchemaFromType(r, reflect.TypeOf(v))
	s.Nullable = true
	return &s
}

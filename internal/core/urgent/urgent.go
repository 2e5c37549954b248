// Package urgent marks work that must get through though everyone else waits: taking rights away.
package urgent

import "context"

type key struct{}

// With marks the work of a context.
func With(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is tells whether the work of a context is marked.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }

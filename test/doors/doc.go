// Package doors holds what must be true at every door at once: the dialects, /v1 and the OAuth endpoints in one table
// each.
package doors

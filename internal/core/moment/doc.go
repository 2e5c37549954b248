// Package moment reads times that come from outside. Only those that every format, engine and client can write are
// taken: a zero time.Time, which means "none" inside the program, is never one of them.
package moment

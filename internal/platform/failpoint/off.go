//go:build !faults

package failpoint

import (
	"context"
	"time"
)

// Hit does nothing.
func Hit(context.Context, string) error { return nil }

// Clock is the time as it is.
func Clock(t time.Time) time.Time { return t }

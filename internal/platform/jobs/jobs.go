// Package jobs runs recurring work in the background.
package jobs

import (
	"context"
	"log/slog"
	"time"
)

// Every runs fn each interval until ctx ends. A failure is logged and tried again next time; a panic ends the process,
// as it should.
func Every(ctx context.Context, log *slog.Logger, name string, interval time.Duration,
	fn func(ctx context.Context) error) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				log.ErrorContext(ctx, "background work failed", "job", name, "error", err)
			}
		}
	}
}

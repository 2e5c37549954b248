//go:build faults

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrInjected is the failure that a fail point makes.
var ErrInjected = fmt.Errorf("failpoint: injected: %w", os.ErrDeadlineExceeded)

// A point does its action at the n-th hit. GATEHOUSE_FAILPOINTS is a list such as rotate.committed=kill@3,rotate.signed=sleep:200ms@1. The actions: kill
// (as kill -9), panic, error, sleep:duration.
type point struct {
	action string
	left   atomic.Int64
}

var points = sync.OnceValue(func() map[string]*point {
	out := make(map[string]*point)
	for _, text := range strings.FieldsFunc(os.Getenv("GATEHOUSE_FAILPOINTS"), func(r rune) bool { return r == ',' }) {
		name, rest, _ := strings.Cut(text, "=")
		action, at, ok := strings.Cut(rest, "@")
		n := int64(1)
		if ok {
			var err error
			if n, err = strconv.ParseInt(at, 10, 64); err != nil {
				panic("GATEHOUSE_FAILPOINTS: " + text)
			}
		}
		p := &point{action: action}
		p.left.Store(n)
		out[name] = p
	}
	return out
})

// Plan fails the n-th hit of one name within one request.
type Plan struct {
	Name   string
	Action string
	left   atomic.Int64
	hits   atomic.Int64
}

// NewPlan makes a plan for the n-th hit.
func NewPlan(name, action string, n int64) *Plan {
	p := &Plan{Name: name, Action: action}
	p.left.Store(n)
	return p
}

// Hits is how often the name was hit.
func (p *Plan) Hits() int64 { return p.hits.Load() }

type planKey struct{}

// With puts a plan into a context.
func With(ctx context.Context, p *Plan) context.Context { return context.WithValue(ctx, planKey{}, p) }

// Hit is called where something may be made to go wrong.
func Hit(ctx context.Context, name string) error {
	if p, ok := points()[name]; ok && p.left.Add(-1) == 0 {
		return act(p.action)
	}
	if p, ok := ctx.Value(planKey{}).(*Plan); ok && p.Name == name {
		p.hits.Add(1)
		if p.left.Add(-1) == 0 {
			return act(p.Action)
		}
	}
	return nil
}

func act(action string) error {
	switch what, detail, _ := strings.Cut(action, ":"); what {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "panic":
		panic("failpoint")
	case "error":
		return ErrInjected
	case "sleep":
		d, err := time.ParseDuration(detail)
		if err != nil {
			return err
		}
		time.Sleep(d)
		return nil
	}
	return errors.New("failpoint: no such action: " + action)
}

var offset = sync.OnceValue(func() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("GATEHOUSE_FAULT_CLOCK"))
	return d
})

// Clock is the time of a clock that is off by GATEHOUSE_FAULT_CLOCK.
func Clock(t time.Time) time.Time { return t.Add(offset()) }

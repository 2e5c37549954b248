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

// A point does its action at the n-th hit, or from it on. GATEHOUSE_FAILPOINTS is a list such as
// rotate.committed=kill@3,listen=error@1+. The actions: kill (as kill -9), panic, error, sleep:duration.
type point struct {
	action  string
	lasting bool
	left    atomic.Int64
}

func (p *point) due() bool {
	n := p.left.Add(-1)
	return n == 0 || n < 0 && p.lasting
}

var points = sync.OnceValue(func() map[string]*point {
	out := make(map[string]*point)
	for _, text := range strings.FieldsFunc(os.Getenv("GATEHOUSE_FAILPOINTS"), func(r rune) bool { return r == ',' }) {
		name, rest, _ := strings.Cut(text, "=")
		action, at, ok := strings.Cut(rest, "@")
		at, lasting := strings.CutSuffix(at, "+")
		n := int64(1)
		if ok {
			var err error
			if n, err = strconv.ParseInt(at, 10, 64); err != nil {
				panic("GATEHOUSE_FAILPOINTS: " + text)
			}
		}
		p := &point{action: action, lasting: lasting}
		p.left.Store(n)
		out[name] = p
	}
	return out
})

// Plan fails the n-th hit of one name within one request, or from it on.
type Plan struct {
	point
	name   string
	hits   atomic.Int64
	cancel context.CancelFunc
}

// NewPlan makes a plan. Beside the actions of the environment there is cancel, as if the client had hung up.
func NewPlan(name, action string, n int64, lasting bool) *Plan {
	p := &Plan{name: name, point: point{action: action, lasting: lasting}}
	p.left.Store(n)
	return p
}

// Hits is how often the name was hit.
func (p *Plan) Hits() int64 { return p.hits.Load() }

type plansKey struct{}

// With puts plans into a context; the caller cancels it in the end.
func With(ctx context.Context, plans ...*Plan) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	for _, p := range plans {
		p.cancel = cancel
	}
	return context.WithValue(ctx, plansKey{}, plans), cancel
}

// Hit is called where something may be made to go wrong.
func Hit(ctx context.Context, name string) error {
	if p, ok := points()[name]; ok && p.due() {
		return act(p.action)
	}
	plans, _ := ctx.Value(plansKey{}).([]*Plan)
	for _, p := range plans {
		if p.name != name {
			continue
		}
		p.hits.Add(1)
		switch {
		case !p.due():
		case p.action == "cancel":
			p.cancel()
			return ctx.Err()
		default:
			return act(p.action)
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

// clockEnv holds by how much the clock is off, such as -3s, or @ and the name of a file that does, which may change.
const clockEnv = "GATEHOUSE_FAULT_CLOCK"

// Clock is the time of a clock that is off.
func Clock(t time.Time) time.Time {
	text := os.Getenv(clockEnv)
	if path, ok := strings.CutPrefix(text, "@"); ok {
		read, err := os.ReadFile(path) // the laboratory's own
		if err != nil {
			return t
		}
		text = strings.TrimSpace(string(read))
	}
	if text == "" {
		return t
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(clockEnv + ": " + text) // else a scenario would pass without its fault
	}
	return t.Add(d)
}

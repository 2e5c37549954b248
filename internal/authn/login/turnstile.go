package login

import (
	"context"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// turnstile lets few tries at one account through at a time. A try counts as a failure while it is being looked at;
// without this, several good sign-ins at once would lock the account for each other.
type turnstile struct {
	mu    sync.Mutex
	gates map[string]*gate
}

type gate struct {
	slots chan struct{}
	users int // inside and waiting
}

// The bounds of tries at one account, on each node.
const (
	TriesAtOnce   = 2 // fewer than the failures that lock, on this node
	TriesWaiting  = 32
	TurnstileWait = 5 * time.Second
)

func newTurnstile() *turnstile { return &turnstile{gates: make(map[string]*gate)} }

// enter waits for a place, unless many wait already; leave must be called.
func (t *turnstile) enter(ctx context.Context, account string) (leave func(), err error) {
	t.mu.Lock()
	g := t.gates[account]
	if g == nil {
		g = &gate{slots: make(chan struct{}, TriesAtOnce)}
		t.gates[account] = g
	}
	if g.users >= TriesAtOnce+TriesWaiting {
		t.mu.Unlock()
		return nil, crowded()
	}
	g.users++
	t.mu.Unlock()
	forget := func() {
		t.mu.Lock()
		if g.users--; g.users == 0 {
			delete(t.gates, account)
		}
		t.mu.Unlock()
	}
	timer := time.NewTimer(TurnstileWait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots; forget() }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = crowded()
	}
	forget()
	return nil, err
}

func crowded() error {
	return fault.Unavailablef(2*time.Second, "Too many sign-ins of this account at once. Try again shortly.")
}

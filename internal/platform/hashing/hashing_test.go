package hashing

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

func pool(o Options) *Pool { return New(o) }

// ATK58: no more hashes run at once than there are slots, and who waits beyond the queue is sent away at once with a
// time to come back.
func TestATK58_SlotsAndShedding(t *testing.T) {
	t.Parallel()
	p := pool(Options{Slots: 2, MaxWaiting: 3, PerClient: 2})
	block := make(chan struct{})
	var mu sync.Mutex
	running, most := 0, 0
	var wg sync.WaitGroup
	for _, client := range []string{"a", "a", "a", "a", "b"} {
		wg.Go(func() {
			place, err := p.Enter(client)
			if err != nil {
				t.Error(err)
				return
			}
			defer place.Leave()
			if err := p.do(context.Background(), client, func() {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				<-block
				mu.Lock()
				running--
				mu.Unlock()
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for {
		p.mu.Lock()
		full := p.running == 2 && p.waiting == 3
		p.mu.Unlock()
		if full {
			break
		}
		time.Sleep(time.Millisecond)
	}
	refused := func(why, client string) {
		_, err := p.Hash(context.Background(), client, "a password")
		if f := fault.Of(err); f.Kind != fault.Unavailable || f.RetryAfter <= 0 {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused("full", "c")
	close(block)
	wg.Wait()
	places := make([]*Place, 4)
	for i := range places {
		places[i], _ = p.Enter("a")
	}
	refused("enough of one client", "a")
	if _, err := p.Hash(context.Background(), "c", "a password"); err != nil {
		t.Errorf("another client: %v", err)
	}
	for _, place := range places {
		place.Leave()
		place.Leave()
	}
	if most != 2 {
		t.Errorf("%d ran at once", most)
	}
	if p.running != 0 || p.waiting != 0 || len(p.queues) != 0 || len(p.turns) != 0 || p.within != 0 ||
		len(p.places) != 0 {
		t.Errorf("left behind: %+v", p)
	}
}

// One client's flood delays itself: another's single request is served after at most one of the flood's.
func TestFairness(t *testing.T) {
	t.Parallel()
	p := pool(Options{Slots: 1, MaxWaiting: 100, PerClient: 100})
	block := make(chan struct{})
	started := make(chan struct{})
	go p.do(context.Background(), "flood", func() { close(started); <-block })
	<-started
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	queue := func(client string) {
		wg.Go(func() {
			p.do(context.Background(), client, func() { mu.Lock(); order = append(order, client); mu.Unlock() })
		})
	}
	waiting := func(n int) {
		for {
			p.mu.Lock()
			ok := p.waiting == n
			p.mu.Unlock()
			if ok {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range 20 {
		queue("flood")
	}
	waiting(20)
	queue("guest")
	waiting(21)
	close(block)
	wg.Wait()
	for i, c := range order {
		if c == "guest" {
			if i > 1 {
				t.Errorf("the guest was served as number %d", i+1)
			}
			return
		}
	}
	t.Error("the guest was not served")
}

// A caller who gives up leaves no trace, also when the slot comes at the same moment.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	p := pool(Options{Slots: 1, MaxWaiting: 100, PerClient: 100})
	for range 200 {
		block := make(chan struct{})
		started := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { p.do(context.Background(), "a", func() { close(started); <-block }) })
		<-started
		ctx, cancel := context.WithCancel(context.Background())
		for range 3 {
			wg.Go(func() { p.do(ctx, "b", func() {}) })
		}
		go cancel()
		close(block)
		wg.Wait()
		cancel()
	}
	if p.running != 0 || p.waiting != 0 || len(p.queues) != 0 || len(p.turns) != 0 {
		t.Errorf("left behind: running %d, waiting %d, %d queues, %d turns", p.running, p.waiting, len(p.queues),
			len(p.turns))
	}
}

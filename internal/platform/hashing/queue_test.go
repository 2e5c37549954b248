package hashing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/password"
)

// work is a second of hashing.
func work() { time.Sleep(time.Second) }

// busyNow tells whether an error is that of a full or slow queue.
func busyNow(err error) bool {
	f := fault.Of(err)
	return err != nil && f.Kind == fault.Unavailable && f.RetryAfter == 2*time.Second
}

// empty fails the test if anything is left behind.
func empty(t *testing.T, p *Pool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != 0 || p.waiting != 0 || len(p.queues) != 0 || len(p.turns) != 0 || p.within != 0 ||
		len(p.places) != 0 {
		t.Errorf("left behind: running %d, waiting %d, %d queues, turns %v, within %d", p.running, p.waiting,
			len(p.queues), p.turns, p.within)
	}
}

// ATK58: so many hashes run at once as there are slots, no fewer while somebody waits.
func TestATK58_Throughput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slots, callers int
		want           time.Duration
	}{{1, 1, time.Second}, {1, 5, 5 * time.Second}, {2, 5, 3 * time.Second}, {2, 6, 3 * time.Second},
		{3, 7, 3 * time.Second}, {8, 3, time.Second}} {
		t.Run(fmt.Sprintf("%d for %d", c.slots, c.callers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, began := pool(Options{Slots: c.slots, MaxWait: time.Hour}), time.Now()
				var wg sync.WaitGroup
				for i := range c.callers {
					wg.Go(func() {
						if err := p.do(t.Context(), fmt.Sprint(i%2), work); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(began); took != c.want || p.Done() != uint64(c.callers) {
					t.Errorf("%d hashes took %s, want %s", p.Done(), took, c.want)
				}
				empty(t, p)
			})
		})
	}
}

// Clients take turns, and each client's callers are served as they came.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, came, want string }{
		{"one client", "a1 a2 a3 a4", "a1 a2 a3 a4"},
		{"a flood before a guest", "a1 a2 a3 a4 b1", "a1 a2 b1 a3 a4"},
		{"two floods", "a1 a2 a3 b1 b2 b3", "a1 a2 b1 a3 b2 b3"},
		{"a flood behind a guest", "b1 a1 a2 a3", "b1 a1 a2 a3"},
		{"three clients", "a1 a2 a3 b1 b2 c1", "a1 a2 b1 c1 a3 b2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := pool(Options{Slots: 1, MaxWait: time.Hour})
				var mu sync.Mutex
				var order []string
				for _, caller := range strings.Fields(c.came) {
					go p.do(t.Context(), caller[:1], func() {
						mu.Lock()
						order = append(order, caller)
						mu.Unlock()
						work()
					})
					synctest.Wait() // it runs or stands in line
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := strings.Join(order, " "); got != c.want {
					t.Errorf("served %s, want %s", got, c.want)
				}
				empty(t, p)
			})
		})
	}
}

// ATK58: who waits too long, or gives up, leaves the line at that moment, and everybody else is served as if they had
// never come.
func TestATK58_GivingUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		gives func(ctx context.Context) (context.Context, context.CancelFunc)
		after time.Duration
		want  func(error) bool
	}{
		{"the longest wait", context.WithCancel, 5 * time.Second, busyNow},
		{"a deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 1500*time.Millisecond)
		}, 1500 * time.Millisecond, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"a caller who is gone", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(700*time.Millisecond, cancel)
			return ctx, cancel
		}, 700 * time.Millisecond, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"a caller who was gone before", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, 0, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := pool(Options{Slots: 1})
				go p.do(t.Context(), "a", func() { time.Sleep(6 * time.Second) })
				synctest.Wait()
				ctx, cancel := c.gives(t.Context())
				defer cancel()
				began := time.Now()
				if err := p.do(ctx, "b", func() { t.Error("it ran") }); !c.want(err) {
					t.Errorf("told: %v", err)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("it waited %s, want %s", took, c.after)
				}
				p.mu.Lock()
				if p.waiting != 0 || len(p.queues) != 0 || len(p.turns) != 0 || p.running != 1 {
					t.Errorf("it still stands in line: %d, %v", p.waiting, p.turns)
				}
				p.mu.Unlock()
				time.Sleep(6*time.Second - c.after)
				synctest.Wait()
				if err := p.do(t.Context(), "b", work); err != nil {
					t.Errorf("the next: %v", err)
				}
				empty(t, p)
			})
		})
	}
	t.Run("one of several of a client", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := pool(Options{Slots: 1, MaxWait: time.Hour})
			var order []string
			ctx, cancel := context.WithCancel(t.Context())
			for _, caller := range []string{"a1", "b1", "b2", "b3", "c1"} {
				own := t.Context()
				if caller == "b2" {
					own = ctx
				}
				go p.do(own, caller[:1], func() { order = append(order, caller); work() })
				synctest.Wait()
			}
			cancel()
			time.Sleep(time.Minute)
			synctest.Wait()
			if want := []string{"a1", "b1", "c1", "b3"}; !slices.Equal(order, want) {
				t.Errorf("served %v, want %v", order, want)
			}
			empty(t, p)
		})
	})
}

// ATK58: how many may be within at once, of all and of one client. Who leaves makes room, once.
func TestATK58_Places(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		o       Options
		clients int // that take places in turn
		want    int // places in all
	}{
		{"one client, by default", Options{}, 1, 34},
		{"many clients, by default", Options{}, 100, 258},
		{"one client", Options{Slots: 1, MaxWaiting: 10, PerClient: 3}, 1, 4},
		{"two clients", Options{Slots: 1, MaxWaiting: 10, PerClient: 3}, 2, 8},
		{"more clients", Options{Slots: 1, MaxWaiting: 10, PerClient: 3}, 5, 11},
		{"a client may have all", Options{Slots: 3, MaxWaiting: 2, PerClient: 100}, 1, 5},
		{"wrong options are the default", Options{Slots: -1, MaxWaiting: -1, PerClient: -1}, 1, 34},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pool(c.o)
			var places []*Place
			for i := range 2 * c.want {
				place, err := p.Enter(fmt.Sprint(i % c.clients))
				if err == nil {
					places = append(places, place)
				} else if !busyNow(err) {
					t.Fatal(err)
				}
			}
			if len(places) != c.want {
				t.Fatalf("%d places, want %d", len(places), c.want)
			}
			places[0].Leave()
			places[0].Leave()
			if _, err := p.Enter("0"); err != nil {
				t.Errorf("who left made no room: %v", err)
			}
			if _, err := p.Enter("0"); !busyNow(err) {
				t.Errorf("leaving twice made room twice: %v", err)
			}
			for _, place := range places[1:] {
				place.Leave()
			}
			p.mu.Lock()
			if p.within != 1 || len(p.places) != 1 {
				t.Errorf("%d are within, %d clients are known", p.within, len(p.places))
			}
			p.mu.Unlock()
		})
	}
}

// ATK58: what is too long is refused before it waits.
func TestATK58_TooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, long := pool(Options{Slots: 1}), strings.Repeat("x", password.MaxBytes+1)
		go p.do(t.Context(), "a", work)
		synctest.Wait()
		began := time.Now()
		if _, err := p.Hash(t.Context(), "b", long); !errors.Is(err, password.ErrTooLong) || time.Since(began) != 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		empty(t, p)
	})
}

// The memory of hashes is given back once after a busy time, and not while a hash runs.
func TestQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pool(Options{Slots: 2})
		check := func(when string, want bool) {
			t.Helper()
			if got := p.Quiet(); got != want {
				t.Errorf("%s: %v", when, got)
			}
		}
		check("never busy", false)
		p.do(t.Context(), "a", work)
		check("just after a hash", false)
		check("a while after it", true)
		check("told already", false)
		p.do(t.Context(), "a", work)
		check("just after another", false)
		go p.do(t.Context(), "a", work)
		synctest.Wait()
		check("while one runs", false)
		time.Sleep(time.Minute)
		check("just after that", false)
		check("a while after that", true)
		check("told again", false)
	})
}

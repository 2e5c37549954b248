// Package hashing bounds how many password hashes run at once. Each takes a fixed piece of memory, so the number of
// slots bounds the memory; who waits is served in turn by client, so that one client's flood delays itself; beyond the
// queue callers are sent away before the machine is exhausted.
package hashing

import (
	"context"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/password"
)

// Options bound the pool. Zero values become the defaults.
type Options struct {
	Params     password.Params
	Slots      int           // hashes at once; default 2
	MaxWaiting int           // callers beside those whose hash runs; default 256
	PerClient  int           // of one client; default 32
	MaxWait    time.Duration // longest wait; default 5 s
}

// Pool runs hashes.
type Pool struct {
	o Options

	mu      sync.Mutex
	places  map[string]int // callers within, of each client
	within  int            // callers within
	running int
	waiting int
	queues  map[string][]*waiter
	turns   []string // clients with a queue, next first
	done    uint64
	used    bool // since Quiet was last asked
	dirty   bool // hashed since Quiet last said so
}

type waiter struct{ granted chan struct{} }

// New makes a pool.
func New(o Options) *Pool {
	if o.Params == (password.Params{}) {
		o.Params = password.Default
	}
	o.Slots, o.MaxWaiting, o.PerClient = or(o.Slots, 2), or(o.MaxWaiting, 256), or(o.PerClient, 32)
	if o.MaxWait == 0 {
		o.MaxWait = 5 * time.Second
	}
	return &Pool{o: o, places: make(map[string]int), queues: make(map[string][]*waiter)}
}

func or(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}

// Params are the costs of new hashes.
func (p *Pool) Params() password.Params { return p.o.Params }

// A Place is a caller's right to hash soon. Whoever has work to do before its hash, such as to count a try, enters
// first: it is sent away before that work or, but for the longest wait, not at all. A place is held meanwhile, so the
// work must be short.
type Place struct {
	p      *Pool
	client string
	left   bool
}

// Enter takes a place, or tells at once that there is none: Unavailable. The caller leaves it.
func (p *Pool) Enter(client string) (*Place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.within >= p.o.Slots+p.o.MaxWaiting || p.places[client] >= p.o.Slots+p.o.PerClient {
		return nil, busy()
	}
	p.within++
	p.places[client]++
	return &Place{p: p, client: client}, nil
}

// Leave gives the place back. It may be called again.
func (l *Place) Leave() {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.left {
		return
	}
	l.left = true
	l.p.within--
	if l.p.places[l.client]--; l.p.places[l.client] == 0 {
		delete(l.p.places, l.client)
	}
}

// Verify compares plain with a PHC string; outdated says that its costs are below the pool's.
func (l *Place) Verify(ctx context.Context, plain, encoded string) (ok, outdated bool, err error) {
	var used password.Params
	if e := l.p.do(ctx, l.client, func() { ok, used, err = password.Verify(plain, encoded) }); e != nil {
		return false, false, e
	}
	return ok, used.Weaker(l.p.o.Params), err
}

// Hash makes a PHC string with the pool's costs.
func (l *Place) Hash(ctx context.Context, plain string) (encoded string, err error) {
	if len(plain) > password.MaxBytes {
		return "", password.ErrTooLong
	}
	if e := l.p.do(ctx, l.client, func() { encoded, err = password.Hash(plain, l.p.o.Params) }); e != nil {
		return "", e
	}
	return encoded, err
}

// Hash is that of a place taken for it alone.
func (p *Pool) Hash(ctx context.Context, client, plain string) (encoded string, err error) {
	l, err := p.Enter(client)
	if err != nil {
		return "", err
	}
	defer l.Leave()
	return l.Hash(ctx, plain)
}

// Verify is that of a place taken for it alone.
func (p *Pool) Verify(ctx context.Context, client, plain, encoded string) (ok, outdated bool, err error) {
	l, err := p.Enter(client)
	if err != nil {
		return false, false, err
	}
	defer l.Leave()
	return l.Verify(ctx, plain, encoded)
}

// Quiet tells, once after a busy time, that no hash ran since it was last asked: the moment to give the memory of
// hashes back.
func (p *Pool) Quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	quiet := p.dirty && !p.used && p.running == 0
	p.dirty, p.used = (p.dirty || p.used) && !quiet, false
	return quiet
}

func (p *Pool) do(ctx context.Context, client string, fn func()) error {
	if err := p.acquire(ctx, client); err != nil {
		return err
	}
	defer p.release()
	fn()
	p.mu.Lock()
	p.done++
	p.used = true
	p.mu.Unlock()
	return nil
}

// Done is how many hashes were computed.
func (p *Pool) Done() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func (p *Pool) acquire(ctx context.Context, client string) error {
	p.mu.Lock()
	if p.running < p.o.Slots && p.waiting == 0 {
		p.running++
		p.mu.Unlock()
		return nil
	}
	queue := p.queues[client]
	w := &waiter{make(chan struct{})}
	if len(queue) == 0 {
		p.turns = append(p.turns, client)
	}
	p.queues[client] = append(queue, w)
	p.waiting++
	p.mu.Unlock()

	timer := time.NewTimer(p.o.MaxWait)
	defer timer.Stop()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = busy()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.granted: // granted while giving up: pass it on
		p.next()
	default:
		p.remove(client, w)
	}
	return err
}

func busy() error {
	return fault.Unavailablef(2*time.Second, "The server is busy checking passwords. Try again shortly.")
}

func (p *Pool) release() {
	p.mu.Lock()
	p.next()
	p.mu.Unlock()
}

// next hands the slot to the next client in turn, or frees it. Called with the lock held.
func (p *Pool) next() {
	if len(p.turns) == 0 {
		p.running--
		return
	}
	client := p.turns[0]
	p.turns = p.turns[1:]
	queue := p.queues[client]
	close(queue[0].granted)
	p.waiting--
	if queue = queue[1:]; len(queue) == 0 {
		delete(p.queues, client)
		return
	}
	p.queues[client] = queue
	p.turns = append(p.turns, client)
}

func (p *Pool) remove(client string, w *waiter) {
	queue := p.queues[client]
	for i := range queue {
		if queue[i] == w {
			queue = append(queue[:i:i], queue[i+1:]...)
			p.waiting--
			break
		}
	}
	if len(queue) > 0 {
		p.queues[client] = queue
		return
	}
	delete(p.queues, client)
	for i := range p.turns {
		if p.turns[i] == client {
			p.turns = append(p.turns[:i:i], p.turns[i+1:]...)
			return
		}
	}
}

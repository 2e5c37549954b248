//go:build faults

package faults

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy is a TCP link that can be broken.
type proxy struct {
	listener net.Listener
	target   atomic.Pointer[string]

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
	stall [2]chan struct{} // closed: traffic flows, to the server and from it
	delay atomic.Int64
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: make(map[net.Conn]bool)}
	for way := range p.stall {
		p.stall[way] = make(chan struct{})
		close(p.stall[way])
	}
	p.target.Store(&target)
	go p.serve()
	t.Cleanup(func() { l.Close(); p.cut() })
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.link(c)
	}
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) link(c net.Conn) {
	if !p.keep(c) {
		return
	}
	s, err := net.DialTimeout("tcp", *p.target.Load(), time.Second)
	if err != nil {
		c.Close()
		return
	}
	if !p.keep(s) {
		c.Close()
		return
	}
	pipe := func(to, from net.Conn, way int) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			p.mu.Lock()
			stall := p.stall[way]
			p.mu.Unlock()
			<-stall
			if d := time.Duration(p.delay.Load()); d > 0 {
				time.Sleep(d)
			}
			if n > 0 {
				if _, e := to.Write(buf[:n]); e != nil {
					err = e
				}
			}
			if err != nil {
				to.Close()
				from.Close()
				p.mu.Lock()
				delete(p.conns, to)
				delete(p.conns, from)
				p.mu.Unlock()
				return
			}
		}
	}
	go pipe(s, c, there)
	pipe(c, s, back)
}

// cut ends every connection and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// heal lets connections through again.
func (p *proxy) heal() {
	p.mu.Lock()
	p.down = false
	for _, stall := range p.stall {
		select {
		case <-stall:
		default:
			close(stall)
		}
	}
	p.mu.Unlock()
	p.delay.Store(0)
}

// The two ways of a link.
const (
	there = iota
	back
)

// hang keeps connections open and lets nothing through: a half-open link. With ways, only those are lost.
func (p *proxy) hang(ways ...int) {
	if len(ways) == 0 {
		ways = []int{there, back}
	}
	p.mu.Lock()
	for _, way := range ways {
		p.stall[way] = make(chan struct{})
	}
	p.mu.Unlock()
}

// slow delays each piece of traffic.
func (p *proxy) slow(d time.Duration) { p.delay.Store(int64(d)) }

// move sends new connections elsewhere and ends the old ones.
func (p *proxy) move(target string) {
	p.target.Store(&target)
	p.cut()
	p.heal()
}

//go:build faults

package faults

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rss gives the memory that a node takes and the most it ever took, in MiB.
func (n *node) rss() (now, peak int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			now = kb / 1024
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			peak = kb / 1024
		}
	}
	return now, peak
}

// FLT12: far more sign-ins at once than the hasher can do, half of them wrong, from many addresses. Memory stays
// bounded, who cannot be served is told so before a hash is computed, and the rest of the API goes on (I8, ATK58).
func TestFLT12_SignInBurst(t *testing.T) {
	l := open(t, "")
	n := l.node("GATEHOUSE_TRUSTED_PROXIES=127.0.0.1").start()
	l.operator(n)
	n.must(200, "PATCH", "/v1/organization", l.admin, map[string]any{"settings": map[string]any{"sessionsPerUser": 0}})
	f := l.signIn(n)
	idle, _ := n.rss()
	burst := scale(600, 10_000)
	// everyone on a connection of their own
	crowd := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: burst}}
	defer crowd.CloseIdleConnections()
	var done, shed, wrong, odd atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	var refreshes []time.Duration
	stop := repeat(1, func(int) {
		r := refreshAt(n, f.token)
		if r.status == 200 {
			f.token = r.text("refreshToken")
			refreshes = append(refreshes, r.took)
		} else {
			odd.Add(1)
		}
		time.Sleep(5 * time.Millisecond)
	})
	start := time.Now()
	var wg sync.WaitGroup
	for i := range burst {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * time.Second / time.Duration(burst)) // all within one second
			body := map[string]any{"email": fmt.Sprintf("nobody-%d@platform.example", i),
				"password": "wrong, and as expensive as right"}
			if i%100 == 0 {
				body["password"] = strings.Repeat("x", 1<<20)
			} else if i%2 == 0 {
				body = map[string]any{"email": "operator@platform.example", "password": operatorPassword}
			}
			req := n.request("POST", "/v1/auth/login", "", body)
			req.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i%250))
			r := sendBy(crowd, req)
			switch r.status {
			case 200:
				done.Add(1)
			case 401:
				wrong.Add(1)
			case 429, 503:
				shed.Add(1)
				if r.header.Get("Retry-After") == "" {
					t.Error("shed without Retry-After")
				}
			case 400, 413:
			default:
				if r.status != 0 || i%100 != 0 {
					// who sends a megabyte and is refused before it is read may see the connection end
					odd.Add(1)
				}
			}
			if r.status == 200 || r.status == 401 {
				mu.Lock()
				times = append(times, r.took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	hashes := float64(done.Load()+wrong.Load()) / took.Seconds()

	// Then twice as many as it can do, for a while.
	burstTimes, burstShed := times, shed.Load()
	times = nil
	var steady atomic.Int64
	measured := repeat(8, func(w int) {
		req := n.request("POST", "/v1/auth/login", "",
			map[string]any{"email": "operator@platform.example", "password": operatorPassword})
		req.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", w))
		if n.send(req).status == 200 {
			steady.Add(1)
		}
	})
	time.Sleep(time.Second)
	measured()
	capacity := float64(steady.Load())
	sustained := time.Duration(scale(3, 60)) * time.Second
	offered, began := int64(0), time.Now()
	for end := time.Now().Add(sustained); time.Now().Before(end); offered++ {
		wg.Go(func() {
			body := map[string]any{"email": "operator@platform.example", "password": operatorPassword}
			if offered%2 == 0 {
				body = map[string]any{"email": fmt.Sprintf("nobody-%d@platform.example", offered),
					"password": "wrong, and as expensive as right"}
			}
			req := n.request("POST", "/v1/auth/login", "", body)
			req.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", offered%250))
			r := sendBy(crowd, req)
			switch {
			case r.status == 200 || r.status == 401:
				mu.Lock()
				times = append(times, r.took)
				mu.Unlock()
			case (r.status == 429 || r.status == 503) && r.header.Get("Retry-After") != "":
				shed.Add(1)
			default:
				odd.Add(1)
			}
		})
		time.Sleep(time.Until(began.Add(time.Duration(float64(offered+1) * float64(time.Second) / (2 * capacity)))))
	}
	wg.Wait()
	stop()
	_, peak := n.rss()
	slices.Sort(burstTimes)
	slices.Sort(times)
	slices.Sort(refreshes)
	if odd.Load() > 0 {
		t.Errorf("%d odd answers", odd.Load())
	}
	if most := scale(400, 800); peak > most { // ten thousand connections are some three hundred of it
		t.Errorf("I8: %d MiB at the peak, want at most %d", peak, most)
	}
	crowd.CloseIdleConnections()
	waitFor(t, "memory to be given back", time.Minute, func() bool {
		now, _ := n.rss()
		return n.descriptors() < 100 && now < 300
	})
	if done.Load() == 0 || shed.Load() == 0 {
		t.Errorf("done %d, shed %d: nothing was tried", done.Load(), shed.Load())
	}
	if len(times) == 0 || !testing.Short() && shed.Load() == burstShed { // a few seconds fit into the queue
		t.Errorf("twice the capacity: %d served, %d shed", len(times), shed.Load()-burstShed)
	}
	l.report("FLT12", "burst=%d rss_idle=%dMiB rss_peak=%dMiB hashes/s=%.0f p50=%s p99=%s shed=%.0f%% then twice "+
		"%.0f/s for %v: served=%d of %d p50=%s p99=%s shed=%d refresh_p99=%s", burst, idle, peak, hashes,
		ms(quantile(burstTimes, 0.5)), ms(quantile(burstTimes, 0.99)), 100*float64(burstShed)/float64(burst), capacity,
		sustained, len(times), offered, ms(quantile(times, 0.5)), ms(quantile(times, 0.99)),
		shed.Load()-burstShed, ms(quantile(refreshes, 0.99)))
}

// FLT13: thousands of connections that send their headers, or their bodies, a byte at a time. Those who speak properly
// notice nothing, and the slow are let go (I8).
func TestFLT13_SlowClients(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	n := l.node().start()
	l.operator(n)
	slow := scale(400, 5000)
	var open, closed atomic.Int64
	var wg sync.WaitGroup
	end := make(chan struct{})
	for i := range slow {
		wg.Go(func() {
			c, err := net.DialTimeout("tcp", "127.0.0.1:"+n.port, 5*time.Second)
			if err != nil {
				return
			}
			defer c.Close()
			open.Add(1)
			text := "GET /v1/auth/me HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("a", 1000)
			if i%2 == 0 {
				text = "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " +
					"60000\r\n\r\n" + strings.Repeat(" ", 1000)
			}
			for _, b := range []byte(text) {
				if _, err := c.Write([]byte{b}); err != nil {
					closed.Add(1)
					return
				}
				select {
				case <-end:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	waitFor(t, "the slow clients", 20*time.Second, func() bool { return open.Load() >= int64(slow)*9/10 })
	h := newHistory()
	stop := repeat(4, func(w int) {
		h.note(w, "me", "", func() reply { return n.call("GET", "/v1/auth/me", l.admin, nil) })
		time.Sleep(time.Millisecond)
	})
	time.Sleep(time.Duration(scale(12, 35)) * time.Second) // the bound of headers is ten seconds
	stop()
	dropped := closed.Load()
	close(end)
	wg.Wait()
	s := h.check(l, "", 0)
	_, peak := n.rss()
	if s.errors+s.unknown > 0 {
		t.Errorf("%d of %d proper calls failed", s.errors+s.unknown, s.calls)
	}
	if dropped < int64(slow)/3 {
		t.Errorf("only %d of %d slow connections were let go", dropped, slow)
	}
	l.report("FLT13", "slow=%d let_go=%d calls=%d success=%.2f%% p99=%s rss_peak=%dMiB", slow, dropped, s.calls,
		100-s.errorShare(), ms(s.p99), peak)
}

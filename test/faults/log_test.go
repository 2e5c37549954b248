//go:build faults

package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// outcome is what a client knows of a call. A call without an answer may have happened: it is unknown, never failed.
type outcome string

const (
	ok      outcome = "ok"
	denied  outcome = "denied"
	failed  outcome = "error" // 5xx: said not to have happened, or to try again
	unknown outcome = "unknown"
)

func (r reply) outcome() outcome {
	switch {
	case r.status == 0:
		return unknown
	case r.status < 300:
		return ok
	case r.status >= 500:
		return failed
	}
	return denied
}

// entry is one call in the log.
type entry struct {
	Client  int           `json:"client"`
	Op      string        `json:"op"`
	Subject string        `json:"subject"` // what must be used once, or may be revoked
	Start   time.Duration `json:"start"`
	End     time.Duration `json:"end"`
	Outcome outcome       `json:"outcome"`
	Status  int           `json:"status"`
}

// history is everything that the clients of a scenario did.
type history struct {
	mu      sync.Mutex
	began   time.Time
	entries []entry
	revoked map[string]time.Duration // since when, as acknowledged
}

func newHistory() *history {
	return &history{began: time.Now(), revoked: make(map[string]time.Duration)}
}

// note runs a call and writes it down.
func (h *history) note(client int, op, subject string, call func() reply) reply {
	start := time.Since(h.began)
	r := call()
	h.mu.Lock()
	h.entries = append(h.entries, entry{client, op, subject, start, time.Since(h.began), r.outcome(), r.status})
	h.mu.Unlock()
	return r
}

// revoke writes down that a revocation was acknowledged.
func (h *history) revoke(subject string) {
	h.mu.Lock()
	h.revoked[subject] = time.Since(h.began)
	h.mu.Unlock()
}

// summary is what a scenario prints.
type summary struct {
	calls, errors, unknown int
	doubleAccepts          int // I1
	revokedUsed            int // I3
	p50, p99               time.Duration
	worst                  time.Duration // the longest time without a success
}

func (s summary) errorShare() float64 {
	if s.calls == 0 {
		return 0
	}
	return 100 * float64(s.errors+s.unknown) / float64(s.calls)
}

// check looks through the log: nothing that may be used once was accepted twice (I1), and nothing that was revoked was
// accepted in a call that began more than slack after the acknowledgement (I3).
func (h *history) check(l *lab, once string, slack time.Duration) summary {
	l.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var s summary
	accepted := make(map[string]int)
	var times []time.Duration
	var successes []time.Duration
	for _, e := range h.entries {
		s.calls++
		switch e.Outcome {
		case failed:
			s.errors++
		case unknown:
			s.unknown++
		case ok:
			successes = append(successes, e.End)
			if e.Op == once {
				accepted[e.Subject]++
			}
			if at, is := h.revoked[e.Subject]; is && e.Start > at+slack {
				s.revokedUsed++
				l.Errorf("I3: %s of %s was accepted %v after its revocation was acknowledged", e.Op, e.Subject,
					e.Start-at)
			}
		}
		times = append(times, e.End-e.Start)
	}
	for subject, n := range accepted {
		if n > 1 {
			s.doubleAccepts++
			l.Errorf("I1: %s was accepted %d times", subject, n)
		}
	}
	slices.Sort(times)
	slices.Sort(successes)
	s.p50, s.p99 = quantile(times, 0.5), quantile(times, 0.99)
	for i := 1; i < len(successes); i++ {
		s.worst = max(s.worst, successes[i]-successes[i-1])
	}
	if l.Failed() {
		h.keep(l)
	}
	return s
}

// keep writes the log where it can be looked at.
func (h *history) keep(l *lab) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("faults-%d.jsonl", time.Now().UnixNano()))
	f, err := os.Create(path)
	if err != nil {
		return
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	for _, e := range h.entries {
		enc.Encode(e)
	}
	l.Logf("the log of calls is at %s", path)
}

func quantile[T cmp.Ordered](sorted []T, q float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1fms", float64(d.Microseconds())/1000) }

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// worker is one closed-loop client: it sends the next request when it has the answer to the last.
type worker struct {
	number int
	turn   int
	client *http.Client
	state  map[string]string // what it carries from one request to the next
}

// form is the type of the bodies of OAuth.
const form = "application/x-www-form-urlencoded"

// send makes a request and wants 200. A credential is a bearer token unless it names its header ("X-API-Key: …").
func (w *worker) send(ctx context.Context, method, url, credential string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch name, value, named := strings.Cut(credential, ": "); {
	case named:
		req.Header.Set(name, value)
	case credential != "":
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	if strings.Contains(url, "/oauth2/") {
		req.Header.Set("Content-Type", form)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %.200s", method, url, res.StatusCode, raw)
	}
	return raw, err
}

type sample struct {
	rate     float64
	p50, p99 time.Duration
	cpu      float64 // µs of the process a request
}

// load runs fn in a closed loop and measures it, and the CPU of the process that serves it.
func load(fn func(ctx context.Context, w *worker) error, pid int) (sample, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: *clients}
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	before := cpuOf(pid)
	begin := time.Now()
	end := begin.Add(*duration)
	var wg sync.WaitGroup
	for n := range *clients {
		wg.Go(func() {
			w := &worker{number: n, client: &http.Client{Transport: transport}, state: map[string]string{}}
			var own []time.Duration
			for time.Now().Before(end) {
				start := time.Now()
				if err := fn(context.Background(), w); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if failed != nil {
		return sample{}, failed
	}
	if len(times) == 0 {
		return sample{}, fmt.Errorf("no request was answered")
	}
	slices.Sort(times)
	return sample{rate: float64(len(times)) / took.Seconds(), p50: times[len(times)/2].Round(time.Microsecond),
		p99: times[len(times)*99/100].Round(time.Microsecond),
		cpu: float64((cpuOf(pid) - before).Microseconds()) / float64(len(times))}, nil
}

func median(list []sample) sample {
	slices.SortFunc(list, func(a, b sample) int { return int(a.rate - b.rate) })
	return list[len(list)/2]
}

// cpuOf reads user and system time of a process, in the kernel's ticks of 10 ms.
func cpuOf(pid int) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

func residentMB(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb / 1024
		}
	}
	return 0
}

func httpClient() *http.Client { return &http.Client{Timeout: 10 * time.Second} }

package main

import (
	"bytes"
	"fmt"
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
	conn   *conn
}

// start makes ready what a worker sends, and gives what sends one request and reads its answer: that is measured.
type start func(w *worker) (func() error, error)

// connect opens the connection that the worker keeps.
func (w *worker) connect(host string) (err error) {
	w.conn, err = dial(host)
	return err
}

func (w *worker) close() {
	if w.conn != nil {
		w.conn.tcp.Close()
	}
}

// inTurn sends requests to one host in turn. Workers begin at different ones.
func inTurn(requests ...request) start {
	return func(w *worker) (func() error, error) {
		turn := w.number * len(requests) / *clients
		return func() error {
			turn++
			_, err := w.conn.exchange(requests[turn%len(requests)])
			return err
		}, w.connect(requests[0].host)
	}
}

type sample struct {
	rate     float64
	p50, p99 time.Duration
	cpu      float64 // µs of the process a request
}

// load measures a closed loop, and the CPU of the process that serves it.
func load(begin start, pid int) (sample, error) {
	loops := make([]func() error, *clients)
	for n := range loops {
		w := &worker{number: n}
		defer w.close()
		var err error
		if loops[n], err = begin(w); err != nil {
			return sample{}, err
		}
	}
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	before := cpuOf(pid)
	began := time.Now()
	end := began.Add(*duration)
	var wg sync.WaitGroup
	for _, exchange := range loops {
		wg.Go(func() {
			var own []time.Duration
			for time.Now().Before(end) {
				sent := time.Now()
				if err := exchange(); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				own = append(own, time.Since(sent))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(began)
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

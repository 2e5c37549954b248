// Command bench measures the hot paths beside their limits: the server as a process of its own against the least work
// that could give the same answer, alternating in one run, median of five rounds. It prints requests per second, p50,
// p99, the server's CPU per request and the ratio to the limit, on SQLite and, where GATEHOUSE_TEST_POSTGRES names a
// server, on PostgreSQL.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	rounds   = flag.Int("rounds", 5, "rounds; the median counts")
	duration = flag.Duration("duration", 2*time.Second, "length of one measurement")
	clients  = flag.Int("clients", 8, "closed-loop clients")
	growth   = flag.Bool("growth", false, "measure how the paths grow with tenants, credentials and sessions instead")
	small    = flag.Int("small", 1000, "growth: credentials and sessions of the small database")
	large    = flag.Int("large", 1_000_000, "growth: credentials and sessions of the large one")
	nodes    = flag.Bool("nodes", false, "measure PostgreSQL with Redis, one node and two, instead")
	rotate   = flag.Int("rotations", 0,
		"rotate refresh families so many times and show what became of the table, instead")
	only    = flag.String("only", "", "run only the case of this name")
	role    = flag.String("role", "", "internal: what a child process is")
	address = flag.String("database", "", "internal: the database of a child process")
)

func main() {
	flag.Parse()
	if *role != "" {
		if err := child(*role, *address); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	databases := []struct{ name, address string }{{"sqlite", "sqlite:" + filepath.Join(dir, "bench.db")}}
	if pg, drop, err := postgresDatabase(); err != nil {
		return err
	} else if pg != "" {
		defer drop()
		databases = append(databases, struct{ name, address string }{"postgres", pg})
	}
	if *nodes {
		return measureNodes(databases[len(databases)-1].address)
	}
	if *rotate > 0 {
		for _, d := range databases {
			if err := measureRotations(d.name, d.address, *rotate); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
		return nil
	}
	if *growth {
		for _, d := range databases {
			if err := measureGrowth(d.name, d.address); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
		return nil
	}
	fmt.Printf("%d rounds of %v, %d clients, alternating; ratio = subject / limit in requests per second\n\n", *rounds,
		*duration, *clients)
	for _, d := range databases {
		if err := benchEngine(d.name, d.address); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return startUp("sqlite:" + filepath.Join(dir, "start.db"))
}

// process is a child with its address and what it seeded.
type process struct {
	cmd  *exec.Cmd
	URL  string            `json:"url"`
	Data map[string]string `json:"data"`
}

func spawn(role, database string, env ...string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe, "-role", role, "-database", database)}
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(p); err != nil {
		p.stop()
		return nil, fmt.Errorf("child %s: %w", role, err)
	}
	return p, nil
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

type benchCase struct {
	name, what string
	aim        float64
	subject    func(ctx context.Context, w *worker) error
	limit      func(ctx context.Context, w *worker) error
}

func benchEngine(name, database string) error {
	server, err := spawn("server", database)
	if err != nil {
		return err
	}
	defer server.stop()
	w := &worker{client: httpClient(), state: map[string]string{}}
	token, err := withToken(context.Background(), w, server)
	if err != nil {
		return err
	}
	answer, err := w.send(context.Background(), "GET", server.URL+"/v1/auth/me", token, nil)
	if err != nil {
		return err
	}
	headers, err := verifyHeaders(w.client, server)
	if err != nil {
		return err
	}
	limit, err := spawn("limit", database, sameAnswer+"="+string(answer), sameHeaders+"="+headers)
	if err != nil {
		return err
	}
	defer limit.stop()
	time.Sleep(500 * time.Millisecond) // keys are prepared in the background
	fmt.Printf("%s: idle memory of the server %d MB\n", name, residentMB(server.cmd.Process.Pid))
	for _, c := range cases(server, limit) {
		if *only != "" && *only != c.name {
			continue
		}
		if err := measureCase(c, server, limit); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	fmt.Printf("%s: memory of the server after all of it %d MB\n\n", name, residentMB(server.cmd.Process.Pid))
	return nil
}

// verifyHeaders asks once and gives the headers of the answer as JSON: the bare handler shall give the same.
func verifyHeaders(c *http.Client, server *process) (string, error) {
	req, err := http.NewRequest(http.MethodGet, server.URL+"/verify?permission=tickets:read", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-API-Key", strings.Fields(server.Data["keys"])[0])
	res, err := c.Do(req)
	if err != nil {
		return "", err
	}
	res.Body.Close()
	res.Header.Del("Date")
	res.Header.Del("Content-Length")
	raw, err := json.Marshal(res.Header)
	return string(raw), err
}

func measureCase(c benchCase, server, limit *process) error {
	var subject, bound []sample
	for range *rounds {
		s, err := load(c.subject, server.cmd.Process.Pid)
		if err != nil {
			return err
		}
		l, err := load(c.limit, limit.cmd.Process.Pid)
		if err != nil {
			return err
		}
		subject, bound = append(subject, s), append(bound, l)
	}
	s, l := median(subject), median(bound)
	fmt.Printf("  %-8s %s\n", c.name, c.what)
	fmt.Printf("    subject %9.0f/s  p50 %8v  p99 %8v  %7.0f µs CPU\n", s.rate, s.p50, s.p99, s.cpu)
	fmt.Printf("    limit   %9.0f/s  p50 %8v  p99 %8v  %7.0f µs CPU\n", l.rate, l.p50, l.p99, l.cpu)
	fmt.Printf("    ratio %.2f (aim %.2f), CPU ratio %.2f\n", s.rate/l.rate, c.aim, l.cpu/s.cpu)
	return nil
}

// Command bench measures the hot paths beside their limits: the server as a process of its own against the least work
// that could give the same answer, alternating in one run, median of five rounds. It prints requests per second, p50,
// p99, the server's CPU per request and the ratio to the limit, on SQLite and, where GATEHOUSE_TEST_POSTGRES names a
// server, on PostgreSQL. With -growth it compares small databases with large ones instead.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	rounds   = flag.Int("rounds", 5, "rounds; the median counts")
	duration = flag.Duration("duration", 2*time.Second, "length of one measurement")
	clients  = flag.Int("clients", 16, "closed-loop clients, each with a connection of its own")
	growth   = flag.Bool("growth", false,
		"measure how paths grow with tenants, credentials and sessions, and lists with their tables, instead")
	small = flag.Int("small", 1000, "growth: rows of each table of the small database")
	large = flag.Int("large", 1_000_000, "growth: rows of each table of the large one")
	smoke = flag.Bool("smoke", false,
		"see in a minute that everything runs: one short round, and 20000 rows in the large database")
	nodes  = flag.Bool("nodes", false, "measure PostgreSQL with Redis, one node and two, instead")
	rotate = flag.Int("rotations", 0,
		"rotate refresh families so many times and show what became of the table, instead")
	only    = flag.String("only", "", "run only the case of this name; growth: credentials or lists")
	role    = flag.String("role", "", "internal: what a child process is")
	address = flag.String("database", "", "internal: the database of a child process")
)

func main() {
	flag.Parse()
	if *smoke {
		*rounds, *duration, *large = 1, 100*time.Millisecond, 20_000
	}
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
			for _, part := range growthParts {
				if *only != "" && *only != part.name {
					continue
				}
				if err := part.measure(d.name, d.address); err != nil {
					return fmt.Errorf("%s: %s: %w", d.name, part.name, err)
				}
			}
		}
		return nil
	}
	fmt.Printf("%d rounds of %v, alternating; %d clients, each a bare keep-alive connection that writes prepared "+
		"requests;\nratio = subject / limit in requests per second\n\n", *rounds, *duration, *clients)
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
	subject    start
	limit      start
}

func benchEngine(name, database string) error {
	company, err := startProvider()
	if err != nil {
		return err
	}
	server, err := spawn("server", database, benchIssuer+"="+company.URL,
		benchMetadata+"="+company.saml.MetadataXML("signing", company.pair))
	if err != nil {
		return err
	}
	defer server.stop()
	answers, err := answersOf(server)
	if err != nil {
		return err
	}
	limit, err := spawn("limit", database, sameAnswers+"="+answers)
	if err != nil {
		return err
	}
	defer limit.stop()
	time.Sleep(500 * time.Millisecond) // keys are prepared in the background
	fmt.Printf("%s: idle memory of the server %d MB\n", name, residentMB(server.cmd.Process.Pid))
	for _, c := range append(cases(server, limit), companyCases(company, server, limit)...) {
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

// answersOf asks once for what the bare handlers shall answer: the same headers and the same body.
func answersOf(server *process) (string, error) {
	token, _, err := signIn(server.URL, server.Data["email"], server.Data["password"])
	if err != nil {
		return "", err
	}
	value := strings.Fields(server.Data["keys"])[0]
	key, client := "X-API-Key: "+value, "Authorization: "+server.Data["basic"]
	all := make(map[string]answer)
	for _, of := range []struct {
		pattern, method, path, credential string
		body                              []byte
	}{
		{"GET /me", "GET", "/v1/auth/me", token, nil},
		{"GET /me-of-key", "GET", "/v1/auth/me", key, nil},
		{"GET /verify", "GET", "/verify?permission=tickets:read", key, nil},
		{"POST /oauth2/introspect", "POST", "/oauth2/introspect", client, []byte("token=" + value)},
	} {
		a, err := ask(of.method, server.URL+of.path, of.credential, of.body)
		if err != nil {
			return "", err
		}
		a.Header.Del("Date") // net/http writes these two
		a.Header.Del("Content-Length")
		all[of.pattern] = a
	}
	raw, err := json.Marshal(all)
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

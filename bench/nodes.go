package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// The variables that tell a child which installation it is a node of.
const (
	benchKey     = "GATEHOUSE_BENCH_KEY"
	benchRedis   = "GATEHOUSE_BENCH_REDIS"
	benchPublic  = "GATEHOUSE_BENCH_PUBLIC"
	publicOfBoth = "http://127.0.0.1:1"
)

// measureNodes measures PostgreSQL with Redis: one node without Redis, one with it, and two with it that take turns.
// Two nodes share the processors that one has alone here, so the ratio tells what a second node costs, not what it
// brings.
func measureNodes(address string) error {
	redis := os.Getenv("GATEHOUSE_TEST_REDIS")
	if redis == "" || !sqldb.IsPostgres(address) {
		return errors.New("-nodes needs PostgreSQL and Redis: scripts/with-servers")
	}
	key := benchKey + "=" + keyring.Generate().Reveal()
	fmt.Printf("PostgreSQL and Redis: %d rounds of %v, %d bare connections, alternating; ratio to one node without "+
		"Redis\n\n", *rounds, *duration, *clients)
	first, err := spawn("server", address, key, benchPublic+"="+publicOfBoth)
	if err != nil {
		return err
	}
	defer first.stop()
	var with [2]*process
	for i := range with {
		if with[i], err = spawn("node", address, key, benchPublic+"="+publicOfBoth, benchRedis+"="+redis); err != nil {
			return err
		}
		defer with[i].stop()
		with[i].Data = first.Data
	}
	time.Sleep(time.Second) // keys are prepared, Redis is connected
	for i, c := range cases(first, first) {
		if *only != "" && *only != c.name || c.name == "introspect" || c.name == "reusable" || c.name == "basic" ||
			c.name == "token-door" {
			continue
		}
		one := cases(with[0], with[0])[i]
		other := cases(with[1], with[1])[i]
		both := func(w *worker) (func() error, error) {
			if w.number%2 == 0 {
				return one.subject(w)
			}
			return other.subject(w)
		}
		var samples [3][]sample
		for range *rounds {
			for k, fn := range []start{c.subject, one.subject, both} {
				s, err := load(fn, []int{first.cmd.Process.Pid, with[0].cmd.Process.Pid, with[0].cmd.Process.Pid}[k])
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				samples[k] = append(samples[k], s)
			}
		}
		plain := median(samples[0])
		fmt.Printf("  %s\n", c.name)
		for k, name := range []string{"one node, PostgreSQL alone", "one node with Redis", "two nodes with Redis"} {
			s := median(samples[k])
			fmt.Printf("    %-27s %9.0f/s  p50 %8v  p99 %8v  ratio %.2f\n", name, s.rate, s.p50, s.p99,
				s.rate/plain.rate)
		}
	}
	return nil
}

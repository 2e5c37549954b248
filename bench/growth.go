package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// used is how many credentials and sessions the measurement itself uses: each once on a server that has just started,
// so that every request reads its rows, and then again and again.
const used = 1000

// growthKey names the variable with the encryption key that the filled database was made under.
const growthKey = "GATEHOUSE_BENCH_KEY"

// growthRows and growthTenants name the variables with how much is to be filled in.
const (
	growthRows    = "GATEHOUSE_BENCH_ROWS"
	growthTenants = "GATEHOUSE_BENCH_TENANTS"
)

// growthParts are what -growth measures.
var growthParts = []struct {
	name    string
	measure func(name, address string) error
}{{"credentials", measureGrowth}, {"lists", measureLists}}

// grown is what a filled database hands to the one who measures.
type grown struct {
	Keys     []string `json:"keys"`
	Sessions []string `json:"sessions"`
	Basic    string   `json:"basic"`
}

// measureGrowth compares the median latency on a small and on a large database.
func measureGrowth(name, address string) error {
	sizes := []struct{ tenants, rows int }{{10, *small}, {10_000, *large}} // of the small one every row is used
	results := make([]map[string]time.Duration, len(sizes))
	for i, size := range sizes {
		database, drop, err := emptyDatabase(address, fmt.Sprint("_", i))
		if err != nil {
			return err
		}
		defer drop()
		key := keyring.Generate().Reveal()
		begin := time.Now()
		fill, err := spawn("fill", database, growthKey+"="+key, fmt.Sprint(growthTenants, "=", size.tenants),
			fmt.Sprint(growthRows, "=", size.rows))
		if err != nil {
			return err
		}
		var g grown
		if err := json.Unmarshal([]byte(fill.Data["grown"]), &g); err != nil {
			return err
		}
		fill.cmd.Wait()
		fmt.Printf("%s: %d tenants, %d credentials, %d sessions, filled in %v\n", name, size.tenants, size.rows,
			size.rows, time.Since(begin).Round(time.Second))
		if results[i], err = measureGrown(database, key, g); err != nil {
			return err
		}
	}
	for _, path := range growthPaths {
		a, b := results[0][path], results[1][path]
		fmt.Printf("  %-26s p50 %8v → %8v  ratio %.2f (aim at most %.2f)\n", path, a, b,
			float64(b)/float64(a), growthAim)
	}
	fmt.Println()
	return nil
}

var growthPaths = []string{"API key, first use", "API key, again", "session, first use", "session, again",
	"client credentials"}

func measureGrown(database, key string, g grown) (map[string]time.Duration, error) {
	out := make(map[string]time.Duration)
	var cold [2][]time.Duration
	for range *rounds { // each round on a server that knows nothing yet
		s, err := spawn("grown", database, growthKey+"="+key)
		if err != nil {
			return nil, err
		}
		time.Sleep(300 * time.Millisecond)
		for kind, list := range [][]request{asksMe(s, "X-API-Key: ", g.Keys), asksMe(s, "", g.Sessions)} {
			times, err := once(list[:used/4])
			if err != nil {
				s.stop()
				return nil, err
			}
			cold[kind] = append(cold[kind], times...)
		}
		s.stop()
	}
	out["API key, first use"], out["session, first use"] = middle(cold[0]), middle(cold[1])

	s, err := spawn("grown", database, growthKey+"="+key)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	time.Sleep(300 * time.Millisecond)
	for path, fn := range map[string]start{
		"API key, again": inTurn(asksMe(s, "X-API-Key: ", g.Keys)...),
		"session, again": inTurn(asksMe(s, "", g.Sessions)...),
		"client credentials": inTurn(prepare("POST", s.URL+"/oauth2/token", "Authorization: "+g.Basic,
			[]byte("grant_type=client_credentials"))),
	} {
		var times []time.Duration
		for range *rounds {
			got, err := load(fn, s.cmd.Process.Pid)
			if err != nil {
				return nil, err
			}
			times = append(times, got.p50)
		}
		out[path] = middle(times)
	}
	return out, nil
}

// asksMe asks with each credential who it is of.
func asksMe(s *process, header string, credentials []string) []request {
	list := make([]request, len(credentials))
	for i, c := range credentials {
		list[i] = prepare("GET", s.URL+"/v1/auth/me", header+c, nil)
	}
	return list
}

// once sends each request once, one after the other, and tells how long each took.
func once(list []request) ([]time.Duration, error) {
	c, err := dial(list[0].host)
	if err != nil {
		return nil, err
	}
	defer c.tcp.Close()
	times := make([]time.Duration, len(list))
	for i, r := range list {
		begin := time.Now()
		if _, err := c.exchange(r); err != nil {
			return nil, err
		}
		times[i] = time.Since(begin)
	}
	return times, nil
}

func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2].Round(time.Microsecond)
}

// emptyDatabase gives the address of a database of its own, beside the one of an address.
func emptyDatabase(address, suffix string) (database string, drop func(), err error) {
	if !sqldb.IsPostgres(address) {
		dir := filepath.Join(filepath.Dir(sqldb.FilePath(address)), suffix)
		return "sqlite:" + filepath.Join(dir, "growth.db"), func() { os.RemoveAll(dir) }, os.Mkdir(dir, 0o700)
	}
	ctx := context.Background()
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, err
	}
	name := strings.TrimPrefix(u.Path, "/") + suffix
	admin := os.Getenv("GATEHOUSE_TEST_POSTGRES")
	exec := func(statement string) error {
		conn, err := pgx.Connect(ctx, admin)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		return err
	}
	u.Path = "/" + name
	return u.String(), func() { exec("DROP DATABASE " + name + " WITH (FORCE)") }, exec("CREATE DATABASE " + name)
}

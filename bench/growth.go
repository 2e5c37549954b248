package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// used is how many credentials and sessions the measurement itself uses: each once on a server that has just started,
// so that every request reads its rows, and then again and again.
const used = 1000

// growthKey names the variable with the encryption key that the filled database was made under.
const growthKey = "GATEHOUSE_BENCH_KEY"

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
		database := address
		if sqldb.IsPostgres(address) {
			drop, err := anotherDatabase(&database, fmt.Sprint("_", i))
			if err != nil {
				return err
			}
			defer drop()
		} else {
			database = filepath.Join(filepath.Dir(address), fmt.Sprintf("growth_%d.db", i))
		}
		key := keyring.Generate().Reveal()
		os.Setenv("GATEHOUSE_BENCH_TENANTS", fmt.Sprint(size.tenants))
		os.Setenv("GATEHOUSE_BENCH_ROWS", fmt.Sprint(size.rows))
		begin := time.Now()
		fill, err := spawn("fill", database, growthKey+"="+key)
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
		fmt.Printf("  %-26s p50 %8v → %8v  ratio %.2f (aim at most 1.20)\n", path, a, b, float64(b)/float64(a))
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

// anotherDatabase makes a database beside the one of an address and changes the address to it.
func anotherDatabase(address *string, suffix string) (drop func(), err error) {
	ctx := context.Background()
	u, err := url.Parse(*address)
	if err != nil {
		return nil, err
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
	*address = u.String()
	return func() { exec("DROP DATABASE " + name + " WITH (FORCE)") }, exec("CREATE DATABASE " + name)
}

// growthChild fills a database, or serves one that is filled.
func growthChild(role, url, database string, l net.Listener) error {
	ctx := context.Background()
	cfg := config.Default()
	cfg.DefaultMFA = "optional"                                            // its people sign in with a password alone
	cfg.PublicURL, cfg.Database = "http://127.0.0.1", secret.New(database) // one issuer, whatever the port
	cfg.EncryptionKeys = []secret.Secret{secret.New(os.Getenv(growthKey))}
	debug.SetGCPercent(200)
	s, err := server.New(ctx, cfg,
		server.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	s.Start()
	if role == "grown" {
		return s.ServeOn(ctx, l, func() { ready(url, nil) })
	}
	var tenants, rows int
	fmt.Sscan(os.Getenv("GATEHOUSE_BENCH_TENANTS"), &tenants)
	fmt.Sscan(os.Getenv("GATEHOUSE_BENCH_ROWS"), &rows)
	g, err := fill(ctx, s, tenants, rows)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(g)
	if err != nil {
		return err
	}
	ready(url, map[string]string{"grown": string(raw)})
	return s.Close(ctx)
}

// fill makes tenants, spreads over them the credentials and sessions that will be used, and fills up with rows that
// will not.
func fill(ctx context.Context, s *server.Server, tenants, rows int) (grown, error) {
	var g grown
	type tenant struct {
		org  organization.Organization
		user user.User
	}
	var list []tenant
	if _, err := s.EnsurePlatform(ctx); err != nil {
		return g, err
	}
	most := 100_000
	for i := range min(tenants, 100) { // those that are used, made as they are always made
		org, err := s.Organizations.Create(ctx, principal.NewSystem("bench", ""),
			organization.NewOrganization{Slug: fmt.Sprintf("tenant-%d", i), Name: "Tenant"})
		if err != nil {
			return g, err
		}
		u, err := s.Users.Create(ctx, principal.NewSystem("bench", org.ID),
			user.NewUser{Email: "manager@tenant.example", Role: permission.RoleManager})
		if err != nil {
			return g, err
		}
		list = append(list, tenant{org, u.User})
	}
	key, err := s.Tokens.SigningKey()
	if err != nil {
		return g, err
	}
	role, _ := permission.BuiltinRole(permission.RoleManager)
	for i := range used {
		t := list[i%len(list)]
		p := principal.NewSystem("bench", t.org.ID)
		k, err := s.Credentials.Issue(ctx, p, credential.Request{Kind: credential.APIKey, Name: "bench",
			Permissions: []string{"tickets:read:all"}, RateLimit: &most,
			Owner: &credential.Owner{Kind: credential.OwnedByUser, ID: string(t.user.ID)}})
		if err != nil {
			return g, err
		}
		g.Keys = append(g.Keys, k.Value.Reveal())
		var grant token.Grant
		err = s.DB.Tx(ctx, t.org.ID, func(tx *sqldb.Tx) error {
			f, err := s.Sessions.Start(ctx, tx, t.org, t.user, session.Begin{}, p)
			if err != nil {
				return err
			}
			grant, err = s.Tokens.Start(ctx, tx, key, t.org, t.user, role.Permissions, f)
			return err
		})
		if err != nil {
			return g, err
		}
		pair, err := s.Tokens.Sign(grant)
		if err != nil {
			return g, err
		}
		g.Sessions = append(g.Sessions, pair.Access)
	}
	made, value, err := s.Credentials.CreateClient(ctx, principal.NewSystem("bench", list[0].org.ID),
		client.Fields{Client: client.Client{Name: "bench",
			Authentication: client.Authentication{Method: client.Secret}},
			PermissionList: []string{"tickets:read:all"}})
	if err != nil {
		return g, err
	}
	g.Basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(string(made.ID)+":"+value.Reveal()))
	return g, fillUp(ctx, s, tenants-len(list), tenants, max(0, rows-used))
}

// fillUp writes rows of other tenants in bulk.
func fillUp(ctx context.Context, s *server.Server, tenants, all, rows int) error {
	series := `WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < %d)`
	random := `lower(hex(randomblob(32)))`
	if s.DB.Engine() == sqldb.Postgres {
		series, random = `WITH g AS (SELECT generate_series(1, %d) AS n)`, `md5(random()::text) || md5(random()::text)`
	}
	number := func(prefix, expression string) string {
		return `'` + prefix + `' || substr('00000000000000000000000000' || (` + expression + `), -26)`
	}
	if s.DB.Engine() == sqldb.Postgres {
		number = func(prefix, expression string) string {
			return `'` + prefix + `' || lpad((` + expression + `)::text, 26, '0')`
		}
	}
	org, person := number(id.Organization("").Prefix(), fmt.Sprintf("n %% %d", max(1, tenants))),
		number(id.User("").Prefix(), fmt.Sprintf("n %% %d", max(1, tenants)))
	statements := []string{}
	if tenants > 0 {
		statements = append(statements,
			fmt.Sprintf(series,
				tenants)+` INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) SELECT `+
				org+`, 'filler-' || n, 'Filler', 'active', '{}', 1, 1 FROM g`,
			fmt.Sprintf(series,
				tenants)+
				` INSERT INTO users (organization_id, id, email, email_key, username, username_key, name, kind, role, state, password_hash, password_changed_at, created_at, updated_at)
				SELECT `+org+`, `+person+
				`, 'a@b.example', 'a@b.example', 'a@b.example', 'a@b.example', '', 'person', 'end_user', 'active', '', 1, 1, 1 FROM g`)
	} else if rows > 0 {
		return fmt.Errorf("%d rows need tenants to be of; %d of %d are left", rows, tenants, all)
	}
	if rows > 0 {
		statements = append(statements,
			fmt.Sprintf(series,
				rows)+
				` INSERT INTO credentials (organization_id, id, kind, digest, name, purpose, owner_kind, owner_id, permissions, resources, state, rate_limit, allowed_addresses, created_by, created_at, updated_at, expires_at)
				SELECT `+org+`, `+number("key_", "n")+`, 'api_key', `+random+`, 'filler', 'filler', 'user', `+person+
				`, '[]', '[]', 'active', 600, '[]', 'x', 1, 1, 0 FROM g`,
			fmt.Sprintf(series,
				rows)+
				` INSERT INTO sessions (organization_id, id, user_id, state, sliding, auth_time, created_at, last_used_at, expires_at, absolute_expires_at, device, fingerprint, address)
				SELECT `+org+`, `+number("ses_", "n")+`, `+person+
				`, 'active', TRUE, 1, 1, 1, 9000000000000, 0, 'filler', '', '' FROM g`)
	}
	for _, statement := range statements {
		err := s.DB.PlatformTx(ctx, "fill a database for measuring", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, statement)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

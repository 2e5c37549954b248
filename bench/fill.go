package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"

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
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
)

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
	rows, err := strconv.Atoi(os.Getenv(growthRows))
	if err != nil {
		return err
	}
	fillIn := fillCredentials
	if role == "fill-lists" {
		fillIn = fillLists
	}
	data, err := fillIn(ctx, s, database, rows)
	if err != nil {
		return err
	}
	ready(url, data)
	return nil
}

// fillCredentials makes what is used, stops the server and fills up.
func fillCredentials(ctx context.Context, s *server.Server, database string, rows int) (map[string]string, error) {
	tenants, err := strconv.Atoi(os.Getenv(growthTenants))
	if err != nil {
		return nil, err
	}
	g, err := fill(ctx, s, min(tenants, usedTenants))
	if err != nil {
		return nil, err
	}
	if err := s.Close(ctx); err != nil {
		return nil, err
	}
	if err := fillUp(ctx, database, max(0, tenants-usedTenants), max(0, rows-used)); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(g)
	return map[string]string{"grown": string(raw)}, err
}

// usedTenants is how many tenants the measurement itself uses at most.
const usedTenants = 100

// fill makes the tenants, credentials and sessions that will be used.
func fill(ctx context.Context, s *server.Server, tenants int) (grown, error) {
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
	for i := range tenants {
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
	return g, nil
}

// fillUp writes rows of other tenants, which will not be used.
func fillUp(ctx context.Context, database string, tenants, rows int) error {
	if rows > 0 && tenants == 0 {
		return fmt.Errorf("%d rows need tenants to be of", rows)
	}
	orgs, people := make([]string, tenants), make([]string, tenants)
	for i := range tenants {
		orgs[i], people[i] = string(id.New[id.Organization]()), string(id.New[id.User]())
	}
	named := func(kind, term string, n int, of func(i int) (org, subject string)) bulk {
		return bulk{"search_terms", termColumns, n, func(i int) []any {
			org, subject := of(i)
			return []any{org, kind, term, subject}
		}}
	}
	keys := make([]string, rows)
	for i := range keys {
		keys[i] = string(id.New[id.APIKey]())
	}
	return seed(ctx, database,
		bulk{"organizations", []string{"id", "slug", "name", "state", "settings", "created_at", "updated_at"}, tenants,
			func(i int) []any {
				return []any{orgs[i], fmt.Sprint("filler-", i), "Filler", "active", "{}", int64(1), int64(1)}
			}},
		bulk{"users", userColumns, tenants, func(i int) []any {
			return []any{orgs[i], people[i], "a@b.example", "a@b.example", "a@b.example", "a@b.example", "", "person",
				permission.RoleEndUser, "active", "", int64(1), int64(1), int64(1)}
		}},
		bulk{"credentials", []string{"organization_id", "id", "kind", "digest", "name", "purpose", "owner_kind",
			"owner_id", "permissions", "resources", "state", "rate_limit", "allowed_addresses", "created_by",
			"created_at", "updated_at", "expires_at"}, rows,
			func(i int) []any {
				digest := sha256.Sum256([]byte(strconv.Itoa(i)))
				return []any{orgs[i%tenants], keys[i], "api_key", hex.EncodeToString(digest[:]),
					"filler", "filler", "user", people[i%tenants], "[]", "[]", "active", int64(600), "[]", "x",
					int64(1), int64(1), int64(0)}
			}},
		named("organization", "filler", tenants, func(i int) (string, string) { return orgs[i], orgs[i] }),
		named("user", "a b example", tenants, func(i int) (string, string) { return orgs[i], people[i] }),
		named("api_key", "filler", rows, func(i int) (string, string) { return orgs[i%tenants], keys[i] }),
		bulk{"sessions", []string{"organization_id", "id", "user_id", "state", "sliding", "auth_time", "created_at",
			"last_used_at", "expires_at", "absolute_expires_at", "device", "fingerprint", "address"}, rows,
			func(i int) []any {
				return []any{orgs[i%tenants], string(id.New[id.Session]()), people[i%tenants], "active", true, int64(1),
					int64(1), int64(1), int64(9_000_000_000_000), int64(0), "filler", "", ""}
			}})
}

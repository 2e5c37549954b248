package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/argon2"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/password"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

// sameAnswers names the variable with what the bare handlers answer: what the server does.
const sameAnswers = "GATEHOUSE_BENCH_ANSWERS"

// child is the server under test, or the handlers that do the least that could answer the same.
func child(role, database string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + l.Addr().String()
	switch role {
	case "fill", "fill-lists", "grown":
		return growthChild(role, url, database, l)
	case "limit":
		h, err := limits(database)
		if err != nil {
			return err
		}
		ready(url, nil)
		return http.Serve(l, h)
	}
	cfg := config.Default()
	cfg.DefaultMFA = "optional" // its people sign in with a password alone
	cfg.PublicURL, cfg.Database = url, secret.New(database)
	cfg.EncryptionKeys = []secret.Secret{keyring.Generate()}
	if key := os.Getenv(benchKey); key != "" { // a node of several
		cfg.PublicURL, cfg.EncryptionKeys, cfg.Redis = os.Getenv(benchPublic), []secret.Secret{secret.New(key)},
			secret.New(os.Getenv(benchRedis))
	}
	cfg.ItemPath.DefaultOrganization = demo.Tenant
	cfg.TrustedProxies, cfg.Outbound.AllowedNetworks = []string{"127.0.0.1"}, []string{"127.0.0.0/8"}
	debug.SetGCPercent(200) // as cmd/gatehouse does
	s, err := server.New(context.Background(), cfg,
		server.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	if role == "node" {
		s.Start()
		return s.ServeOn(context.Background(), l, func() { ready(url, nil) })
	}
	seeds, err := demo.Seed(context.Background(), s)
	if err != nil {
		return err
	}
	keys, err := manyKeys(s, seeds)
	if err != nil {
		return err
	}
	emails, err := manyPeople(s, seeds)
	if err != nil {
		return err
	}
	if err := connect(s, seeds); err != nil {
		return err
	}
	s.Start()
	client := seeds.Clients[0]
	return s.ServeOn(context.Background(), l, func() {
		ready(url, map[string]string{"keys": keys,
			"basic":  "Basic " + base64.StdEncoding.EncodeToString([]byte(client.ClientID+":"+client.ClientSecret)),
			"emails": emails, "basics": basics(seeds), "email": seeds.Users[3].Email,
			"password": seeds.Users[3].Password, "organization": seeds.Organizations[0].ID})
	})
}

// manyKeys makes keys with the highest limit: together they carry a measurement.
func manyKeys(s *server.Server, d demo.Seeds) (string, error) {
	org := id.Organization(d.Organizations[0].ID)
	most := 100_000
	var list []string
	for range 64 {
		i, err := s.Credentials.Issue(context.Background(), principal.NewSystem("bench", org),
			credential.Request{Kind: credential.APIKey, Name: "bench", Permissions: []string{"tickets:read:all"},
				RateLimit: &most})
		if err != nil {
			return "", err
		}
		list = append(list, i.Value.Reveal())
	}
	return strings.Join(list, " "), nil
}

// manyPeople makes accounts, so that no two clients sign in to the same at once.
func manyPeople(s *server.Server, d demo.Seeds) (string, error) {
	ctx := context.Background()
	hash, err := s.Hasher.Hash(ctx, "bench", demo.Password)
	if err != nil {
		return "", err
	}
	var list []string
	for i := range 64 {
		u, err := s.Users.Create(ctx, principal.NewSystem("bench", id.Organization(d.Organizations[0].ID)),
			user.NewUser{Email: fmt.Sprintf("bench-%d@acme-corp.example", i), Role: permission.RoleManager,
				PasswordHash: hash})
		if err != nil {
			return "", err
		}
		list = append(list, u.Email)
	}
	return strings.Join(list, " "), nil
}

// basics lists user name and password of the accounts of the demo's tenant, as Basic has them.
func basics(d demo.Seeds) string {
	var list []string
	for _, u := range d.Users {
		if u.Organization == demo.Tenant {
			list = append(list, base64.StdEncoding.EncodeToString([]byte(u.Username+":"+u.Password)))
		}
	}
	return strings.Join(list, " ")
}

func ready(url string, data map[string]string) {
	json.NewEncoder(os.Stdout).Encode(map[string]any{"url": url, "data": data})
}

const ticketQuery = `SELECT id, type, title, description, classification, status, priority, requester_id, assignee_id, team_id, created_at, updated_at FROM tickets
	WHERE organization_id = $1 AND id < $2 ORDER BY id DESC LIMIT 26`

type ticket struct {
	ID, Type, Title, Description, Classification, Status, Priority, RequesterID, AssigneeID, TeamID string
	CreatedAt, UpdatedAt                                                                            int64
}

func (t *ticket) fields() []any {
	return []any{&t.ID, &t.Type, &t.Title, &t.Description, &t.Classification, &t.Status, &t.Priority, &t.RequesterID,
		&t.AssigneeID, &t.TeamID, &t.CreatedAt, &t.UpdatedAt}
}

// store is the least database access: prepared statements on a plain pool.
type store struct {
	tickets func(ctx context.Context, org string) ([]ticket, error)
	commit  func(ctx context.Context) error
}

func openStore(database string) (store, error) {
	ctx := context.Background()
	if sqldb.IsPostgres(database) {
		pool, err := pgxpool.New(ctx, database)
		if err != nil {
			return store{}, err
		}
		if _,
			err := pool.Exec(ctx,
			`CREATE TABLE IF NOT EXISTS bench (n BIGINT PRIMARY KEY, v BIGINT NOT NULL); INSERT INTO bench SELECT g, 0 FROM generate_series(1, 64) g ON CONFLICT DO NOTHING`); err != nil {
			return store{}, err
		}
		return store{
			tickets: func(ctx context.Context, org string) ([]ticket, error) {
				tx, err := pool.Begin(ctx)
				if err != nil {
					return nil, err
				}
				defer tx.Rollback(ctx)
				if _, err := tx.Exec(ctx, `SELECT set_config('role', 'gatehouse_platform', true)`); err != nil {
					return nil, err
				}
				rows, err := tx.Query(ctx, ticketQuery, org, "tkt_~")
				if err != nil {
					return nil, err
				}
				defer rows.Close()
				var out []ticket
				for rows.Next() {
					var t ticket
					if err := rows.Scan(t.fields()...); err != nil {
						return nil, err
					}
					out = append(out, t)
				}
				return out, rows.Err()
			},
			commit: func(ctx context.Context) error {
				n := next.Add(1)%64 + 1
				_, err := pool.Exec(ctx, `UPDATE bench SET v = v + 1 WHERE n = $1`, n)
				return err
			},
		}, nil
	}
	db, err := sql.Open("sqlite", "file:"+sqldb.FilePath(database)+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		return store{}, err
	}
	db.SetMaxOpenConns(4)
	list, err := db.Prepare(ticketQuery)
	if err != nil {
		return store{}, err
	}
	w, err := sql.Open("sqlite",
		"file:"+sqldb.FilePath(database)+
			".limit?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return store{}, err
	}
	w.SetMaxOpenConns(1)
	if _,
		err := w.Exec(
		`CREATE TABLE IF NOT EXISTS bench (n INTEGER PRIMARY KEY, v INTEGER NOT NULL); INSERT OR IGNORE INTO bench VALUES (1, 0)`); err != nil {
		return store{}, err
	}
	update, err := w.Prepare(`UPDATE bench SET v = v + 1 WHERE n = 1`)
	if err != nil {
		return store{}, err
	}
	return store{
		tickets: func(ctx context.Context, org string) ([]ticket, error) {
			rows, err := list.QueryContext(ctx, org, "tkt_~")
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			var out []ticket
			for rows.Next() {
				var t ticket
				if err := rows.Scan(t.fields()...); err != nil {
					return nil, err
				}
				out = append(out, t)
			}
			return out, rows.Err()
		},
		commit: func(ctx context.Context) error { _, err := update.ExecContext(ctx); return err },
	}, nil
}

// limits are the bare handlers: what the network, the query, the hash and the signature cost without a server around
// them.
func limits(database string) (http.Handler, error) {
	db, err := openStore(database)
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	private := jwt.PrivateKey{ID: "bench", Algorithm: jwt.RS256, Signer: key}
	payload := make([]byte, 400)
	debug.SetGCPercent(200) // as the server has it
	var same map[string]answer
	if err := json.Unmarshal([]byte(os.Getenv(sameAnswers)), &same); err != nil {
		return nil, err
	}
	me := same["GET /me"].Body
	slots := make(chan struct{}, 2)
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, err error, body []byte) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}
	for pattern, a := range same {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			maps.Copy(w.Header(), a.Header)
			w.Write(a.Body)
		})
	}
	mux.HandleFunc("GET /tickets/{org}", func(w http.ResponseWriter, r *http.Request) {
		list, err := db.tickets(r.Context(), r.PathValue("org"))
		body, _ := json.Marshal(list)
		write(w, err, body)
	})
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		token, err := jwt.Sign(private, jwt.TypeAccess, payload)
		write(w, err, []byte(token))
	})
	mux.HandleFunc("POST /hash", func(w http.ResponseWriter, r *http.Request) {
		slots <- struct{}{}
		argon2.IDKey([]byte("a password to be hashed"), make([]byte, 16), password.Default.Iterations,
			password.Default.MemoryKiB, password.Default.Parallelism, 32)
		<-slots
		write(w, nil, me)
	})
	signed, err := jwt.Sign(private, jwt.TypeAccess, payload)
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("POST /company", func(w http.ResponseWriter, r *http.Request) {
		err := db.commit(r.Context())
		if _, e := jwt.VerifyProvider(signed, []string{"RS256"}, func(string) ([]jose.JSONWebKey, error) {
			return []jose.JSONWebKey{{Key: &key.PublicKey}}, nil
		}); e != nil {
			err = e
		}
		for range 2 {
			if _, e := jwt.Sign(private, jwt.TypeAccess, payload); e != nil {
				err = e
			}
		}
		write(w, err, me)
	})
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, r *http.Request) {
		err := db.commit(r.Context())
		for range 2 {
			if _, e := jwt.Sign(private, jwt.TypeAccess, payload); e != nil {
				err = e
			}
		}
		write(w, err, me)
	})
	return mux, nil
}

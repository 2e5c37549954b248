package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
)

// next spreads the limit's commits over rows, so that they do not wait for each other.
var next atomic.Int64

func signIn(ctx context.Context, w *worker, s *process, email string) (access, refresh string, err error) {
	body, _ := json.Marshal(map[string]string{"email": email, "password": s.Data["password"]})
	raw, err := w.send(ctx, "POST", s.URL+"/v1/auth/login", "", body)
	if err != nil {
		return "", "", err
	}
	var t struct{ AccessToken, RefreshToken string }
	err = json.Unmarshal(raw, &t)
	return t.AccessToken, t.RefreshToken, err
}

// withToken signs a worker in once and gives its access token.
func withToken(ctx context.Context, w *worker, s *process) (string, error) {
	if w.state["access"] == "" {
		var err error
		if w.state["access"], w.state["refresh"], err = signIn(ctx, w, s, s.Data["email"]); err != nil {
			return "", err
		}
	}
	return w.state["access"], nil
}

func cases(server, limit *process) []benchCase {
	get := func(path string) func(ctx context.Context, w *worker) error {
		return func(ctx context.Context, w *worker) error {
			token, err := withToken(ctx, w, server)
			if err == nil {
				_, err = w.send(ctx, "GET", server.URL+path, token, nil)
			}
			return err
		}
	}
	// The bare handler gets the same request, token and all, and does not look at it.
	bare := func(method, path string, body []byte) func(ctx context.Context, w *worker) error {
		return func(ctx context.Context, w *worker) error {
			token := ""
			if method == "GET" {
				var err error
				if token, err = withToken(ctx, w, server); err != nil {
					return err
				}
			}
			_, err := w.send(ctx, method, limit.URL+path, token, body)
			return err
		}
	}
	// A worker takes turns with several keys, so that none runs into its limit.
	keys := strings.Fields(server.Data["keys"])
	byKey := func(base, path string) func(ctx context.Context, w *worker) error {
		return func(ctx context.Context, w *worker) error {
			w.turn++
			_, err := w.send(ctx, "GET", base+path, "X-API-Key: "+keys[(w.number*8+w.turn)%len(keys)], nil)
			return err
		}
	}
	asClient := func(base, path, body string) func(ctx context.Context, w *worker) error {
		return func(ctx context.Context, w *worker) error {
			_, err := w.send(ctx, "POST", base+path, "Authorization: "+server.Data["basic"], []byte(body))
			return err
		}
	}
	return []benchCase{
		{"api-key", "GET /v1/auth/me with an API key and its rate limit, against a bare handler", 0.7,
			byKey(server.URL, "/v1/auth/me"), byKey(limit.URL, "/me")},
		{"verify", "GET /verify with an API key, against a bare handler", 0.7,
			byKey(server.URL, "/verify?permission=tickets:read"), byKey(limit.URL, "/verify?permission=tickets:read")},
		{"client", "POST /oauth2/token (client credentials) against one RS256 signature", 0.85,
			asClient(server.URL, "/oauth2/token", "grant_type=client_credentials"),
			asClient(limit.URL, "/oauth2/token", "grant_type=client_credentials")},
		{"token-door", "POST /token/{organization} against one RS256 signature", 0.85,
			asClient(server.URL, "/token/acme-corp", `{"grant_type":"client_credentials"}`),
			asClient(limit.URL, "/oauth2/token", "grant_type=client_credentials")},
		{"reusable", "POST /api/users/refresh against one RS256 signature", 0.85,
			func(ctx context.Context, w *worker) error {
				if w.state["reusable"] == "" {
					body, _ := json.Marshal(map[string]string{"username": "integration",
						"password": server.Data["password"]})
					raw, err := w.send(ctx, "POST", server.URL+"/api/users/login", "", body)
					if err != nil {
						return err
					}
					var t struct{ RefreshToken string }
					if err := json.Unmarshal(raw, &t); err != nil {
						return err
					}
					w.state["reusable"] = t.RefreshToken
				}
				_, err := w.send(ctx, "POST", server.URL+"/api/users/refresh", w.state["reusable"], nil)
				return err
			}, asClient(limit.URL, "/oauth2/token", "grant_type=client_credentials")},
		{"basic", "GET /api/v1/{account}/requests with user name and password against argon2id alone", 0.8,
			func(ctx context.Context, w *worker) error {
				accounts := strings.Fields(server.Data["basics"])
				_, err := w.send(ctx, "GET", server.URL+"/api/v1/acme-corp/requests?max_rows=1",
					"Authorization: Basic "+accounts[w.number%len(accounts)], nil)
				return err
			}, bare("POST", "/hash", []byte("{}"))},
		{"introspect", "POST /oauth2/introspect of an API key against a bare handler", 0.5,
			asClient(server.URL, "/oauth2/introspect", "token="+keys[0]),
			asClient(limit.URL, "/oauth2/introspect", "token="+keys[0])},
		{"me", "GET /v1/auth/me against a bare handler", 0.7, get("/v1/auth/me"), bare("GET", "/me", nil)},
		{"tickets", "GET /v1/tickets against a bare handler with the same query", 0.6, get("/v1/tickets"),
			bare("GET", "/tickets/"+server.Data["organization"], nil)},
		{"sign-in", "POST /v1/auth/login against argon2id alone", 0.9, func(ctx context.Context, w *worker) error {
			accounts := strings.Fields(server.Data["emails"])
			_, _, err := signIn(ctx, w, server, accounts[w.number%len(accounts)])
			return err
		}, bare("POST", "/hash", []byte("{}"))},
		{"refresh", "POST /v1/auth/refresh against two RS256 signatures and one commit", 0.8,
			func(ctx context.Context, w *worker) error {
				if _, err := withToken(ctx, w, server); err != nil {
					return err
				}
				body, _ := json.Marshal(map[string]string{"refreshToken": w.state["refresh"]})
				raw, err := w.send(ctx, "POST", server.URL+"/v1/auth/refresh", "", body)
				if err != nil {
					return err
				}
				var t struct{ RefreshToken string }
				err = json.Unmarshal(raw, &t)
				w.state["refresh"] = t.RefreshToken
				return err
			}, bare("POST", "/rotate", []byte("{}"))},
	}
}

// postgresDatabase makes a database on the test server.
func postgresDatabase() (address string, drop func(), err error) {
	server := os.Getenv("GATEHOUSE_TEST_POSTGRES")
	if server == "" {
		return "", nil, nil
	}
	ctx := context.Background()
	name := fmt.Sprintf("bench_%d", os.Getpid())
	exec := func(statement string) error {
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		return err
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() { exec("DROP DATABASE " + name + " WITH (FORCE)") }, exec("CREATE DATABASE " + name)
}

// startUp measures from the start of the program to its first answer, on an existing database, and its idle memory.
func startUp(database string) error {
	env := append(os.Environ(), "GATEHOUSE_DATABASE="+database, "GATEHOUSE_ENCRYPTION_KEYS="+keyring.Generate().
		Reveal(), "GATEHOUSE_METRICS_LISTEN=none",
		"GATEHOUSE_LISTEN=127.0.0.1:18462", "GATEHOUSE_DEFAULT_MFA=optional",
		"GATEHOUSE_PUBLIC_URL=http://127.0.0.1:18462")
	binary := filepath.Join("bin", "gatehouse")
	var times []time.Duration
	var memory int64
	w := &worker{client: httpClient()}
	for i := range *rounds + 1 {
		cmd := exec.Command(binary, "serve")
		cmd.Env = env
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			return err
		}
		for time.Since(begin) < 20*time.Second {
			if _, err := w.send(context.Background(), "GET", "http://127.0.0.1:18462/healthz", "", nil); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		took := time.Since(begin)
		time.Sleep(time.Second)
		if i > 0 { // the first makes database and keys
			times = append(times, took)
			memory = residentMB(cmd.Process.Pid)
		} else {
			time.Sleep(2 * time.Second)
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	slices.Sort(times)
	fmt.Printf("start: ready after %v (median of %d, existing SQLite database; aim 150 ms), idle memory %d MB (aim "+
		"40)\n", times[len(times)/2].Round(time.Millisecond), len(times), memory)
	return nil
}

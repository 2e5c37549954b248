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

func signIn(base, email, password string) (access, refresh string, err error) {
	raw, err := send("POST", base+"/v1/auth/login", "", credentials(email, password))
	if err != nil {
		return "", "", err
	}
	var t struct{ AccessToken, RefreshToken string }
	err = json.Unmarshal(raw, &t)
	return t.AccessToken, t.RefreshToken, err
}

func credentials(email, password string) []byte {
	body, _ := json.Marshal(map[string]string{"email": email, "password": password})
	return body
}

func cases(server, limit *process) []benchCase {
	password := server.Data["password"]
	// The bare handler gets the same request, token and all, and does not look at it.
	withSession := func(base, path string) start {
		return func(w *worker) (func() error, error) {
			access, _, err := signIn(server.URL, server.Data["email"], password)
			if err != nil {
				return nil, err
			}
			return inTurn(prepare("GET", base+path, access, nil))(w)
		}
	}
	// A worker takes turns with several keys, so that none runs into its limit.
	keys := strings.Fields(server.Data["keys"])
	withKeys := func(base, path string) start {
		var list []request
		for _, key := range keys {
			list = append(list, prepare("GET", base+path, "X-API-Key: "+key, nil))
		}
		return inTurn(list...)
	}
	asClient := func(base, path, body string) start {
		return inTurn(prepare("POST", base+path, "Authorization: "+server.Data["basic"], []byte(body)))
	}
	signature := asClient(limit.URL, "/oauth2/token", "grant_type=client_credentials")
	hash := inTurn(prepare("POST", limit.URL+"/hash", "", []byte("{}")))
	return []benchCase{
		{"api-key", "GET /v1/auth/me with an API key and its rate limit, against a bare handler", 0.7,
			withKeys(server.URL, "/v1/auth/me"), withKeys(limit.URL, "/me-of-key")},
		{"verify", "GET /verify with an API key, against a bare handler", 0.7,
			withKeys(server.URL, "/verify?permission=tickets:read"),
			withKeys(limit.URL, "/verify?permission=tickets:read")},
		{"client", "POST /oauth2/token (client credentials) against one RS256 signature", 0.85,
			asClient(server.URL, "/oauth2/token", "grant_type=client_credentials"), signature},
		{"token-door", "POST /token/{organization} against one RS256 signature", 0.85,
			asClient(server.URL, "/token/acme-corp", `{"grant_type":"client_credentials"}`), signature},
		{"reusable", "POST /api/users/refresh against one RS256 signature", 0.85,
			func(w *worker) (func() error, error) {
				body, _ := json.Marshal(map[string]string{"username": "integration", "password": password})
				raw, err := send("POST", server.URL+"/api/users/login", "", body)
				if err != nil {
					return nil, err
				}
				var t struct{ RefreshToken string }
				if err := json.Unmarshal(raw, &t); err != nil {
					return nil, err
				}
				return inTurn(prepare("POST", server.URL+"/api/users/refresh", t.RefreshToken, nil))(w)
			}, signature},
		{"basic", "GET /api/v1/{account}/requests with user name and password against argon2id alone", 0.8,
			func(w *worker) (func() error, error) {
				accounts := strings.Fields(server.Data["basics"])
				return inTurn(prepare("GET", server.URL+"/api/v1/acme-corp/requests?max_rows=1",
					"Authorization: Basic "+accounts[w.number%len(accounts)], nil))(w)
			}, hash},
		{"introspect", "POST /oauth2/introspect of an API key against a bare handler", 0.55,
			asClient(server.URL, "/oauth2/introspect", "token="+keys[0]),
			asClient(limit.URL, "/oauth2/introspect", "token="+keys[0])},
		{"me", "GET /v1/auth/me against a bare handler", 0.7, withSession(server.URL, "/v1/auth/me"),
			withSession(limit.URL, "/me")},
		{"tickets", "GET /v1/tickets against a bare handler with the same query", 0.6,
			withSession(server.URL, "/v1/tickets"),
			withSession(limit.URL, "/tickets/"+server.Data["organization"])},
		{"sign-in", "POST /v1/auth/login against argon2id alone", 0.9, func(w *worker) (func() error, error) {
			accounts := strings.Fields(server.Data["emails"])
			return inTurn(prepare("POST", server.URL+"/v1/auth/login", "",
				credentials(accounts[w.number%len(accounts)], password)))(w)
		}, hash},
		{"refresh", "POST /v1/auth/refresh against two RS256 signatures and one commit", 0.8,
			func(w *worker) (func() error, error) {
				_, token, err := signIn(server.URL, server.Data["email"], password)
				if err != nil {
					return nil, err
				}
				return func() error {
					body := []byte(`{"refreshToken":"` + token + `"}`)
					raw, err := w.conn.exchange(prepare("POST", server.URL+"/v1/auth/refresh", "", body))
					if err != nil {
						return err
					}
					var t struct{ RefreshToken string }
					err = json.Unmarshal(raw, &t)
					token = t.RefreshToken
					return err
				}, w.connect(strings.TrimPrefix(server.URL, "http://"))
			}, inTurn(prepare("POST", limit.URL+"/rotate", "", []byte("{}")))},
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
	for i := range *rounds + 1 {
		cmd := exec.Command(binary, "serve")
		cmd.Env = env
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			return err
		}
		for time.Since(begin) < 20*time.Second {
			if _, err := send("GET", "http://127.0.0.1:18462/healthz", "", nil); err == nil {
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

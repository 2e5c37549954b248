package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// patch changes something as the operator.
func (i *installation) send(method, path string, body any, bearer string) (int, map[string]any) {
	i.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		i.t.Fatal(err)
	}
	req, err := http.NewRequest(method, i.url+path, strings.NewReader(string(raw)))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, answer, err := do(req, bearer)
	if err != nil {
		i.t.Fatal(err)
	}
	return status, answer
}

func (i *installation) byKey(key string) int {
	i.t.Helper()
	req, err := http.NewRequest("GET", i.url+"/v1/auth/me", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	status, _, err := do(req, "")
	if err != nil {
		i.t.Fatal(err)
	}
	return status
}

func (i *installation) newKey(access, name string) (key, id string) {
	i.t.Helper()
	status, body := i.send("POST", "/v1/api-keys",
		map[string]any{"name": name, "permissions": []string{"tickets:read:all"}}, access)
	if status != 201 {
		i.t.Fatalf("key: %d %v", status, body)
	}
	return body["key"].(string), body["id"].(string)
}

// FLT21, G11: a backup is taken while the server writes; restored, the data of its moment is there, and nothing that
// was revoked since comes back: not where the database that was there can be asked what became of it, and not where it
// is lost.
func TestFLT21_BackupAndRestore(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		for _, keep := range []bool{false, true} {
			if !lost && keep {
				continue
			}
			name := map[bool]string{false: "carried over", true: "lost"}[lost]
			if keep {
				name += ", machines kept"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				database := filepath.Join(t.TempDir(), "gatehouse.db")
				i := install(t, "sqlite:"+database)
				i.operator()
				p := i.start()
				access, refresh := i.signIn()
				stays, _ := i.newKey(access, "stays")
				status, body := i.send("POST", "/v1/users",
					map[string]any{"email": "worker@platform.example", "role": "end_user"}, access)
				if status != 201 {
					t.Fatalf("user: %d %v", status, body)
				}
				worker := body["id"].(string)
				_, link, _ := strings.Cut(body["setPasswordUrl"].(string), "#token=")
				goes, goesID := i.newKey(access, "goes")
				made := func(path string, body map[string]any) (id, secret string) {
					t.Helper()
					status, answer := i.send("POST", path, body, access)
					if status != 201 {
						t.Fatalf("%s: %d %v", path, status, answer)
					}
					secret, _ = answer["clientSecret"].(string)
					return answer["id"].(string), secret
				}
				role, _ := made("/v1/roles", map[string]any{"name": "reader",
					"permissions": []string{"tickets:read:all", "teams:read:all"}})
				team, _ := made("/v1/teams", map[string]any{"name": "Desk"})
				tenant, _ := made("/v1/organizations", map[string]any{"slug": "acme-corp", "name": "Acme"})
				client, clientSecret := made("/v1/clients",
					map[string]any{"name": "x", "permissions": []string{"tickets:read:all"}, "refreshTokens": true})
				member := "/v1/teams/" + team + "/members/" + worker
				if status, _ := i.send("PUT", member, nil, access); status != 204 {
					t.Fatalf("member: %d", status)
				}
				grant := i.grant(client, clientSecret)

				stop := make(chan struct{})
				var writers sync.WaitGroup
				writers.Go(func() { // the backup is taken under writes
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
							i.post("/v1/auth/login",
								map[string]any{"email": "operator@platform.example",
									"password": "wrong, to write a failure"}, "")
						}
					}
				})
				file := filepath.Join(t.TempDir(), "backup.db")
				if out, errs, code := i.run("", "backup", file); code != 0 || !strings.Contains(out, file) {
					t.Fatalf("backup: %d %s%s", code, out, errs)
				}
				close(stop)
				writers.Wait()
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the backup is readable by others: %v %v", info.Mode(), err)
				}
				if _, errs, code := i.run("", "backup", file); code != 1 || !strings.Contains(errs, "exists already") {
					t.Errorf("a backup over a file: %d %s", code, errs)
				}

				// Since the backup: a user is disabled, a key is revoked, another is made.
				if status, body := i.send("PATCH", "/v1/users/"+worker, map[string]any{"state": "disabled"},
					access); status != 200 {
					t.Fatalf("disable: %d %v", status, body)
				}
				if status, body := i.send("DELETE", "/v1/api-keys/"+goesID, nil, access); status != 204 {
					t.Fatalf("revoke: %d %v", status, body)
				}
				for _, c := range []struct {
					method, path string
					body         any
				}{
					{"PATCH", "/v1/roles/" + role, map[string]any{"permissions": []string{"teams:read:all"}}},
					{"DELETE", member, nil},
					{"PATCH", "/v1/organizations/" + tenant, map[string]any{"state": "suspended"}},
					{"PATCH", "/v1/clients/" + client, map[string]any{"state": "off"}},
				} {
					if status, body := i.send(c.method, c.path, c.body, access); status != 200 && status != 204 {
						t.Fatalf("%s %s: %d %v", c.method, c.path, status, body)
					}
				}
				later, _ := i.newKey(access, "later")
				if i.byKey(goes) != 401 || i.byKey(later) != 200 {
					t.Fatal("the key that was revoked works, or the new one does not")
				}
				if _, errs, code := i.run("", "restore", file); code != 1 || !strings.Contains(errs, "in use") {
					t.Errorf("a restore under a running server: %d %s", code, errs)
				}
				p.kill()
				before, err := os.ReadFile(database)
				if err != nil {
					t.Fatal(err)
				}
				broken := filepath.Join(t.TempDir(), "broken.db")
				image, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for at := 8192; at < 8192+4096 && at < len(image); at++ {
					image[at] ^= 0xff
				}
				if err := os.WriteFile(broken, image, 0o600); err != nil {
					t.Fatal(err)
				}
				whole, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				foreign := filepath.Join(t.TempDir(), "foreign.db")
				if other, err := sql.Open("sqlite", foreign); err != nil {
					t.Fatal(err)
				} else if _, err := other.Exec("CREATE TABLE x (y)"); err != nil || other.Close() != nil {
					t.Fatal(err)
				}
				for _, bad := range []string{broken, foreign, filepath.Join(t.TempDir(), "nothing"), os.Args[0]} {
					if _, errs, code := i.run("", "restore", bad); code != 1 {
						t.Errorf("restore of %s: %d %s", bad, code, errs)
					}
				}
				if after, err := os.ReadFile(database); err != nil || !bytes.Equal(before, after) {
					t.Errorf("a refused restore changed the database: %v", err)
				}
				digest := sha256.Sum256(whole)
				if lost {
					for _, ext := range []string{"", "-wal", "-shm"} {
						if err := os.Remove(database + ext); err != nil && !os.IsNotExist(err) {
							t.Fatal(err)
						}
					}
				}
				args := []string{"restore", file}
				if keep {
					args = append(args, "--keep-machines")
				}
				out, errs, code := i.run("", args...)
				if code != 0 || strings.Contains(out, "carried over") == lost {
					t.Fatalf("restore: %d %s%s", code, out, errs)
				}
				if whole, err = os.ReadFile(file); err != nil || sha256.Sum256(whole) != digest {
					t.Errorf("the restore changed the backup: %v", err)
				}
				if left, _ := filepath.Glob(database + ".restoring*"); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				if !lost {
					kept, err := filepath.Glob(database + ".before-restore-*Z")
					if err != nil || len(kept) != 1 {
						t.Errorf("the former database is kept as %v, %v", kept, err)
					}
				}
				i.start()
				if status, _, _ := i.get("/v1/auth/me", access); status != 401 {
					t.Errorf("an access token from before: %d", status)
				}
				if status, _, _ := i.post("/v1/auth/refresh", map[string]any{"refreshToken": refresh},
					""); status != 401 {
					t.Errorf("a refresh token from before: %d", status)
				}
				want := map[string]int{"stays": 200, "goes": 401, "later": 401}
				switch {
				case lost && keep:
					want["goes"] = 200 // as the operator was told
				case lost:
					want["stays"] = 401
				}
				got := map[string]int{"stays": i.byKey(stays), "goes": i.byKey(goes), "later": i.byKey(later)}
				for k, status := range want {
					if got[k] != status {
						t.Errorf("the key %q: %d, want %d", k, got[k], status)
					}
				}
				time.Sleep(1100 * time.Millisecond) // tokens have whole seconds
				access, _ = i.signIn()
				if status, _ := i.send("POST", "/v1/auth/password/set",
					map[string]any{"token": link, "password": "a sentence that nobody knows"}, ""); status != 401 {
					t.Errorf("a link from before: %d", status)
				}
				if _, body, _ := i.get("/v1/users/"+worker, access); (body["state"] == "disabled") == lost {
					t.Errorf("the user who was disabled since the backup is %v", body["state"])
				}
				// What was taken away since the backup is carried over, where it can be asked for.
				_, body, _ = i.get("/v1/roles/"+role, access)
				if held := fmt.Sprint(body["permissions"]); strings.Contains(held, "tickets:read") != lost {
					t.Errorf("the role holds %s", held)
				}
				_, body, _ = i.get("/v1/teams/"+team+"/members", access)
				if members := len(body["data"].([]any)); (members == 0) == lost {
					t.Errorf("the team has %d members", members)
				}
				if _, body, _ = i.get("/v1/organizations/"+tenant, access); (body["state"] == "suspended") == lost {
					t.Errorf("the organization that was suspended since the backup is %v", body["state"])
				}
				if _, body, _ = i.get("/v1/clients/"+client, access); (body["state"] == "off") == keep {
					t.Errorf("the client that was switched off since the backup is %v", body["state"])
				}
				if n := count(t, database, `SELECT count(*) FROM client_grants WHERE state = 'active'`); n != 0 ||
					grant == "" {
					t.Errorf("%d grants of clients live on", n)
				}
				status, events, err := i.get("/v1/audit-events?act=installation.restored", access)
				if err != nil || status != 200 || len(events["data"].([]any)) != 1 {
					t.Errorf("the audit log: %d %v %v", status, events, err)
				}
			})
		}
	}
}

// FLT21: what was started anew on the lost disk is not asked what became of the accounts: it is another installation,
// and knows none of them.
func TestFLT21_AnotherInstallation(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "gatehouse.db")
	i := install(t, "sqlite:"+database)
	i.operator()
	file := filepath.Join(t.TempDir(), "backup.db")
	if _, errs, code := i.run("", "backup", file); code != 0 {
		t.Fatal(errs)
	}
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := i.run("", "backup", filepath.Join(t.TempDir(), "nothing.db")); code != 1 ||
		!strings.Contains(errs, "no database") {
		t.Errorf("a backup of nothing: %d %s", code, errs)
	}
	if out, errs, code := i.run("another long sentence, of somebody else\n", "admin", "create", "--email",
		"somebody@platform.example"); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	if out, errs, code := i.run("", "restore", file); code != 0 || strings.Contains(out, "carried over") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	i.start()
	i.signIn()
	if status, _, _ := i.post("/v1/auth/login", map[string]any{"email": "somebody@platform.example",
		"password": "another long sentence, of somebody else"}, ""); status != 401 {
		t.Errorf("an account of the other installation: %d", status)
	}
}

// FLT21: a PostgreSQL database that was restored by its own means is made safe by one command.
func TestFLT21_InPlace(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		i.operator()
		i.start()
		access, refresh := i.signIn()
		key, id := i.newKey(access, "machine")
		if i.byKey(key) != 200 {
			t.Fatal("the key does not work")
		}
		status, pat := i.send("POST", "/v1/access-tokens", map[string]any{"name": "of a person"}, access)
		if status != 201 {
			t.Fatalf("access token: %d %v", status, pat)
		}
		for _, args := range [][]string{{"restore"}, {"restore", "file", "--in-place"}} {
			if _, _, code := i.run("", args...); code != 2 {
				t.Errorf("%v: %d", args, code)
			}
		}
		if out, errs, code := i.run("", "restore", "--in-place"); code != 0 || !strings.Contains(out, "2 credentials") {
			t.Fatalf("%d %s%s", code, out, errs)
		}
		time.Sleep(100 * time.Millisecond) // the server runs on and hears it
		if status, _, _ := i.get("/v1/auth/me", access); status != 401 {
			t.Errorf("an access token from before: %d", status)
		}
		if status, _, _ := i.post("/v1/auth/refresh", map[string]any{"refreshToken": refresh}, ""); status != 401 {
			t.Errorf("a refresh token from before: %d", status)
		}
		if status := i.byKey(key); status != 401 {
			t.Errorf("a key that nobody vouched for: %d", status)
		}
		time.Sleep(1100 * time.Millisecond)
		access, _ = i.signIn()
		if status, body := i.send("PATCH", "/v1/api-keys/"+id, map[string]any{"state": "active"},
			access); status != 200 || i.byKey(key) != 200 {
			t.Errorf("switched on again: %d %v", status, body)
		}
		// Kinds that nobody can switch off can be switched on again, too.
		works := func() int { status, _, _ := i.get("/v1/tickets", pat["token"].(string)); return status }
		if status := works(); status != 401 {
			t.Errorf("an access token that nobody vouched for: %d", status)
		}
		path := "/v1/access-tokens/" + pat["id"].(string)
		if status, body := i.send("PATCH", path, map[string]any{"state": "active"}, access); status != 200 ||
			works() != 200 {
			t.Errorf("switched on again: %d %v, then %d", status, body, works())
		}
		if status, _ := i.send("PATCH", path, map[string]any{"state": "off"}, access); status != 400 {
			t.Errorf("switched off by hand: %d", status)
		}
	})
}

// doctor finds an installation well, and names what is not.
func TestDoctor(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		if strings.HasPrefix(address, "postgres") {
			i.env = append(i.env, "GATEHOUSE_REDIS="+os.Getenv("GATEHOUSE_TEST_REDIS"))
		}
		i.operator()
		i.start()
		look := func(more ...string) (map[string]map[string]string, int) {
			t.Helper()
			cmd := i.command("doctor", "--json")
			cmd.Env = append(cmd.Env, more...)
			out, err := cmd.Output()
			var found []map[string]string
			if e := json.Unmarshal(out, &found); e != nil {
				t.Fatalf("%v, %v: %s", e, err, out)
			}
			code := cmd.ProcessState.ExitCode()
			by := make(map[string]map[string]string)
			for _, f := range found {
				by[f["check"]] = f
			}
			return by, code
		}
		found, code := look()
		for end := time.Now().Add(20 * time.Second); found["keys"]["verdict"] == "warn" && time.Now().
			Before(end); time.Sleep(100 * time.Millisecond) {
			found, code = look() // the server makes keys for later in the background
		}
		if code != 0 {
			t.Errorf("a good installation: %d %v", code, found)
		}
		if out, errs, code := i.run("", "doctor", "--strict"); code != 0 || errs != "" {
			t.Errorf("a good installation with --strict: %d %s%s", code, out, errs)
		}
		checks := []string{"database", "clock", "schema", "keys", "credentials", "invalidation feed", "public URL",
			"proxy headers"}
		if strings.HasPrefix(address, "postgres") {
			checks = append(checks, "database role", "row-level security", "Redis")
		}
		for _, c := range checks {
			if found[c]["verdict"] != "ok" {
				t.Errorf("%s: %v", c, found[c])
			}
		}
		routes := filepath.Join(t.TempDir(), "routes.yaml")
		if err := os.WriteFile(routes, []byte(`routes: [{path: "/x", permission: "unheard:of"}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		for check, settings := range map[string]string{
			"start":                         "GATEHOUSE_GATEWAY_ROUTES_FILE=" + routes,
			"public URL":                    "GATEHOUSE_PUBLIC_URL=http://127.0.0.1:" + freePort(t),
			"keys":                          "GATEHOUSE_ENCRYPTION_KEYS=GkYKRk9aVZyG2B5Dv0S8b3mXb2ml3sN0kH0m9Zx1y4Q=",
			"itempath.default_organization": "GATEHOUSE_ITEMPATH_DEFAULT_ORGANIZATION=acme-corp",
			"proxy headers":                 "GATEHOUSE_PUBLIC_URL=https://auth.example.com",
			"database": "GATEHOUSE_REDIS= GATEHOUSE_DATABASE=sqlite:" + filepath.Join(t.TempDir(),
				"no.db"),
		} {
			setting := strings.Fields(settings)
			found, code := look(setting...)
			if f := found[check]; f["verdict"] == "ok" || f["verdict"] == "" || f["remedy"] == "" {
				t.Errorf("%s with %s: %v", check, setting, f)
			}
			if check == "keys" && !strings.Contains(found[check]["remedy"], "encryption keys") {
				t.Errorf("another encryption key: %v", found[check])
			}
			if found[check]["verdict"] == "FAIL" && code != 1 {
				t.Errorf("%s: exit %d", check, code)
			}
		}
		if strings.HasPrefix(address, "postgres") {
			for setting, want := range redisTroubles(t, os.Getenv("GATEHOUSE_TEST_REDIS")) {
				found, code := look("GATEHOUSE_REDIS=" + setting)
				f := found["Redis"]
				if f["verdict"] != "FAIL" || code != 1 || !strings.Contains(f["finding"], want.finding) ||
					!strings.Contains(f["remedy"], want.remedy) || strings.Contains(f["finding"], "quite-secret") {
					t.Errorf("%s: %d %v, want %q and %q", setting, code, f, want.finding, want.remedy)
				}
			}
		}

		// What only the tables tell.
		access, _ := i.signIn()
		key, _ := i.newKey(access, "old")
		expect := func(check, verdict, remedy string, settings ...string) {
			t.Helper()
			found, _ := look(settings...)
			if f := found[check]; f["verdict"] != verdict || !strings.Contains(f["remedy"], remedy) {
				t.Errorf("%s: %v, want %s and %q", check, f, verdict, remedy)
			}
		}
		expect("credentials", "ok", "")
		execute(t, address, `UPDATE credentials SET created_at = 1000, last_used_at = 0`)
		expect("credentials", "warn", "credentials report")
		if _, errs, code := i.run("", "doctor"); code != 0 || !strings.Contains(errs, "--strict") {
			t.Errorf("warnings alone: %d %s", code, errs)
		}
		if _, errs, code := i.run("", "doctor", "--strict"); code != 1 || !strings.Contains(errs, "warnings: 1") {
			t.Errorf("warnings with --strict: %d %s", code, errs)
		}
		if i.byKey(key) != 200 {
			t.Error("the key does not work")
		}
		execute(t, address, `UPDATE signing_keys SET state = 'retired' WHERE state = 'next'`)
		expect("keys", "warn", "run for a moment")
		if !strings.HasPrefix(address, "postgres") {
			if err := os.Chmod(sqldb.FilePath(address), 0o644); err != nil {
				t.Fatal(err)
			}
			expect("database file", "FAIL", "chmod 600")
			return
		}
		execute(t, address, `ALTER TABLE teams NO FORCE ROW LEVEL SECURITY`)
		expect("row-level security", "FAIL", "FORCE ROW LEVEL SECURITY")
		execute(t, address, `ALTER TABLE teams FORCE ROW LEVEL SECURITY; ALTER TABLE roles DISABLE ROW LEVEL SECURITY`)
		expect("row-level security", "FAIL", "ENABLE ROW LEVEL SECURITY")
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		stranger := fmt.Sprintf("stranger_%d", time.Now().UnixNano())
		execute(t, address, `CREATE ROLE `+stranger+` LOGIN`)
		t.Cleanup(func() { execute(t, address, `DROP ROLE `+stranger) })
		u.User = url.User(stranger)
		expect("database role", "FAIL", "GRANT gatehouse_app", "GATEHOUSE_DATABASE="+u.String())
		full := stranger + "_full"
		execute(t, address, `CREATE ROLE `+full+` LOGIN CONNECTION LIMIT 0`)
		t.Cleanup(func() { execute(t, address, `DROP ROLE `+full) })
		u.User = url.UserPassword(full, "quite-secret")
		expect("database", "FAIL", "max_connections", "GATEHOUSE_DATABASE="+u.String())
		u.User = url.UserPassword(stranger, "quite-secret")
		named := u.Path
		u.Path = "/nowhere"
		expect("database", "FAIL", "Create the database", "GATEHOUSE_DATABASE="+u.String())
		u.Path = named
		u.RawQuery = "sslmod=require"
		expect("database", "FAIL", "behind ?", "GATEHOUSE_DATABASE="+u.String())
		u.RawQuery = "sslmode=require"
		expect("database", "FAIL", "sslmode", "GATEHOUSE_DATABASE="+u.String())
		expect("failover", "warn", "synchronous_standby_names", "GATEHOUSE_DATABASE_FAILOVER=keep")
		expect("connections", "warn", "max_connections", "GATEHOUSE_DATABASE_CONNECTIONS=300")
	})
}

// redisTroubles are addresses at which a server cannot be used, with a part of the finding and of the remedy.
func redisTroubles(t *testing.T, address string) map[string]struct{ finding, remedy string } {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("narrow%d", time.Now().UnixNano())
	answers := bufio.NewReader(conn)
	ask := func(line string) {
		t.Helper()
		fmt.Fprint(conn, line+"\r\n")
		if answer, err := answers.ReadString('\n'); err != nil || answer != "+OK\r\n" && answer != ":1\r\n" {
			t.Fatalf("%s: %q %v", line, answer, err)
		}
	}
	ask("ACL SETUSER " + name + " on >quite-secret ~* +hello +ping +client +select")
	ask("ACL SETUSER " + name + "_mute on >quite-secret ~* +@all -client|tracking")
	t.Cleanup(func() {
		ask("ACL DELUSER " + name)
		ask("ACL DELUSER " + name + "_mute")
		conn.Close()
	})
	at := func(scheme, user, path string) string {
		return scheme + "://" + user + ":quite-secret@" + u.Host + path
	}
	return map[string]struct{ finding, remedy string }{
		at("redis", name+"_gone", "/0"):                  {"WRONGPASS", "user and the password"},
		at("redis", name, "/0"):                          {"no permissions to run the 'set' command", "ACL SETUSER"},
		at("redis", name+"_mute", "/0"):                  {"to run the 'client|tracking' command", "ACL SETUSER"},
		at("redis", name, "/99"):                         {"DB index is out of range", "redis://…/0"},
		at("rediss", name, "/0"):                         {"deadline exceeded", "rediss:// needs one with TLS"},
		"redis://:quite-secret@127.0.0.1:" + freePort(t): {"connection refused", "Check the address"},
	}
}

// grant gets a client's token and refresh token.
func (i *installation) grant(client, secret string) (refresh string) {
	i.t.Helper()
	req, err := http.NewRequest("POST", i.url+"/oauth2/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "client_id": {client},
			"client_secret": {secret}}.Encode()))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, err := do(req, "")
	if err != nil || status != 200 {
		i.t.Fatalf("grant: %d %v %v", status, body, err)
	}
	refresh, _ = body["refresh_token"].(string)
	return refresh
}

// count asks a SQLite database beside the program.
func count(t *testing.T, database, query string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// execute runs SQL in a database beside the program, as its owner.
func execute(t *testing.T, address, statement string) {
	t.Helper()
	driver := "sqlite"
	if strings.HasPrefix(address, "postgres") {
		driver = "pgx"
	}
	db, err := sql.Open(driver, sqldb.FilePath(address))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

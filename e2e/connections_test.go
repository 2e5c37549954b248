package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A19: connections and domains are managed on the command line, with the JSON that the API takes, and no command shows
// a secret. The server beside them hears of it at once.
func TestA19_ConnectionCommands(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		i.operator()
		i.start()
		access, _ := i.signIn()
		for _, slug := range []string{"acme-corp", "other"} {
			if status, body, err := i.post("/v1/organizations", map[string]any{"slug": slug, "name": slug},
				access); err != nil || status != 201 {
				t.Fatalf("%d %v %v", status, body, err)
			}
		}
		const hidden = "hidden-from-every-answer"
		file := filepath.Join(t.TempDir(), "connection.json")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run := func(args ...string) string {
			t.Helper()
			out := i.acme(args...)
			if strings.Contains(out, hidden) {
				t.Errorf("%v: %s", args, out)
			}
			return out
		}
		object := func(args ...string) map[string]any {
			t.Helper()
			m := i.acmeObject(args...)
			if strings.Contains(fmt.Sprint(m), hidden) {
				t.Errorf("%v: %v", args, m)
			}
			return m
		}
		fails := func(want string, args ...string) {
			t.Helper()
			if out, errs, code := i.run("", args...); code == 0 || !strings.Contains(errs, want) ||
				strings.Contains(out+errs, hidden) {
				t.Errorf("%v: %d %s%s", args, code, out, errs)
			}
		}
		write(`{"kind":"oidc","name":"Acme","clientSecret":"` + hidden + `",
			"openId":{"issuer":"https://idp.example.com","clientId":"gatehouse"}}`)
		made := object("connection", "create", file)
		one, _ := made["id"].(string)
		if made["state"] != "draft" || made["callbackUrl"] != i.url+"/v1/auth/sso/oidc/callback" {
			t.Errorf("made %v", made)
		}
		if out := run("connection", "list"); !strings.Contains(out, one) {
			t.Errorf("list: %s", out)
		}
		if found := object("connection", "enable", one); found["state"] != "active" {
			t.Errorf("switched on: %v", found)
		}
		write(`{"name":"Renamed"}`)
		changed := object("connection", "update", one, file)
		if open, _ := changed["openId"].(map[string]any); changed["name"] != "Renamed" ||
			open["clientId"] != "gatehouse" {
			t.Errorf("updated: %v", changed)
		}
		// What is wrong with a file is said, and nothing is stored of it.
		write(`{"name":"Third","nmae":"x"}`)
		fails("nmae", "connection", "update", one, file, "-o", "acme-corp")
		write(`{"kind":"saml"}`)
		fails("kind", "connection", "update", one, file, "-o", "acme-corp")
		write(`{"kind":"oidc","name":"Bad","openId":{"issuer":"ftp://idp.example.com","clientId":"x"},
			"clientSecret":"` + hidden + `"}`)
		fails("issuer", "connection", "create", file, "-o", "acme-corp")
		write(`{"kind":"saml","name":"No metadata"}`)
		fails("saml", "connection", "create", file, "-o", "acme-corp")
		// Another organization has none of it.
		fails("no such connection", "connection", "show", one, "-o", "other")
		if out, errs, code := i.run("", "connection", "list", "--json", "-o", "other"); code != 0 ||
			strings.TrimSpace(out) != "[]" {
			t.Errorf("the other organization lists %d %s%s", code, out, errs)
		}
		if shown := object("connection", "show", one); shown["name"] != "Renamed" {
			t.Errorf("shown: %v", shown)
		}
		if off := object("connection", "disable", one); off["state"] != "off" {
			t.Errorf("switched off: %v", off)
		}

		if d := object("domain", "vouch", "ACME-corp.example"); d["name"] != "acme-corp.example" ||
			d["state"] != "verified" {
			t.Errorf("vouched: %v", d)
		}
		if out := run("domain", "list"); !strings.Contains(out, "acme-corp.example") {
			t.Errorf("domains: %s", out)
		}
		if d := object("domain", "connect", "acme-corp.example", one); d["connectionId"] != one {
			t.Errorf("connected: %v", d)
		}
		fails("no such connection", "domain", "connect", "acme-corp.example", "con_01M8HDXH7XGD50TFN9RHSQKKSE", "-o",
			"acme-corp")
		fails("nother organization", "domain", "vouch", "acme-corp.example", "-o", "other")
		fails("must be a domain", "domain", "vouch", "com", "-o", "acme-corp")

		run("connection", "delete", one)
		fails("no such connection", "connection", "show", one, "-o", "acme-corp")
	})
}

// FLT21, A26: after a restore no domain leads to a connection that the backup does not have; one that was let go since
// leads nowhere, and one that was switched off stays off.
func TestFLT21_Connections(t *testing.T) {
	t.Parallel()
	i := install(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"))
	i.operator()
	server := i.start()
	access, _ := i.signIn()
	if status, body, err := i.post("/v1/organizations", map[string]any{"slug": "acme-corp", "name": "Acme"},
		access); err != nil || status != 201 {
		t.Fatalf("%d %v %v", status, body, err)
	}
	file := filepath.Join(t.TempDir(), "connection.json")
	if err := os.WriteFile(file, []byte(`{"kind":"oidc","name":"Acme","clientSecret":"x",
		"openId":{"issuer":"https://idp.example.com","clientId":"gatehouse"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	connect := func() string {
		id := i.acmeObject("connection", "create", file)["id"].(string)
		i.acme("connection", "enable", id)
		return id
	}
	first := connect()
	i.acme("domain", "vouch", "acme-corp.example")
	i.acme("domain", "connect", "acme-corp.example", first)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, errs, code := i.run("", "backup", backup); code != 0 {
		t.Fatal(errs)
	}
	i.acme("domain", "connect", "acme-corp.example", connect())
	i.acme("connection", "disable", first)
	server.kill()
	if out, errs, code := i.run("", "restore", backup); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	i.start()
	if shown := i.acme("domain", "list"); !strings.Contains(shown, "acme-corp.example") ||
		strings.Contains(shown, "con_") {
		t.Errorf("%s", shown)
	}
	if shown := i.acme("connection", "list"); !strings.Contains(shown, first) || !strings.Contains(shown, "off") {
		t.Errorf("%s", shown)
	}
}

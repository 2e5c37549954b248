package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// E7: the Postman collection of the repository, run by newman against the demo with the environment that the demo
// writes: every request of every dialect's folder and every test in it passes; and its OAuth 2.0 set-up is the one that
// the documentation names.
func TestE7_PostmanCollection(t *testing.T) {
	t.Parallel()
	environment := filepath.Join(t.TempDir(), "demo.postman_environment.json")
	runDemo(t, "--postman-environment", environment)
	collection, err := filepath.Abs("../postman/gatehouse.postman_collection.json")
	if err != nil {
		t.Fatal(err)
	}
	node(t, "newman.mjs", map[string]string{"collection": collection, "environment": environment})

	raw, err := os.ReadFile(collection)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Item []struct {
			Name string
			Auth struct {
				Type   string
				OAuth2 []struct{ Key, Value string } `json:"oauth2"`
			}
		}
		Variable []struct{ Key, Value string }
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{}
	for _, f := range c.Item {
		folders[f.Name] = true
		if f.Name != "SecuriThings" {
			continue
		}
		got := map[string]string{}
		for _, o := range f.Auth.OAuth2 {
			got[o.Key] = o.Value
		}
		for k, want := range map[string]string{"grant_type": "client_credentials", "client_authentication": "header",
			"headerPrefix": "Bearer", "accessTokenUrl": "{{host}}/token/{{organization}}", "clientId": "{{client_id}}",
			"clientSecret": "{{client_secret}}"} {
			if got[k] != want {
				t.Errorf("%s is %q, want %q", k, got[k], want)
			}
		}
	}
	for _, name := range []string{"ITSM Automation API", "ItemPath", "EasyVista", "ServiceBroker", "SecuriThings"} {
		if !folders[name] {
			t.Errorf("no folder %s", name)
		}
	}
	for _, v := range c.Variable { // no secret in the repository
		if strings.Contains(v.Key, "secret") && v.Value != "" || strings.Contains(v.Key, "token") && v.Value != "" ||
			v.Key == "password" && v.Value != "" || v.Key == "api_key" && v.Value != "" {
			t.Errorf("%s has a value", v.Key)
		}
	}
}

// originalLines are the products' own command lines but for host and secrets, with which their integrations were
// written.
var originalLines = map[string][]string{
	"itempath": {
		`curl -X POST "$HOST/api/users/login" -H 'Content-Type: application/json'`,
		`-d '{"username":"integration","password":"'"$PASSWORD"'"}'`,
		`curl -X POST "$HOST/api/users/refresh" -H "Authorization: Bearer $REFRESH"`,
		`curl -X POST "$HOST/api/users/application-token" -H "Authorization: Bearer $REFRESH"`,
	},
	"easyvista": {`curl "$HOST/api/v1/50001/requests?max_rows=2&status=new" -H "Authorization: Bearer $TOKEN"`,
		`curl "$HOST/api/v1/acme-corp/tokens" -u "admin:$PASSWORD"`},
	"servicebroker": {`curl "$HOST/up/v5/entityToken" -H "Authorization: Bearer $SAT"`,
		`"GrantType":"ClientCredentials","ExpiresInSeconds":600}'`,
		`curl "$HOST/up/v5/oauth2/userInfo" -H "Authorization: Bearer $BEARER"`},
	"securithings": {
		`curl -X POST "$HOST/token/acme-corp" -u "$CLIENT_ID:$CLIENT_SECRET" -H 'Content-Type: application/json'` +
			"\n", `-d '{"grant_type":"client_credentials"}'`},
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// B1, B5, B6, C7, D3, D4, E2: the command lines of the dialects' pages, among them the products' own, run as they are
// written, in a shell, one page after the other, against the demo; each ends with what the page says it prints.
func TestDialectPagesRun(t *testing.T) {
	t.Parallel()
	d := runDemo(t)
	for _, page := range []string{"itempath", "easyvista", "servicebroker", "securithings"} {
		raw, err := os.ReadFile(filepath.Join("..", "docs", "dialects", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range originalLines[page] {
			if !strings.Contains(string(raw), line) {
				t.Errorf("%s does not have the line %s", page, line)
			}
		}
		blocks := shellBlock.FindAllStringSubmatch(string(raw), -1)
		if len(blocks) == 0 {
			t.Fatalf("%s has no command lines", page)
		}
		script := "set -eu\ncurl() { command curl --fail-with-body -sS \"$@\"; }\n"
		for name, value := range map[string]string{
			"HOST": d.URL, "PASSWORD": d.Users[0].Password, "TOKEN": d.AccessTokens[0].Token,
			"SAT": d.SystemAccessTokens[0].Token, "MASTER": d.SystemAccessTokens[len(d.SystemAccessTokens)-1].Token,
			"CLIENT_ID": d.Clients[0].ID, "CLIENT_SECRET": d.Clients[0].Secret,
		} {
			script += name + "='" + value + "'\n"
		}
		for _, b := range blocks {
			script += b[1] + "\n"
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
		for _, want := range map[string][]string{
			"itempath": {`"login":true`, `"refreshToken":"`, `{"accessToken":"`, `{"token":"`,
				`"applicationTokens":[`},
			"easyvista":     {`"record_count":`, `"token":"gth_at_`, `"expiry_date":"2099-12-31"`},
			"servicebroker": {`"JWT":"`, `"ClientSecret":"`, `"token_type":"bearer"`, `"email_verified":false`},
			"securithings":  {`"token_type":"Bearer"`, `"data":[`},
		}[page] {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s printed no %s:\n%s", page, want, out)
			}
		}
	}
}

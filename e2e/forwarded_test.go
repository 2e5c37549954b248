package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// WEB07, F4: doctor warns where trusted proxies tell no address that can be read, or where what they tell is ignored.
func TestDoctorOnForwards(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ proxies, header, value, verdict, remedy string }{
		"read":        {"127.0.0.1", "X-Forwarded-For", "203.0.113.9:17085", "ok", ""},
		"unreadable":  {"127.0.0.1", "X-Forwarded-For", "client.example.com", "warn", "into X-Forwarded-For"},
		"another one": {"127.0.0.1", "Forwarded", "for=203.0.113.9", "warn", "set forwarded_header"},
		"not trusted": {"", "X-Forwarded-For", "203.0.113.9", "warn", "trusted_proxies"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t, sqldbtest.SQLite(t))
			i.env = append(i.env, "GATEHOUSE_METRICS_LISTEN=127.0.0.1:"+freePort(t),
				"GATEHOUSE_TRUSTED_PROXIES="+c.proxies)
			i.start()
			req, err := http.NewRequest("GET", i.url+"/v1/auth/me", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(c.header, c.value)
			if status, _, err := do(req, ""); err != nil || status != 401 {
				t.Fatal(status, err)
			}
			out, _, _ := i.run("", "doctor", "--json")
			var found []struct{ Check, Verdict, Remedy string }
			if err := json.Unmarshal([]byte(out), &found); err != nil {
				t.Fatal(err, out)
			}
			for _, f := range found {
				if f.Check != "proxy headers" {
					continue
				}
				if f.Verdict != c.verdict || !strings.Contains(f.Remedy, c.remedy) {
					t.Errorf("%+v", f)
				}
				return
			}
			t.Errorf("doctor says nothing of proxies: %s", out)
		})
	}
}

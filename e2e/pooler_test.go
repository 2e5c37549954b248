package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// F11: `serve` before an empty database behind PgBouncer. A pooler that it was not told of ends it, and it says what to
// set; with that it migrates, starts and serves.
func TestF11_ServeBehindPooler(t *testing.T) {
	t.Parallel()
	if os.Getenv(sqldbtest.PostgresEnv) == "" {
		t.Skip("PostgreSQL only")
	}
	direct := sqldbtest.EmptyPostgres(t)
	pooler := sqldbtest.StartPooler(t, direct)
	for _, mode := range []string{"", "&default_query_exec_mode=exec"} {
		i := install(t, pooler.Through(direct)+mode)
		out, errs, code := i.run("", "serve")
		if code == 0 || !strings.Contains(errs, "pooler in transaction mode") ||
			!strings.Contains(errs, "GATEHOUSE_DATABASE_LISTEN") {
			t.Errorf("serve %s: %d %s%s", mode, code, out, errs)
		}
	}
	i := install(t, pooler.Through(direct))
	i.env = append(i.env, "GATEHOUSE_DATABASE_LISTEN="+direct)
	p := i.start()
	i.operator()
	access, _ := i.signIn()
	key, id := i.newKey(access, "behind a pooler")
	if i.byKey(key) != 200 {
		t.Error("the key does not work")
	}
	if status, body := i.send("DELETE", "/v1/api-keys/"+id, nil, access); status != 204 {
		t.Fatalf("revoke: %d %v", status, body)
	}
	if i.byKey(key) != 401 {
		t.Error("the revoked key works")
	}
	p.kill()
	i.start() // on what is there
}

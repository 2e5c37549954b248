package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// setupLink waits for the link to make the first operator that a process prints, and gives it with the command beside
// it.
func setupLink(t *testing.T, p *process) (link, command string) {
	t.Helper()
	waitFor(t, "the link is printed", func() bool { return strings.Contains(p.stderr.String(), "admin create") })
	for line := range strings.Lines(p.stderr.String()) {
		switch {
		case strings.Contains(line, "#token="):
			link = strings.TrimSpace(line)
		case strings.Contains(line, "admin create"):
			command = strings.TrimSpace(line)
		}
	}
	return link, command
}

// The link to make the first operator is the same at every start and on every node, until it is used or a day old.
func TestSetupLinkHolds(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		i := install(t, address)
		public := i.url
		p := i.start()
		first, _ := setupLink(t, p)
		if !strings.HasPrefix(first, public+"/setup#token=") {
			t.Fatalf("printed: %s", first)
		}
		other := (&installation{t: t, env: i.env}).at(freePort(t))
		second := other.start()
		if link, _ := setupLink(t, second); !strings.HasSuffix(link, strings.TrimPrefix(first, public)) {
			t.Errorf("a second node prints %s, not %s", link, first)
		}
		second.kill()
		p.kill()
		for range 2 {
			p = i.start()
			if link, _ := setupLink(t, p); link != first {
				t.Errorf("another start prints %s, not %s", link, first)
			}
			p.kill()
		}

		err := sqldbtest.Open(t, address).PlatformTx(t.Context(), "a day passes", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE onetime SET expires_at = 1 WHERE purpose = 'setup'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		setUp := func(link string) (int, map[string]any) {
			_, token, _ := strings.Cut(link, "#token=")
			status, body, err := i.post("/v1/setup", map[string]any{"token": token,
				"email": "operator@platform.example", "password": operatorPassword}, "")
			if err != nil {
				t.Fatal(err)
			}
			return status, body
		}
		p = i.start()
		later, _ := setupLink(t, p)
		if later == first {
			t.Error("a link that is a day old is printed again")
		}
		if status, body := setUp(first); status != 401 {
			t.Errorf("a link that is a day old: %d %v", status, body)
		}
		p.kill()
		p = i.start()
		if status, body := setUp(later); status != 201 {
			t.Errorf("the link of an earlier start: %d %v", status, body)
		}
		p.kill()
		if p = i.start(); strings.Contains(p.stderr.String(), "#token=") {
			t.Error("a link is printed although there is an operator")
		}
	})
}

// What is printed beside the link works as it is printed: a shell that has the server's variables runs it.
func TestSetupHintWorks(t *testing.T) {
	t.Parallel()
	i := install(t, sqldbtest.SQLite(t))
	_, command := setupLink(t, i.start())
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = i.command().Env
	cmd.Stdin = strings.NewReader(operatorPassword + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "is an operator now") {
		t.Errorf("%s: %v %s", command, err, &out)
	}
}

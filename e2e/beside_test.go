package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// in runs a command with no more than some variables: another shell than the server's.
func (i *installation) in(shell []string, args ...string) (stdout, stderr string, code int) {
	i.t.Helper()
	path, err := binary()
	if err != nil {
		i.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = shell, &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		i.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// A shell that knows a server's database and keys, and none of its other variables, finds those beside the database:
// the resources, the public URL, where it listens. No secret is there, and nobody else may read it.
func TestSettingsAreFound(t *testing.T) {
	t.Parallel()
	i := install(t, sqldbtest.SQLite(t))
	other := append([]string{}, i.env[:2]...) // database and encryption keys
	if _, errs, code := i.in(other, "keys", "list"); code != 2 || !strings.Contains(errs, "public_url") {
		t.Errorf("before any server ran: %d %s", code, errs)
	}
	i.env = append(i.env, "GATEHOUSE_RESOURCES=stations,pumps")
	p := i.start()
	if _, errs, code := i.in(other, "key", "create", "-o", "platform", "--name", "x", "-p",
		"stations:read:all"); code != 0 {
		t.Errorf("a key for a resource of the server: %d %s", code, errs)
	}
	for _, args := range [][]string{{"key", "list", "-o", "platform"}, {"ready"}, {"doctor"}} {
		if out, errs, code := i.in(other, args...); code != 0 {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	file := sqldb.FilePath(i.database) + ".settings.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(i.env[1], "=")
	if strings.Contains(string(text), key) {
		t.Error("the file has the encryption key")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the file: %v %v", info.Mode(), err)
	}
	p.kill()
	i.env = append(i.env, "GATEHOUSE_RESOURCES=stations")
	i.start()
	if _, errs, code := i.in(other, "key", "create", "-o", "platform", "--name", "y", "-p",
		"pumps:read:all"); code != 1 || !strings.Contains(errs, "setting resources") {
		t.Errorf("a resource that the server has no more: %d %s", code, errs)
	}
	// What is said in the shell wins.
	if _, errs, code := i.in(append(other, "GATEHOUSE_RESOURCES=pumps,stations"), "key", "create", "-o", "platform",
		"--name", "y", "-p", "pumps:read:all"); code != 0 {
		t.Errorf("a resource that the shell names: %d %s", code, errs)
	}
}

// The demo writes settings for other shells, with which every command works beside it, and takes them away at its end.
func TestCommandsBesideTheDemo(t *testing.T) {
	t.Parallel()
	i := install(t, "unused")
	for _, settings := range []string{"", filepath.Join(t.TempDir(), "demo.yaml")} {
		args := []string{"demo", "--json", "--listen", "127.0.0.1:0"}
		if settings != "" {
			args = append(args, "--settings", settings)
		}
		cmd := i.command(args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var d struct{ URL, Config string }
		if err := json.Unmarshal(line, &d); err != nil || settings != "" && d.Config != settings {
			t.Fatalf("%v in %.200s", err, line)
		}
		if info, err := os.Stat(d.Config); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the settings of the demo: %v %v", info, err)
		}
		shell := []string{"GATEHOUSE_CONFIG=" + d.Config}
		key, errs, code := i.in(shell, "key", "create", "-o", "acme-corp", "--name", "x", "-p", "tickets:read:all")
		if code != 0 {
			t.Fatalf("beside the demo: %s", errs)
		}
		i.url = d.URL
		if status := i.byKey(strings.TrimSpace(key)); status != 200 {
			t.Errorf("the key at the demo: %d", status)
		}
		for _, args := range [][]string{{"ready"}, {"doctor"}, {"config", "check"}, {"keys", "list"},
			{"credentials", "report", "-o", "acme-corp"}} {
			if out, errs, code := i.in(shell, args...); code != 0 {
				t.Errorf("%v: %d %s%s", args, code, out, errs)
			}
		}
		cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
		if _, err := os.Stat(d.Config); err == nil {
			t.Error("the settings of the demo are left behind")
		}
	}
}

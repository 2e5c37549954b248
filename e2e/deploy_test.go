package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

const deploy = "../deploy/"

// Every setting that the files in deploy/ name exists.
func TestDeploySettings(t *testing.T) {
	t.Parallel()
	known := []string{"GATEHOUSE_CONFIG"}
	for _, s := range config.Settings() {
		known = append(known, s.Variable)
		if s.Secret {
			known = append(known, s.Variable+"_FILE")
		}
	}
	name, found := regexp.MustCompile(`GATEHOUSE_[A-Z_]+`), 0
	err := filepath.WalkDir(deploy, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, n := range name.FindAllString(string(text), -1) {
			if found++; !slices.Contains(known, n) {
				t.Errorf("%s: there is no setting %s", path, n)
			}
		}
		return err
	})
	if err != nil || found < 20 {
		t.Errorf("%d settings found, %v", found, err)
	}
}

// The binary runs where there is nothing else, as in the image: no shell, no zone files, no user, nothing to write but
// its data.
func TestDeployScratch(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("changing the root folder needs root")
	}
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		root := t.TempDir()
		for dir := root; dir != "/"; dir = filepath.Dir(dir) { // the unprivileged user must get in
			if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
				os.Chmod(dir, info.Mode().Perm()|0o011)
			}
		}
		data := filepath.Join(root, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(data, 65532, 65532); err != nil {
			t.Fatal(err)
		}
		built, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(built)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "gatehouse"), image, 0o755); err != nil { // run by another user
			t.Fatal(err)
		}
		if !strings.HasPrefix(address, "postgres") {
			address = "sqlite:/data/gatehouse.db"
		}
		i := install(t, address)
		inside := func(cmd *exec.Cmd) *exec.Cmd {
			cmd.Path, cmd.Dir = "/gatehouse", "/"
			cmd.Err = nil
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root,
				Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
			return cmd
		}
		admin := inside(i.command("admin", "create", "--email", "operator@platform.example"))
		admin.Stdin = strings.NewReader(operatorPassword + "\n")
		if out, err := admin.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		serve := inside(i.command("serve"))
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { serve.Process.Kill(); serve.Wait() })
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			out, err := inside(i.command("ready")).CombinedOutput()
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%v %s", err, out)
			}
		}
		access, _ := i.signIn()
		if status, body := i.send("PATCH", "/v1/organization",
			map[string]any{"settings": map[string]any{"timeZone": "Europe/Madrid"}}, access); status != 200 {
			t.Errorf("a time zone: %d %v", status, body)
		}
		serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			t.Errorf("its end: %v", err)
		}
		if out, err := inside(i.command("ready")).CombinedOutput(); err == nil {
			t.Errorf("a server that has stopped is ready: %s", out)
		}
	})
}

// The nginx example works in front of a node: TLS ends there, and the node knows the client's address and not what the
// client says it is.
func TestDeployNginx(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(deploy + "nginx/gatehouse.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	selfSigned(t, dir)
	i := install(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"))
	i.env = append(i.env, "GATEHOUSE_TRUSTED_PROXIES=127.0.0.1")
	i.operator()
	i.start()
	port, plain := freePort(t), freePort(t)
	text := strings.NewReplacer("127.0.0.1:8080", "127.0.0.1:"+i.port, "listen 443 ssl",
		"listen 127.0.0.1:"+port+" ssl", "listen 80;", "listen 127.0.0.1:"+plain+";",
		"/etc/ssl/gatehouse", dir, "/var/log/nginx/gatehouse.log", filepath.Join(dir, "access.log")).
		Replace(string(raw))
	whole := "daemon off;\nuser root;\npid " + dir + "/pid;\nerror_log " + dir +
		"/error.log;\nevents {}\nhttp {\nclient_body_temp_path " + dir + "/b;\nproxy_temp_path " + dir +
		"/p;\nfastcgi_temp_path " + dir +
		"/f;\nuwsgi_temp_path " + dir + "/u;\nscgi_temp_path " + dir + "/s;\n" + text + "}\n"
	if os.Getuid() != 0 {
		whole = strings.Replace(whole, "user root;\n", "", 1)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx"
	}
	cmd := exec.Command(nginx, "-c", file, "-p", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	// made for the test
	client := &http.Client{Timeout: 5 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(url string, headers map[string]string, body string) (*http.Response, map[string]any) {
		t.Helper()
		var answer *http.Response
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			method := "GET"
			if body != "" {
				method = "POST"
			}
			req, err := http.NewRequest(method, url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "auth.example.com"
			for k, v := range headers {
				req.Header.Set(k, v)
			}
			if answer, err = client.Do(req); err == nil {
				break
			}
			if time.Now().After(end) {
				log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
				t.Fatalf("%v\n%s", err, log)
			}
		}
		defer answer.Body.Close()
		raw, _ := io.ReadAll(answer.Body)
		var out map[string]any
		json.Unmarshal(raw, &out)
		return answer, out
	}
	base := "https://127.0.0.1:" + port
	forged := map[string]string{"X-Forwarded-For": "198.51.100.7", "Content-Type": "application/json"}
	res, body := ask(base+"/v1/auth/login", forged,
		`{"email":"operator@platform.example","password":"`+operatorPassword+`"}`)
	if res.StatusCode != 200 {
		t.Fatalf("sign-in through nginx: %d %v", res.StatusCode, body)
	}
	_, list := ask(base+"/v1/auth/sessions",
		map[string]string{"Authorization": "Bearer " + body["accessToken"].(string)}, "")
	if address := list["data"].([]any)[0].(map[string]any)["address"]; address != "127.0.0.1" {
		t.Errorf("the client's address is %v", address)
	}
	if res, _ := ask("http://127.0.0.1:"+plain+"/v1/auth/me?x=1", nil, ""); res.StatusCode != 301 ||
		res.Header.Get("Location") != "https://auth.example.com/v1/auth/me?x=1" {
		t.Errorf("plain HTTP: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
}

func selfSigned(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "auth.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"auth.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"fullchain.pem": {Type: "CERTIFICATE", Bytes: der},
		"privkey.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The systemd units are understood by systemd, and the service gives away as little as it can.
func TestDeploySystemd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	units, err := filepath.Glob(deploy + "systemd/*")
	if err != nil || len(units) != 3 {
		t.Fatalf("%v %v", units, err)
	}
	var copies []string
	for _, path := range units {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(to, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/gatehouse", "/bin/true")),
			0o644); err != nil {
			// read by systemd-analyze
			t.Fatal(err)
		}
		copies = append(copies, to)
	}
	if out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, copies...)...).
		CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("%v %s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=25",
		filepath.Join(dir, "gatehouse.service")).CombinedOutput()
	if err != nil {
		t.Errorf("the service is exposed: %v %s", err, out[max(0, len(out)-300):])
	}
}

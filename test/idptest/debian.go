package idptest

import (
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// need installs Debian's packages, unless a command succeeds that needs them.
func need(t testing.TB, packages string, command ...string) {
	t.Helper()
	if exec.Command(command[0], command[1:]...).Run() == nil {
		return
	}
	cmd := exec.Command(filepath.Join(folder(), "..", "..", "scripts", "need"),
		append([]string{"what-is-in-" + packages}, strings.Fields(packages)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", packages, err, out)
	}
}

// Lasso is a SAML provider of the library of that name.
type Lasso struct{ URL string }

// StartLasso starts one that signs in one person.
func StartLasso(t testing.TB, key *rsa.PrivateKey, name, mail string) Lasso {
	t.Helper()
	need(t, "python3-lasso", "/usr/bin/python3", "-c", "import lasso")
	keyFile, certFile := Certificate(t, key, time.Now().Add(time.Hour))
	cmd := exec.CommandContext(context.Background(), "/usr/bin/python3", filepath.Join(folder(), "saml_lasso.py"))
	cmd.Env = append(os.Environ(), "KEY="+keyFile, "CERT="+certFile, "NAME="+name, "MAIL="+mail)
	return Lasso{start(t, cmd)}
}

// Answer says how it answers from now on: the service provider's metadata and entityID, what is signed (response,
// assertion), and how it is encrypted (aes128, aes256, or empty: not).
func (l Lasso) Answer(t testing.TB, metadata, entity, sign, encrypt string) {
	t.Helper()
	res, err := http.PostForm(l.URL+"/how", url.Values{"sp": {metadata}, "entity": {entity}, "sign": {sign},
		"encrypt": {encrypt}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", res.StatusCode, body, err)
	}
}

// SimpleSAML is SimpleSAMLphp as an identity provider.
type SimpleSAML struct {
	URL string
	sps string // the file that describes its service providers
}

// unpacked gives the folder of a package of Debian's without installing it: it would bring a web server.
func unpacked(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "gatehouse-test", name)
	if _, err := os.Stat(filepath.Join(dir, "usr")); err == nil {
		return dir
	}
	work := t.TempDir()
	if err := os.Chmod(work, 0o777); err != nil { // apt downloads as somebody else
		t.Fatal(err)
	}
	run := func(command ...string) error {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = work
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s: %v\n%s", command, err, out)
		}
		return err
	}
	if run("apt-get", "download", "-qq", name) != nil {
		sudo := []string{"apt-get", "update", "-qq"}
		if os.Getuid() != 0 {
			sudo = append([]string{"sudo"}, sudo...)
		}
		if err := run(sudo...); err != nil {
			t.Fatal(err)
		}
		if err := run("apt-get", "download", "-qq", name); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(work, name+"_*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh := dir + "." + filepath.Base(work)
	if err := run("dpkg", "-x", files[0], fresh); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// StartSimpleSAML starts one with a person: name, password "password", and attributes.
func StartSimpleSAML(t testing.TB, key *rsa.PrivateKey, name, mail string) SimpleSAML {
	t.Helper()
	need(t, "php8.2-cli php8.2-xml php8.2-mbstring php8.2-intl php8.2-curl", "php", "-r",
		"exit(extension_loaded('xml') && extension_loaded('mbstring') && extension_loaded('intl') ? 0 : 1);")
	root := filepath.Join(unpacked(t, "simplesamlphp"), "usr", "share", "simplesamlphp")
	dir := t.TempDir()
	keyFile, certFile := Certificate(t, key, time.Now().Add(time.Hour))
	port := freePort(t)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	sps := filepath.Join(dir, "metadata", "saml20-sp-remote.php")
	files := map[string]string{
		"config/config.php": fmt.Sprintf(`<?php $config = [
  'baseurlpath' => '%[1]s/', 'certdir' => '', 'loggingdir' => '%[2]s/log/', 'datadir' => '%[2]s/data/',
  'tempdir' => '%[2]s/tmp', 'secretsalt' => 'a salt of a test', 'auth.adminpassword' => 'nobody needs it',
  'technicalcontact_email' => 'na@example.org', 'timezone' => 'UTC', 'logging.handler' => 'file', 'debug' => null,
  'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
  'session.cookie.secure' => false, 'session.phpsession.cookiename' => 'SSP',
	'session.phpsession.savepath' => '%[2]s/tmp',
  'session.cookie.samesite' => null, 'language.default' => 'en', 'language.available' => ['en'],
	'store.type' => 'phpsession',
  'metadatadir' => '%[2]s/metadata', 'metadata.sources' => [['type' => 'flatfile', 'directory' => '%[2]s/metadata']],
  'trusted.url.domains' => null,
];`, base, dir),
		"config/authsources.php": fmt.Sprintf(`<?php $config = ['people' => ['exampleauth:UserPass',
  '%s:password' => ['uid' => ['%s'], 'mail' => ['%s'], 'groups' => ['a', 'b']]]];`, name, name, mail),
		"metadata/saml20-idp-hosted.php": fmt.Sprintf(`<?php $metadata['%s/idp'] = ['host' => '__DEFAULT__',
  'privatekey' => '%s', 'certificate' => '%s', 'auth' => 'people', 'signature.algorithm' =>
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256', 'NameIDFormat' =>
  'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', 'authproc' => [3 => ['class' =>
  'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']]];`,
			base, keyFile, certFile),
		"metadata/saml20-sp-remote.php": "<?php\n",
		"router.php": fmt.Sprintf(`<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$www = '%s/www';
if (preg_match('#^(/.*?\.php)(/.*)?$#', $path, $m) && is_file($www . $m[1])) {
  $_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $m[1];
  $_SERVER['SCRIPT_FILENAME'] = $www . $m[1];
  $_SERVER['PATH_INFO'] = $m[2] ?? '';
  chdir(dirname($www . $m[1]));
  require $www . $m[1];
  return true;
}
return false;`, root),
	}
	for _, sub := range []string{"log", "data", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(context.Background(), "php", "-d", "opcache.enable_cli=0", "-S",
		fmt.Sprintf("127.0.0.1:%d", port), "-t", filepath.Join(root, "www"), filepath.Join(dir, "router.php"))
	cmd.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+filepath.Join(dir, "config"), "PHP_CLI_SERVER_WORKERS=4")
	var said strings.Builder
	cmd.Stderr, cmd.Stdout = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its workers end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if log, err := os.ReadFile(filepath.Join(dir, "log", "simplesamlphp.log")); t.Failed() && err == nil {
			t.Logf("%.4000s\n%.2000s", log, said.String())
		}
	})
	for range 100 {
		if res, err := http.Get(base + "/saml2/idp/metadata.php"); err == nil {
			res.Body.Close()
			return SimpleSAML{base, sps}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("SimpleSAMLphp does not start: %s", said.String())
	return SimpleSAML{}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Answer makes service providers known, by entityID, with their address and how they are answered: what is signed
// (response, assertion, both), and for whom it is encrypted (a certificate in base64; empty: not).
func (s SimpleSAML) Answer(t testing.TB, entity, acs, sign, cert string) {
	t.Helper()
	encryption := ""
	if cert != "" {
		encryption = fmt.Sprintf(`'assertion.encryption' => true, 'keys' => [['type' => 'X509Certificate', 'encryption' => true,
			'signing' => true, 'X509Certificate' => '%s']],`, cert)
	}
	// its logout goes to where a connection has it, signed, and wants a signed answer
	logout := strings.TrimSuffix(entity, "/metadata") + "/logout"
	text := fmt.Sprintf(`<?php $metadata['%s'] = ['AssertionConsumerService' => '%s', 'SingleLogoutService' => '%s',
		'sign.logout' => true, 'redirect.sign' => true, 'saml20.sign.response' => %t,
		'saml20.sign.assertion' => %t, 'simplesaml.nameidattribute' => 'uid', 'attributes.NameFormat' =>
		'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
			%s];`, entity, acs, logout, sign != "assertion", sign != "response",
		encryption)
	if err := os.WriteFile(s.sps, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
	"github.com/itsm-automation/gatehouse/test/servertest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

//go:embed page.html
var testPage []byte

// site is a server that a browser reaches as http://localhost:port, with a small test page beside its own.
type site struct {
	*servertest.Server
	origin string
}

func serve(t *testing.T, address string) site {
	t.Helper()
	var handler http.Handler
	mux := http.NewServeMux()
	mux.HandleFunc("GET /test-page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(testPage)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) })
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	_, port, err := net.SplitHostPort(front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := site{origin: "http://localhost:" + port}
	s.Server = servertest.New(t, address, func(c *config.Config, _ *server.Options) { c.PublicURL = s.origin })
	handler = s.Handler
	return s
}

// browse starts a browser of its own.
func browse(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("Chromium is not installed (make test installs it)")
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(60 * time.Second)}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, end := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(end)
	return ctx
}

// authenticator adds a platform authenticator that verifies its user.
func authenticator(t *testing.T, ctx context.Context) {
	t.Helper()
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		if err := tg.Call(ctx, webauthn.Enable.Method, webauthn.EnableParams{}, nil); err != nil {
			return err
		}
		return tg.Call(ctx, webauthn.AddVirtualAuthenticator.Method,
			webauthn.AddVirtualAuthenticatorParams{
				Options: &webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2,
					Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
					IsUserVerified: true, AutomaticPresenceSimulation: true}}, nil)
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// run calls a function of the page and gives the JSON that it answers.
func run(t *testing.T, ctx context.Context, format string, args ...any) map[string]any {
	t.Helper()
	for i, a := range args {
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		args[i] = string(text)
	}
	call := fmt.Sprintf(format, args...)
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](call, func(p *runtime.EvaluateParams) {
		yes := true
		p.AwaitPromise, p.UserGesture = &yes, &yes
	}))
	if err != nil {
		t.Fatalf("%s: %v", call, err)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %q: %v", call, text, err)
	}
	return v
}

// A27, A28, A30: a real browser registers an authenticator, signs in with password and authenticator, and with the
// passkey alone; the same authenticator is not registered twice.
func TestA30_Browser(t *testing.T) {
	t.Parallel()
	sqldbtest.EachAddress(t, func(t *testing.T, address string) {
		ctx := browse(t)
		s := serve(t, address)
		if err := chromedp.Do(ctx, chromedp.Navigate(s.origin+"/test-page")); err != nil {
			t.Fatal(err)
		}
		authenticator(t, ctx)
		in := run(t, ctx, `login(%s, %s)`, servertest.Agent, demo.Password)
		if in["accessToken"] == nil {
			t.Fatalf("%v", in)
		}
		registered := run(t, ctx, `register(%s)`, in["accessToken"])
		if registered["method"] != "webauthn" || len(registered["backupCodes"].([]any)) != 10 {
			t.Fatalf("%v", registered)
		}
		if again := run(t, ctx, `register(%s)`, in["accessToken"]); again["name"] != "InvalidStateError" {
			t.Errorf("registered twice: %v", again)
		}
		first := run(t, ctx, `login(%s, %s)`, servertest.Agent, demo.Password)
		if first["mfaRequired"] != true {
			t.Fatalf("%v", first)
		}
		second := run(t, ctx, `secondStep(%s)`, first["mfaToken"])
		if second["accessToken"] == nil {
			t.Fatalf("%v", second)
		}
		alone := run(t, ctx, `passkey()`)
		if alone["accessToken"] == nil || alone["user"].(map[string]any)["email"] != servertest.Agent {
			t.Fatalf("%v", alone)
		}
		s.Do(t, "GET", "/v1/tickets", nil, servertest.Bearer(alone["accessToken"].(string))).Want(t, 200)
		if renewed := run(t, ctx, `again(%s)`, alone["accessToken"]); renewed["authTime"] == nil {
			t.Errorf("%v", renewed)
		}
	})
}

// A12: somebody who forgot their password chooses another at the mailed link; pasting works, the password is masked
// until it is shown, and its secret leaves the address bar. The page is looked at in both colour schemes and two
// widths; GATEHOUSE_TEST_SCREENSHOTS names a folder for what was seen.
func TestA12_ResetPage(t *testing.T) {
	t.Parallel()
	ctx := browse(t)
	s := serve(t, sqldbtest.SQLite(t))
	s.Do(t, "POST", "/v1/auth/password/forgot", map[string]any{"email": servertest.Agent}).Want(t, 202)
	link := s.origin + "/reset-password#token=" + servertest.Token(t, s.Mail(t, servertest.Agent, "Reset", 1))
	if err := chromedp.Do(ctx, chromedp.Navigate(link)); err != nil {
		t.Fatal(err)
	}
	look(t, ctx, "reset")
	seen := run(t, ctx,
		`(async () => JSON.stringify({hash: location.hash, title: document.title, type: document.getElementById("password").type, autocomplete: document.getElementById("password").autocomplete, paste: document.getElementById("password").onpaste}))()`)
	if seen["hash"] != "" || seen["type"] != "password" || seen["autocomplete"] != "new-password" ||
		seen["paste"] != nil || !strings.HasPrefix(seen["title"].(string), "Choose a new password") {
		t.Errorf("%v", seen)
	}
	submit := func(password string) map[string]any {
		return run(t, ctx, `(async (p) => {
			document.getElementById("reveal").click();
			const shown = document.getElementById("password").type;
			document.getElementById("reveal").click();
			document.getElementById("password").value = p;
			document.getElementById("submit").click();
			for (let i = 0; i < 200; i++) {
				await new Promise((r) => setTimeout(r, 25));
				if (document.getElementById("title").textContent === "Done" || !document.getElementById("error")?.hidden) break;
			}
			return JSON.stringify({shown, title: document.getElementById("title").textContent, error: document.getElementById("error")?.textContent || ""});
		})(%s)`, password)
	}
	if r := submit("password1234567"); r["shown"] != "text" || r["title"] == "Done" ||
		!strings.Contains(r["error"].(string), "attackers try first") {
		t.Errorf("%v", r)
	}
	look(t, ctx, "reset-error")
	if r := submit("another fine passphrase"); r["title"] != "Done" {
		t.Errorf("%v", r)
	}
	look(t, ctx, "reset-done")
	s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "another fine passphrase"}).
		Want(t, 200)
}

// look checks that the page fits the window, in every look it has.
func look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("GATEHOUSE_TEST_SCREENSHOTS")
	for _, width := range []int64{1280, 375} {
		for _, scheme := range []string{"light", "dark"} {
			var png []byte
			err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
				if err := tg.Call(ctx, emulation.SetDeviceMetricsOverride.Method,
					emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 800, DeviceScaleFactor: 1},
					nil); err != nil {
					return err
				}
				if err := tg.Call(ctx, emulation.SetEmulatedMedia.Method,
					emulation.SetEmulatedMediaParams{
						Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}},
					nil); err != nil {
					return err
				}
				var shot page.CaptureScreenshotResult
				err := tg.Call(ctx, page.CaptureScreenshot.Method, page.CaptureScreenshotParams{}, &shot)
				png = shot.Data
				return err
			}))
			if err != nil {
				t.Fatal(err)
			}
			fits := run(t, ctx,
				`(async () => JSON.stringify({page: document.documentElement.scrollWidth, window: innerWidth}))()`)
			if fits["page"].(float64) > fits["window"].(float64) {
				t.Errorf("%s at %d: the page is %v wide", name, width, fits["page"])
			}
			if folder != "" {
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png,
					0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

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
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
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

// opened is what a browser shows of a page of a link, as soon as it has asked the server about it.
func opened(t *testing.T, ctx context.Context, link string) map[string]any {
	t.Helper()
	// a page before it, since a link of the same page would change the fragment alone
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(link)); err != nil {
		t.Fatal(err)
	}
	return shown(t, ctx)
}

// shown waits until a page does not say any more that it waits, and tells what it shows.
func shown(t *testing.T, ctx context.Context) map[string]any {
	t.Helper()
	return run(t, ctx, `(async () => {
		const $ = (id) => document.getElementById(id);
		for (let i = 0; i < 400 && ($("title").textContent === "One moment…" || $("submit")?.disabled); i++) await new Promise((r) => setTimeout(r, 25));
		const described = (e) => (e.getAttribute("aria-describedby") || "").split(" ").map((id) => $(id)?.textContent).join(" ").trim();
		const form = $("form"), field = form && !form.hidden && document.activeElement;
		return JSON.stringify({hash: location.hash, title: $("title").textContent, lead: $("lead").textContent, form: !!field,
			organization: $("for").hidden ? "" : $("organization").textContent, account: $("for").hidden ? "" : $("account").textContent,
			error: $("error")?.textContent || "", focus: document.activeElement.id, invalid: !!field && field.getAttribute("aria-invalid") === "true",
			described: field ? described(field) : "", leads: [...document.querySelectorAll("#next a")].map((a) => a.href).join(" "),
			icon: document.querySelector("link[rel=icon]")?.href || "", again: !$("again").hidden});
	})()`)
}

// fill types into fields and submits.
func fill(t *testing.T, ctx context.Context, fields map[string]any) map[string]any {
	t.Helper()
	run(t, ctx, `(async (fields) => {
		for (const id in fields) document.getElementById(id).value = fields[id];
		document.getElementById("submit").click();
		return "{}";
	})(%s)`, fields)
	return shown(t, ctx)
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
	at := opened(t, ctx, link)
	if at["hash"] != "" || at["title"] != "Choose a new password" || at["form"] != true ||
		at["organization"] != "Acme Corp" || at["account"] != servertest.Agent || at["focus"] != "password" ||
		!strings.Contains(at["described"].(string), "15 characters") {
		t.Errorf("%v", at)
	}
	look(t, ctx, "reset")
	seen := run(t, ctx, `(async () => {
		const p = document.getElementById("password"), reveal = document.getElementById("reveal"), masked = p.type;
		reveal.click();
		const revealed = p.type;
		reveal.click();
		const style = getComputedStyle(p), page = getComputedStyle(document.body);
		return JSON.stringify({masked, revealed, again: p.type, autocomplete: p.autocomplete, paste: p.onpaste, field: style.backgroundColor, page: page.backgroundColor});
	})()`)
	if seen["masked"] != "password" || seen["revealed"] != "text" || seen["again"] != "password" ||
		seen["autocomplete"] != "new-password" || seen["paste"] != nil {
		t.Errorf("%v", seen)
	}
	if seen["field"] == seen["page"] {
		t.Errorf("the field has the colour of the page, as if it were disabled: %v", seen)
	}
	for _, c := range []struct{ password, said string }{{"", "Enter a password"},
		{"password1234567", "attackers try first"}, {"short", "15"}} {
		r := fill(t, ctx, map[string]any{"password": c.password})
		if r["invalid"] != true || r["focus"] != "password" || !strings.Contains(r["described"].(string), c.said) {
			t.Errorf("%q: %v", c.password, r)
		}
	}
	look(t, ctx, "reset-error")
	if r := fill(t, ctx, map[string]any{"password": "another fine passphrase"}); r["title"] != "Done" ||
		r["leads"] != s.origin+"/start" {
		t.Errorf("%v", r)
	}
	look(t, ctx, "reset-done")
	s.Do(t, "POST", "/v1/auth/login", map[string]any{"email": servertest.Agent, "password": "another fine passphrase"}).
		Want(t, 200)
	if r := opened(t, ctx, link); r["title"] != "This link does not work" || r["form"] != false || r["leads"] == "" ||
		!strings.Contains(r["lead"].(string), "used already") {
		t.Errorf("a used link: %v", r)
	}
	look(t, ctx, "used")
}

// Each page that a link leads to says at once whom the link is for, or that it does not work; the end leads on, to the
// organization's applications where it names some.
func TestLinkPages(t *testing.T) {
	t.Parallel()
	ctx := browse(t)
	s := serve(t, sqldbtest.SQLite(t))
	admin := s.As(t, servertest.Admin)
	s.Do(t, "PATCH", "/v1/organization",
		map[string]any{"settings": map[string]any{"allowedOrigins": []string{"https://desk.acme-corp.example"}}},
		admin).Want(t, 200)
	set := s.Do(t, "POST", "/v1/users", map[string]any{"email": "new@acme-corp.example", "role": "end_user"}, admin).
		Want(t, 201).String("setPasswordUrl")
	invited := s.Do(t, "POST", "/v1/invitations", map[string]any{"email": "asked@acme-corp.example",
		"name": "Asked Person", "role": "end_user"}, admin).Want(t, 201).String("url")
	err := s.DB.PlatformTx(t.Context(), "an installation without an operator", func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE users SET state = 'disabled' WHERE role = 'super_admin'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	setup, _, err := s.SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const sentence = "a sentence of my very own"
	for _, c := range []struct {
		name, link, title, organization, account, focus string
		fields                                          map[string]any
		leads                                           string
	}{
		{"set", set, "Choose your password", "Acme Corp", "new@acme-corp.example", "password", nil,
			"https://desk.acme-corp.example/"},
		{"invitation", invited, "Accept the invitation", "Acme Corp", "asked@acme-corp.example", "name", nil,
			"https://desk.acme-corp.example/"},
		{"setup", setup.Reveal(), "Make the first operator", "Platform", "a new one", "email",
			map[string]any{"email": "first@platform.example"}, s.origin + "/start"},
	} {
		at := opened(t, ctx, c.link)
		if at["title"] != c.title || at["organization"] != c.organization || at["account"] != c.account ||
			at["focus"] != c.focus || at["hash"] != "" || at["icon"] != s.origin+"/assets/icon.svg" {
			t.Errorf("%s: %v", c.name, at)
		}
		look(t, ctx, c.name)
		if r := fill(t, ctx, map[string]any{"password": "short"}); r["invalid"] != true {
			t.Errorf("%s, a short password: %v", c.name, r)
		}
		look(t, ctx, c.name+"-error")
		fields := map[string]any{"password": sentence}
		for k, v := range c.fields {
			fields[k] = v
		}
		if r := fill(t, ctx, fields); r["title"] != "Done" || r["leads"] != c.leads || r["form"] != false {
			t.Errorf("%s, done: %v", c.name, r)
		}
		look(t, ctx, c.name+"-done")
		if r := opened(t, ctx, c.link); r["form"] != false || r["title"] != "This link does not work" ||
			r["leads"] != s.origin+"/start" {
			t.Errorf("%s, used: %v", c.name, r)
		}
		page, _, _ := strings.Cut(c.link, "#")
		if r := opened(t, ctx, page+"#token=guess"); r["form"] != false || r["title"] != "This link does not work" {
			t.Errorf("%s, false: %v", c.name, r)
		}
		look(t, ctx, c.name+"-false")
		if r := opened(t, ctx, page); r["form"] != false || r["title"] != "This link is not complete" {
			t.Errorf("%s, incomplete: %v", c.name, r)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(s.origin+"/start")); err != nil {
		t.Fatal(err)
	}
	look(t, ctx, "start")
}

// look checks that the page fits the window, in every look it has.
func look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("GATEHOUSE_TEST_SCREENSHOTS")
	for _, width := range []int64{1280, 390} {
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
				if folder == "" { // painting takes longer than everything else
					return nil
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

package idptest

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/servertest"
)

// Browser walks from page to page with cookies, and stops where the application begins: at an address of App.
type Browser struct {
	t      testing.TB
	client *http.Client
	stops  []string
}

// App is the application's redirect address in tests. Nobody answers there.
const App = "https://app.example.com/callback"

// Page is where a browser came to.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
}

// NewBrowser makes a browser that finds the server under its public address.
func NewBrowser(t testing.TB, s *servertest.Server) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t: t, client: &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: toServer{s}}}
	b.client.CheckRedirect = b.follow
	return b
}

// follow tells whether to go on.
func (b *Browser) follow(r *http.Request, via []*http.Request) error {
	at := r.URL.String()
	for _, prefix := range append(b.stops, "https://app.example.com/") {
		if strings.HasPrefix(at, prefix) || len(via) > 15 {
			return http.ErrUseLastResponse
		}
	}
	return nil
}

// toServer sends what is for the public address to where the server is.
type toServer struct{ s *servertest.Server }

// RoundTrip sends a request.
func (to toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	public, _ := url.Parse(servertest.PublicURL)
	if r.URL.Host == public.Host {
		at, _ := url.Parse(to.s.URL)
		r = r.Clone(r.Context())
		r.Host, r.URL.Scheme, r.URL.Host = public.Host, at.Scheme, at.Host
	}
	return http.DefaultTransport.RoundTrip(r)
}

// On makes the browser find another node under the public address, with the cookies it has.
func (b *Browser) On(s *servertest.Server) *Browser {
	n := &Browser{t: b.t, client: &http.Client{Jar: b.client.Jar, Timeout: b.client.Timeout, Transport: toServer{s}}}
	n.client.CheckRedirect = n.follow
	return n
}

// Open goes to an address and on to wherever it leads.
func (b *Browser) Open(address string) Page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// Submit posts a form.
func (b *Browser) Submit(address string, form url.Values) Page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func (b *Browser) do(req *http.Request) Page {
	b.t.Helper()
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := Page{res.Request.URL, res.StatusCode, res.Header, string(body)}
	if to := res.Header.Get("Location"); to != "" {
		if p.URL, err = res.Request.URL.Parse(to); err != nil {
			b.t.Fatal(err)
		}
	}
	return p
}

// Stop makes the browser stop before it follows a redirect to an address that begins like this.
func (b *Browser) Stop(prefix string) { b.stops = append(b.stops, prefix) }

// Go makes it stop nowhere but at the application.
func (b *Browser) Go() { b.stops = nil }

// AtApp tells whether the browser came back to the application.
func (p Page) AtApp() bool { return strings.HasPrefix(p.URL.String(), App) }

// Get is a parameter of the address.
func (p Page) Get(name string) string { return p.URL.Query().Get(name) }

var (
	formAction = regexp.MustCompile(`(?is)<form[^>]*action="([^"]*)"`)
	formInput  = regexp.MustCompile(`(?is)<input[^>]*>`)
	inputName  = regexp.MustCompile(`(?is)\bname="([^"]*)"`)
	inputValue = regexp.MustCompile(`(?is)\bvalue="([^"]*)"`)
)

// Form reads the first form of a page: where it goes, and what is in it.
func (p Page) Form() (action string, values url.Values) {
	m := formAction.FindStringSubmatch(p.Body)
	if m == nil {
		return "", nil
	}
	to, err := p.URL.Parse(html.UnescapeString(m[1]))
	if err != nil {
		return "", nil
	}
	values = url.Values{}
	for _, input := range formInput.FindAllString(p.Body, -1) {
		name, value := inputName.FindStringSubmatch(input), inputValue.FindStringSubmatch(input)
		if name == nil {
			continue
		}
		text := ""
		if value != nil {
			text = html.UnescapeString(value[1])
		}
		values.Set(html.UnescapeString(name[1]), text)
	}
	return to.String(), values
}

// Verifier is what an application that begins a sign-in keeps.
const Verifier = "an-application-keeps-this-to-itself-0123456789"

// Challenge is what it shows of it.
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Start is the address at which a sign-in begins. more are further parameters; an empty one takes its default away.
func Start(provider string, more ...string) string {
	q := url.Values{"code_challenge": {Challenge(Verifier)}, "code_challenge_method": {"S256"}, "redirect_uri": {App},
		"state": {"of the application"}}
	for i := 0; i < len(more); i += 2 {
		if more[i+1] == "" {
			q.Del(more[i])
		} else {
			q.Set(more[i], more[i+1])
		}
	}
	return servertest.PublicURL + "/v1/auth/sso/" + provider + "?" + q.Encode()
}

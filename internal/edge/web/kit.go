package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/urgent"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
)

// Options are what the kit needs from the outside.
type Options struct {
	PublicURL      *url.URL
	TenantHosts    []string       // host names whose first label is a tenant's slug
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; none by default
	Log            *slog.Logger
	Authenticator  *authn.Authenticator
	Organizations  *organization.Service
	Metrics        prometheus.Registerer
	MaxRequests    int // at once; 0: no bound
	Now            func() time.Time
}

// Kit serves routes.
type Kit struct {
	o        Options
	origin   string // of the public URL
	mux      *http.ServeMux
	routes   []Route
	raw      []rawRoute
	shapes   []shape
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	ignored  prometheus.Counter
	bound    bound
	shed     prometheus.Counter
}

// Info is what the pipeline knows of a request. Handlers get it from the context; services get its parts as arguments.
type Info struct {
	Route     *Route
	Source    principal.Source
	Principal principal.Principal
	Cookie    bool          // the credential came by cookie
	Request   *http.Request // for the few handlers of cookies and origins

	path   string
	logger *slog.Logger
}

func (i *Info) log() *slog.Logger {
	if i.logger == nil {
		return slog.Default()
	}
	return i.logger
}

type infoKey struct{}

var (
	noRoute = &Route{}
	noInfo  = &Info{Route: noRoute}
)

// InfoOf gives what the pipeline put into the context.
func InfoOf(ctx context.Context) *Info {
	if i, ok := ctx.Value(infoKey{}).(*Info); ok {
		return i
	}
	return noInfo
}

// New makes a kit without routes.
func New(o Options) *Kit {
	k := &Kit{o: o, bound: bound{most: int64(o.MaxRequests)}, origin: o.PublicURL.Scheme + "://" + o.PublicURL.Host,
		mux: http.NewServeMux(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_http_request_duration_seconds", Help: "Time to answer, by route and status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"method", "route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_http_requests_in_flight",
			Help: "Requests being answered."}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_http_requests_shed_total",
			Help: "Requests sent away because too many were being answered."}),
		ignored: prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_forwarded_ignored_total",
			Help: "Requests whose X-Forwarded-For came from an address that is not trusted."})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(k.duration, k.inFlight, k.ignored, k.shed)
	}
	k.mux.HandleFunc("/", k.unmatched)
	return k
}

// Routes lists what is served.
func (k *Kit) Routes() []Route { return slices.Clone(k.routes) }

type shape struct {
	prefix string
	write  ErrorWriter
}

// Shape writes the failures of everything at and below a path that is no route (unknown paths, wrong methods) in a
// protocol's own form.
func (k *Kit) Shape(prefix string, write ErrorWriter) {
	k.shapes = append(k.shapes, shape{prefix, write})
}

// writeError writes a failure before a route is found, or instead of one.
func (k *Kit) writeError(w http.ResponseWriter, r *http.Request, err error) {
	for _, s := range k.shapes {
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), s.prefix); ok && (rest == "" || rest[0] == '/') {
			s.write(w, r, err)
			return
		}
	}
	WriteProblem(w, r, err)
}

// Handle adds a route. A route that does not say what it demands is a programming error.
func (k *Kit) Handle(route Route, h http.Handler) {
	if wrong := route.check(); wrong != "" {
		panic(fmt.Sprintf("web: %s %s %s", route.Method, route.Pattern, wrong))
	}
	if route.WriteError == nil {
		route.WriteError = WriteProblem
	}
	if route.MaxBody == 0 {
		route.MaxBody = DefaultMaxBody
	}
	route.observers = new([len(usual)]atomic.Pointer[prometheus.Observer])
	k.routes = append(k.routes, route)
	k.mux.Handle(strings.TrimLeft(route.Method+" "+route.Pattern, " "), k.guard(route, h))
}

// HandleFunc adds a route whose handler leaves its failures to the route's own form.
func (k *Kit) HandleFunc(route Route, h func(w http.ResponseWriter, r *http.Request) error) {
	k.Handle(route, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			InfoOf(r.Context()).Route.WriteError(w, r, err)
		}
	}))
}

// HandleRaw serves a path and everything below it for any method and however the rest of the path is spelled: for
// proxies that ask about a request by repeating it. The handler judges path and credential itself.
func (k *Kit) HandleRaw(route Route, h http.Handler) {
	if wrong := route.check(); wrong != "" {
		panic(fmt.Sprintf("web: %s %s", route.Pattern, wrong))
	}
	route.observers = new([len(usual)]atomic.Pointer[prometheus.Observer])
	k.routes = append(k.routes, route)
	k.raw = append(k.raw, rawRoute{route, h})
}

type rawRoute struct {
	route Route
	next  http.Handler
}

// serveRaw finds the raw route of a request.
func (k *Kit) serveRaw(w http.ResponseWriter, r *http.Request, info *Info) bool {
	for i := range k.raw {
		raw := &k.raw[i]
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), raw.route.Pattern); ok && (rest == "" || rest[0] == '/') {
			info.Route, info.Request = &raw.route, r
			raw.next.ServeHTTP(w, r)
			return true
		}
	}
	return false
}

// ServeHTTP is the way of every request.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	k.inFlight.Inc()
	defer k.inFlight.Dec()
	counted, ok := k.bound.enter(r)
	if counted {
		defer k.bound.leave()
	}
	info := &Info{Route: noRoute, Source: principal.Source{Request: id.New[id.Request](),
		Address: ClientAddress(r, k.o.TrustedProxies), UserAgent: printable(r.UserAgent())}, path: r.URL.EscapedPath(),
		logger: k.o.Log}
	if len(r.Header["X-Forwarded-For"]) > 0 && !fromTrusted(r, k.o.TrustedProxies) {
		k.ignored.Inc()
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	if counted {
		rec.bound = &k.bound
	}
	ctx := context.WithValue(r.Context(), infoKey{}, info)
	if takesAway(r) {
		ctx = urgent.With(ctx)
	}
	r = r.WithContext(ctx)
	h := w.Header()
	h["X-Request-Id"] = []string{string(info.Source.Request)}
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Content-Security-Policy"] = strictPolicy
	if k.o.PublicURL.Scheme == "https" {
		h["Strict-Transport-Security"] = strictTransport
	}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			k.o.Log.ErrorContext(r.Context(), "panic", "requestId", info.Source.Request, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
			if !rec.wrote {
				k.writeError(rec, r, errors.New("panic"))
			}
		}
		k.observe(info.Route, rec.status, time.Since(start))
		if k.o.Log.Enabled(r.Context(), slog.LevelDebug) {
			k.o.Log.LogAttrs(r.Context(), slog.LevelDebug, "request",
				slog.String("requestId", string(info.Source.Request)), slog.String("method", r.Method),
				slog.String("route", info.Route.Pattern),
				slog.Int("status", rec.status), slog.Duration("took", time.Since(start)),
				slog.String("address", info.Source.Address))
		}
	}()
	if !ok {
		k.shed.Inc()
		k.writeError(rec, r, fault.Unavailablef(time.Second, "The server has too much to do. Try again shortly."))
		return
	}
	if k.serveRaw(rec, r, info) {
		return
	}
	if oddQuery(r.URL.RawQuery) {
		k.writeError(rec, r, fault.Invalidf("query", "must be UTF-8 without NUL, percent-encoded"))
		return
	}
	if oddPath(r) {
		k.writeError(rec, r, fault.NotFoundf("There is nothing at this path."))
		return
	}
	if origin := r.Header["Origin"]; len(origin) > 0 {
		if done := k.crossOrigin(rec, r, origin[0]); done {
			return
		}
	}
	k.mux.ServeHTTP(rec, r)
}

// usual are the statuses whose histograms a route keeps at hand: finding one by its labels costs more than observing.
var usual = [...]int{200, 201, 204, 400, 401, 403, 404, 409, 429, 500, 503}

func (k *Kit) observe(route *Route, status int, took time.Duration) {
	i := slices.Index(usual[:], status)
	if i < 0 || route == noRoute {
		k.duration.WithLabelValues(route.Method, route.Pattern, strconv.Itoa(status)).Observe(took.Seconds())
		return
	}
	o := route.observers[i].Load()
	if o == nil {
		found := k.duration.WithLabelValues(route.Method, route.Pattern, strconv.Itoa(status))
		o = &found
		route.observers[i].Store(o)
	}
	(*o).Observe(took.Seconds())
}

var (
	nosniff         = []string{"nosniff"}
	noStore         = []string{"no-store"}
	strictPolicy    = []string{"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}
	strictTransport = []string{"max-age=31536000; includeSubDomains"}
)

type recorder struct {
	http.ResponseWriter
	bound  *bound // that counts the request; nil: none does
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	if r.bound == nil {
		return r.ResponseWriter.Write(b)
	}
	return r.bound.write(r.ResponseWriter, b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// maxPrintable is how much of a header is kept for people to read.
const maxPrintable = 300

// printable makes a header safe to store and show: UTF-8 without control characters, not too long.
func printable(s string) string {
	plain := len(s) <= maxPrintable
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unicode.IsControl(r) {
			continue
		}
		if n++; n > maxPrintable {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// oddQuery finds what no database keeps as text.
func oddQuery(raw string) bool {
	if raw == "" {
		return false
	}
	if _, err := url.ParseQuery(raw); err != nil {
		return true
	}
	q, err := url.QueryUnescape(raw)
	return err != nil || !utf8.ValidString(q) || strings.IndexByte(q, 0) >= 0
}

// oddPath finds paths that two parsers could read differently. No route of ours needs them, so they are nothing.
func oddPath(r *http.Request) bool {
	p := r.URL.EscapedPath()
	if p == "" || p[0] != '/' || len(p) > 2048 {
		return true
	}
	return strings.Contains(p, "//") || strings.ContainsAny(p, ";\\%") || strings.Contains(p+"/", "/./") ||
		strings.Contains(p+"/", "/../")
}

// unmatched tells a wrong method from a wrong path.
func (k *Kit) unmatched(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := k.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) == 0 {
		k.writeError(w, r, fault.NotFoundf("There is nothing at this path."))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	k.writeError(w, r, fault.New(fault.MethodNotAllowed, fault.CodeMethodNotAllowed,
		"This path takes "+strings.Join(allowed, ", ")+"."))
}

// guard is what stands before a handler: body limits, then the credential, then the permission. Only then is input
// read.
func (k *Kit) guard(route Route, next http.Handler) http.Handler {
	wanted := route.permissions()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := InfoOf(r.Context())
		info.Route, info.Request = &route, r
		if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
			span.SetName(route.Method + " " + route.Pattern)
			span.SetAttributes(attribute.String("http.route", route.Pattern),
				attribute.String("gatehouse.request_id", string(info.Source.Request)))
		}
		if route.Public == "" {
			if err := k.admit(w, r, info, wanted); err != nil {
				if fault.Is(err, fault.Forbidden) {
					k.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "denied",
						slog.String("requestId", string(info.Source.Request)),
						slog.String("route", route.Method+" "+route.Pattern),
						slog.String("principal", info.Principal.ID),
						slog.String("organization", string(info.Principal.Home)),
						slog.String("address", info.Source.Address), slog.String("why", fault.Of(err).Message))
				}
				route.WriteError(w, r, err)
				return
			}
		}
		if err := limitBody(w, r, route); err != nil {
			route.WriteError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (k *Kit) admit(w http.ResponseWriter, r *http.Request, info *Info, wanted [][2]string) error {
	if err := k.Identify(w, r, info, r.Method); err != nil {
		return err
	}
	allowed := len(wanted) == 0
	for _, want := range wanted {
		allowed = allowed || info.Principal.Scope(want[0], want[1]) > permission.None
	}
	if !allowed {
		return fault.Forbiddenf("This needs the permission %s.", strings.ReplaceAll(info.Route.Permission, "|", " or "))
	}
	if info.Route.StepUp {
		return k.stepUp(r, info)
	}
	return nil
}

// stepUp asks a person whose last proof is old for a newer one, and one whose session began before they had a second
// factor for that: whoever held their password then must not remove the factor now. A sign-in that waits has no
// session; its token is its proof for as long as it works. Machines have none; what they may do is in their
// permissions.
func (k *Kit) stepUp(r *http.Request, info *Info) error {
	if info.Principal.Kind != principal.User || info.Principal.Session == "" {
		return nil
	}
	org, err := k.o.Organizations.Facts(r.Context(), info.Principal.Home)
	if err != nil {
		return err
	}
	if info.Principal.Weak || k.o.Now().Sub(info.Principal.AuthTime) > org.Settings.StepUp() {
		return login.ErrStepUp(org)
	}
	return nil
}

// Identify turns the credential of a request into the principal of info, if the route accepts its kind. method is what
// the caller wants done, which for a proxy that asks is not the method of its question; empty: not known.
func (k *Kit) Identify(w http.ResponseWriter, r *http.Request, info *Info, method string) error {
	c, err := authn.Read(r)
	if err != nil {
		return err
	}
	slug, err := TenantSlug(r)
	if err != nil {
		return err
	}
	res, err := k.o.Authenticator.Authenticate(r.Context(), c, info.Route.Accepts,
		authn.Request{Source: info.Source, TenantSlug: slug, Account: r.PathValue(AccountParameter), Method: method,
			Path: info.Route.Pattern, HTTP: r})
	WriteLimit(w.Header(), res.Limit)
	if err != nil {
		return err
	}
	info.Principal, info.Cookie = res.Principal, c.FromCookie
	return k.checkOrigin(w, r, info, c.Kind == authn.Password, method)
}

// WriteLimit tells where a limit stands (draft-ietf-httpapi-ratelimit-headers, the three fields); no limit, no headers.
func WriteLimit(h http.Header, d ratelimit.Decision) {
	if d.Limit == 0 {
		return
	}
	v := [...]string{strconv.Itoa(d.Limit), strconv.Itoa(d.Remaining), strconv.Itoa(int(math.Ceil(d.Reset.Seconds())))}
	h["RateLimit-Limit"], h["RateLimit-Remaining"], h["RateLimit-Reset"] = v[0:1:1], v[1:2:2], v[2:3:3]
}

func limitBody(w http.ResponseWriter, r *http.Request, route Route) error {
	if r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength > route.MaxBody {
		return fault.New(fault.TooLarge, fault.CodeTooLarge,
			fmt.Sprintf("The body may have at most %d bytes.", route.MaxBody))
	}
	r.Body = http.MaxBytesReader(w, r.Body, route.MaxBody)
	types := route.BodyTypes
	if types == nil {
		types = jsonOnly
	}
	if types[0] == "*" {
		return nil
	}
	// A body without a type is refused as well: browsers send one across sites without asking first.
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(types, got) {
		return fault.New(fault.UnsupportedMedia, fault.CodeUnsupportedMedia,
			"Send the body as "+strings.Join(types, " or ")+".")
	}
	return nil
}

var jsonOnly = []string{"application/json"}

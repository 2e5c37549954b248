package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
)

// Options are what the kit needs from the outside.
type Options struct {
	PublicURL      *url.URL
	TenantHosts    []string       // host names whose first label is a tenant's slug
	TrustedProxies []netip.Prefix // whose word about other addresses is believed; none by default
	Forwarded      string         // ForwardedFor or Forwarded: where they tell the client's address
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
	unread   prometheus.Counter
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

	path    string
	counted bool // against the limit of its credential
	logger  *slog.Logger
}

// Log is where the server logs.
func (i *Info) Log() *slog.Logger { return i.log() }

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
			Help: "Requests whose client address was told by a peer that is not trusted."}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_forwarded_unreadable_total",
			Help: "Requests whose client address was told by a trusted proxy and could not be read."})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(k.duration, k.inFlight, k.ignored, k.unread, k.shed)
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

// TryLink does what the secret of a link allows, unless too many from the caller's network were nobody's.
func (k *Kit) TryLink(ctx context.Context, try func() error) error {
	return k.o.Authenticator.TryLink(ctx, InfoOf(ctx).Source.Address, try)
}

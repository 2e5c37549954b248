package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/urgent"
)

// ServeHTTP is the way of every request.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	k.inFlight.Inc()
	defer k.inFlight.Dec()
	counted, ok := k.bound.enter(r)
	if counted {
		defer k.bound.leave()
	}
	address, readable := ClientAddress(r, k.o.Forwarded, k.o.TrustedProxies)
	info := &Info{Route: noRoute, Source: principal.Source{Request: id.New[id.Request](),
		Address: address, UserAgent: printable(r.UserAgent())}, path: r.URL.EscapedPath(), logger: k.o.Log}
	if !readable {
		k.unread.Inc()
	}
	if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
		// instead of what is in X-Forwarded-For, whoever wrote that
		span.SetAttributes(attribute.String("client.address", address))
	}
	if len(r.Header[k.o.Forwarded]) > 0 && !fromTrusted(r, k.o.TrustedProxies) {
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
	r = r.WithContext(ctx) // a copy: net/http goes by the body of its own request
	rec.body = receive(r, rec.bound)
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
		if !rec.wrote {
			rec.body.settle(w)
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
	bound  *bound    // that counts the request; nil: none does
	body   *incoming // nil: there is none
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
		r.body.settle(r.ResponseWriter)
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if !r.wrote {
		r.wrote = true
		r.body.settle(r.ResponseWriter)
	}
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

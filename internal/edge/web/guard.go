package web

import (
	"fmt"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
)

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
		if err := checkQuery(r, route.Query); err != nil {
			route.WriteError(w, r, err)
			return
		}
		if err := limitBody(w, r, route); err != nil {
			route.WriteError(w, r, err)
			return
		}
		if route.Public == "" && r.ContentLength != 0 {
			r.Body = &admitted{r.Body, time.Now(), func() error { return k.admit(w, r, info, wanted) }}
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
			Path: info.Route.Pattern, Lags: info.Route.Lags, Counted: info.counted, HTTP: r})
	WriteLimit(w.Header(), res.Limit)
	if err != nil {
		return err
	}
	info.Principal, info.Cookie, info.counted = res.Principal, c.FromCookie, true
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
	r.Body = &unmarked{ReadCloser: http.MaxBytesReader(w, r.Body, route.MaxBody)}
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

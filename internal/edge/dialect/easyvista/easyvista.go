package easyvista

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Deps are what is behind the endpoints.
type Deps struct {
	PublicURL     *url.URL
	Now           func() time.Time
	Cursors       web.Cursors
	Organizations *organization.Service
	Users         *user.Service
	Credentials   *credential.Service
	Desk          *servicedesk.Service
}

const (
	prefix = "/api/v1"
	base   = prefix + "/{" + web.AccountParameter + "}"
)

// accepts are an access token, or user name and password with each request where the organization has not switched that
// off.
var accepts = []authn.Kind{authn.AccessToken, authn.Password}

// Register adds the routes.
func Register(kit *web.Kit, s Deps) {
	kit.Shape(prefix, writeError)
	handle := func(method, path, permission string, h func(w http.ResponseWriter, r *http.Request) error) {
		kit.HandleFunc(web.Route{Method: method, Pattern: base + path, Permission: permission, Accepts: accepts,
			WriteError: writeError}, h)
	}
	handle(http.MethodGet, "/tokens", "access_tokens:read", s.listTokens)
	handle(http.MethodPost, "/tokens", "access_tokens:create", s.createToken)
	handle(http.MethodGet, "/tokens/{id}", "access_tokens:read", s.getToken)
	handle(http.MethodPut, "/tokens/{id}", "access_tokens:update", s.updateToken)
	handle(http.MethodDelete, "/tokens/{id}", "access_tokens:delete", s.revokeToken)
	handle(http.MethodGet, "/requests", "tickets:read", s.listRequests)
	handle(http.MethodGet, "/requests/{id}", "tickets:read", s.getRequest)
}

// href is the address of something in the account, as the caller named it.
func (s Deps) href(r *http.Request, parts ...string) string {
	return s.PublicURL.String() + prefix + "/" + r.PathValue(web.AccountParameter) + "/" + strings.Join(parts, "/")
}

// list is a page of records.
type list[T any] struct {
	HREF    string `json:"HREF"`
	Count   int    `json:"record_count"`
	Total   int64  `json:"total_record_count"`
	Records []T    `json:"records"`
	Next    string `json:"@next,omitzero"`
}

// The sizes of a page.
const (
	defaultRows = 100
	maxRows     = 1000
)

func rows(r *http.Request) (int, error) {
	text := r.URL.Query().Get("max_rows")
	if text == "" {
		return defaultRows, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRows {
		return 0, fault.Invalidf("max_rows", "must be from 1 to %d", maxRows)
	}
	return n, nil
}

// writeList answers with the first most of rows, which hold one more if there is another page. filters are the query's,
// and part of the cursor.
func writeList[R, T any](s Deps, w http.ResponseWriter, r *http.Request, name string, filters url.Values, rows []R,
	most int, total int64, key func(R) string, show func(R) (T, error)) error {
	l := list[T]{HREF: s.href(r, name), Total: total}
	if len(rows) > most {
		rows = rows[:most]
		next := url.Values{"max_rows": {strconv.Itoa(most)},
			"cursor": {s.Cursors.Encode(key(rows[most-1]), scope(r, name, filters)...)}}
		for k := range filters {
			if filters.Get(k) != "" {
				next.Set(k, filters.Get(k))
			}
		}
		l.Next = l.HREF + "?" + next.Encode()
	}
	for _, row := range rows {
		v, err := show(row)
		if err != nil {
			return err
		}
		l.Records = append(l.Records, v)
	}
	l.Count = len(l.Records)
	web.WriteJSON(w, http.StatusOK, l)
	return nil
}

// scope binds a cursor to its list, organization and filters.
func scope(r *http.Request, name string, filters url.Values) []string {
	return []string{prefix, name, string(web.InfoOf(r.Context()).Principal.Organization), filters.Encode()}
}

func (s Deps) position(r *http.Request, name string, filters url.Values) (string, error) {
	return s.Cursors.Decode(r.URL.Query().Get("cursor"), scope(r, name, filters)...)
}

// moment writes an instant in UTC; none is null.
func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}

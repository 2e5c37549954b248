package securithings

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/grant"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/oautherr"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Deps are what is behind the endpoint.
type Deps struct {
	Clients *clientauth.Authenticator
	Tokens  *token.Service
}

const (
	prefix  = "/token"
	maxBody = 32 << 10
)

// Register adds the route.
func Register(kit *web.Kit, d Deps) {
	grants := grant.New(d.Clients, d.Tokens)
	kit.Shape(prefix, oautherr.Write)
	route := web.Route{Method: http.MethodPost, Pattern: prefix + "/{organization}",
		Public: "the client authenticates itself", MaxBody: maxBody, BodyTypes: []string{"*"},
		WriteError: oautherr.Write}
	kit.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1; Cache-Control: no-store is everywhere
		return answerWith(grants, w, r)
	})
}

type request struct {
	grant.Request
	clientID, secret string // what the body repeats of the Basic header
}

func bad(message string) error { return fault.New(fault.Invalid, fault.CodeValidation, message) }

// read takes the parameters from whichever body there is. None at all asks for all that the client may have.
func read(r *http.Request) (request, error) {
	if r.URL.RawQuery != "" {
		return request{}, bad("Send the parameters in the body: addresses are logged.")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return request{}, fault.New(fault.TooLarge, fault.CodeTooLarge, "The body is too large, or was cut short.")
	}
	if strings.TrimSpace(string(body)) == "" {
		return request{Request: grant.Request{Type: grant.ClientCredentials}}, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	var q request
	switch kind {
	case "application/json":
		q, err = readJSON(body)
	case "application/x-www-form-urlencoded":
		q, err = readForm(string(body))
	default:
		return request{}, bad("Send no body, a JSON object (application/json) or a form " +
			"(application/x-www-form-urlencoded).")
	}
	if err == nil && q.Type == "" {
		err = bad("grant_type is missing.")
	}
	return q, err
}

func readJSON(body []byte) (request, error) {
	var in struct {
		Grant     string         `json:"grant_type"`
		Scope     string         `json:"scope"`
		Resource  string         `json:"resource"`
		Audience  string         `json:"audience"`
		Refresh   string         `json:"refresh_token"`
		ClientID  string         `json:"client_id"`
		Secret    string         `json:"client_secret"`
		Assertion jsontext.Value `json:"client_assertion"`
	}
	if body = []byte(strings.TrimSpace(string(body))); body[0] != '{' {
		return request{}, bad("The body must be a JSON object.")
	}
	if err := web.DecodeJSON(body, &in); err != nil {
		return request{}, err
	}
	if given(in.Assertion) {
		return request{}, errTwoWays()
	}
	return request{grant.Request{Type: in.Grant, Scope: in.Scope, Resource: in.Resource, Audience: in.Audience,
		Refresh: in.Refresh}, in.ClientID, in.Secret}, nil
}

// given tells whether a member has a value; an empty one is none (RFC 6749 §3.2).
func given(v jsontext.Value) bool {
	return len(v) > 0 && string(v) != "null" && string(v) != `""`
}

func readForm(body string) (request, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return request{}, bad("The body is not a form.")
	}
	for _, values := range form {
		if len(values) > 1 { // RFC 6749 §3.2
			return request{}, bad("A parameter is given more than once.")
		}
	}
	if form.Get("client_assertion") != "" {
		return request{}, errTwoWays()
	}
	return request{grant.Request{Type: form.Get("grant_type"), Scope: form.Get("scope"),
		Resource: form.Get("resource"), Audience: form.Get("audience"), Refresh: form.Get("refresh_token")},
		form.Get("client_id"), form.Get("client_secret")}, nil
}

func errTwoWays() error {
	return bad("The client authenticates with HTTP Basic here, and with nothing else.")
}

type answer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope,omitzero"`
	RefreshToken string `json:"refresh_token,omitzero"`
}

func answerWith(grants *grant.Endpoint, w http.ResponseWriter, r *http.Request) error {
	q, err := read(r)
	if err != nil {
		return err
	}
	c, err := clientauth.ReadBasic(r, q.clientID, q.secret)
	if err != nil {
		return err
	}
	q.Source = web.InfoOf(r.Context()).Source
	pair, limit, err := grants.Answer(r.Context(),
		clientauth.Door{Door: token.SecuriThings, Organization: r.PathValue("organization")}, c, q.Request)
	web.WriteLimit(w.Header(), limit)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, answer{pair.Access, "Bearer", int64(pair.ExpiresIn / time.Second),
		pair.Scope.Line(), pair.Refresh})
	return nil
}

package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2/clientcredentials"

	"golang.org/x/oauth2"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
)

// groupReader reads groups that a token leaves out.
type groupReader struct {
	get    *outbound.Client
	places connection.Places
	now    func() time.Time
	known  *bounded.Cache[bounded.Key, knownGroups]
}

// knownGroups are those that were read a moment ago.
type knownGroups struct {
	groups []string
	at     time.Time
}

func newGroupReader(get *outbound.Client, places connection.Places, now func() time.Time) *groupReader {
	return &groupReader{get, places, now, bounded.New[knownGroups](10_000)}
}

const groupsTimeout = 8 * time.Second

// readGroups completes an answer whose groups are not in the token, where rules ask for them.
func (o *OpenID) readGroups(ctx context.Context, c connection.Connection, d *document, a *Answer,
	token *oauth2.Token) error {
	if a.GroupsKnown || len(c.Roles.Rules) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, groupsTimeout)
	defer cancel()
	var groups []string
	var err error
	if c.Kind == connection.Google {
		groups, err = o.groups.google(ctx, c, d, *a, token)
	} else {
		_, object, _ := strings.Cut(a.Subject, ":")
		groups, err = o.groups.graph(ctx, c, d, object, o.assertion)
	}
	if err == nil {
		a.Groups, a.GroupsKnown = groups, true
	}
	return err
}

// graph asks Microsoft Graph, at the address of the connection's own cloud and never at one that a token names, for all
// groups that somebody is in, nested ones included.
func (g *groupReader) graph(ctx context.Context, c connection.Connection, d *document, object string,
	assertion func(connection.Connection, string) (string, error)) ([]string, error) {
	base := g.places.Authorities[c.OpenID.Authority]
	if base == "" {
		return nil, errors.New("there is no Graph for this cloud")
	}
	cfg := clientcredentials.Config{ClientID: c.OpenID.ClientID, TokenURL: d.TokenEndpoint,
		Scopes: []string{base + "/.default"}, AuthStyle: oauth2.AuthStyleInParams}
	if c.OpenID.Authentication == connection.PrivateKeyJWT {
		text, err := assertion(c, d.TokenEndpoint)
		if err != nil {
			return nil, err
		}
		cfg.EndpointParams = url.Values{"client_assertion": {text},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	} else {
		cfg.ClientSecret = c.Secrets.ClientSecret.Reveal()
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, g.get.HTTP())
	token, err := cfg.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("token for Graph: %w", err)
	}
	var out []string
	address := base + "/v1.0/users/" + url.PathEscape(object) + "/getMemberObjects"
	body, err := json.Marshal(map[string]any{"securityEnabledOnly": false})
	if err != nil {
		return nil, err
	}
	for range maxGroups / 100 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
		req.Header.Set("Content-Type", "application/json")
		var page struct {
			Value []string `json:"value"`
			Next  string   `json:"@odata.nextLink"`
		}
		if err := answer(g.get.HTTP(), req, &page); err != nil {
			return nil, fmt.Errorf("groups from Graph: %w", err)
		}
		out = append(out, page.Value...)
		if page.Next == "" {
			return out, nil
		}
		if !strings.HasPrefix(page.Next, base+"/") {
			return nil, errors.New("Graph names a next page elsewhere")
		}
		address = page.Next
	}
	return nil, errors.New("there are too many groups")
}

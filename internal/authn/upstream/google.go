package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
)

// google holds a token of Google to the company's Workspace domains: hd is there for Workspace accounts only, and an
// address outside of one is nobody's word.
func google(a *Answer, r *report, c connection.Connection, told claims) {
	hosted, _ := told["hd"].(string)
	r.want("hosted_domain", hosted != "" && slices.Contains(c.OpenID.HostedDomains, hosted), told["hd"],
		"The person must be of one of the Workspace domains in hostedDomains; private Google accounts are of none.")
	verified, _ := told["email_verified"].(bool)
	r.want("email_verified", verified, told["email_verified"], "Google must say that the address is verified.")
	a.EmailVerified = verified && spoken(c.Mapping)
	if len(c.Mapping.Groups) == 0 { // in no token: they are read elsewhere, or not known
		a.Groups, a.GroupsKnown = nil, c.OpenID.Directory == nil
	}
}

// Google groups are read one level at a time; who is in a group is in those that it is in.
const (
	maxGroupCalls = 100
	groupsKept    = 5 * time.Minute
)

// google reads the groups of somebody from the Directory API, nested ones by walking up, or from Cloud Identity.
func (g *groupReader) google(ctx context.Context, c connection.Connection, d *document, a Answer,
	own *oauth2.Token) ([]string, error) {
	at := bounded.Key{Scope: string(c.ID), ID: fmt.Sprint(c.UpdatedAt.UnixMilli()) + " " + a.Subject}
	if k, ok := g.known.Get(at); ok && g.now().Sub(k.at) < groupsKept {
		return k.groups, nil
	}
	ask := func(ctx context.Context, who string) ([]string, error) { return g.identity(ctx, who, own.AccessToken) }
	who := a.Email
	if !c.OpenID.Directory.OwnToken {
		token, err := g.grant(ctx, c, d)
		if err != nil {
			return nil, err
		}
		who = a.Subject // the directory knows people by it too, and it never changes
		ask = func(ctx context.Context, who string) ([]string, error) { return g.directory(ctx, who, token) }
	}
	seen, order := map[string]bool{}, []string{}
	queue := []string{who}
	for calls := 0; len(queue) > 0; calls++ {
		if calls >= maxGroupCalls {
			return nil, errors.New("the groups are nested too widely")
		}
		next := queue[0]
		queue = queue[1:]
		groups, err := ask(ctx, next)
		if err != nil {
			return nil, err
		}
		for _, group := range groups {
			if !seen[group] {
				seen[group] = true
				order, queue = append(order, group), append(queue, group)
			}
		}
		if c.OpenID.Directory.OwnToken {
			break // it tells about the person alone
		}
	}
	g.known.Set(at, knownGroups{order, g.now()})
	return order, nil
}

// grant gets a token for the service account (RFC 7523 §2.1).
func (g *groupReader) grant(ctx context.Context, c connection.Connection, d *document) (string, error) {
	account, err := connection.ParseAccount(c.Secrets.Account)
	if err != nil {
		return "", fmt.Errorf("the service account %w", err)
	}
	subject := account.Email
	if as := c.OpenID.Directory.DelegateAs; as != "" {
		subject = as
	}
	assertion, err := signAssertion(account.Signer, "", account.Email, subject, d.TokenEndpoint, g.now(),
		map[string]any{"scope": connection.DirectoryScope})
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		Token string `json:"access_token"`
	}
	if err := answer(g.get.HTTP(), req, &got); err != nil {
		return "", fmt.Errorf("token for the Directory API: %w", err)
	}
	return got.Token, nil
}

// directory gives the groups that a person or a group is in directly, by address.
func (g *groupReader) directory(ctx context.Context, who, token string) (out []string, err error) {
	page := ""
	for range 10 {
		q := url.Values{"userKey": {who}, "maxResults": {"200"}}
		if page != "" {
			q.Set("pageToken", page)
		}
		var list struct {
			Groups []struct {
				Email string `json:"email"`
			} `json:"groups"`
			Next string `json:"nextPageToken"`
		}
		err := g.ask(ctx, g.places.Directory+"/admin/directory/v1/groups?"+q.Encode(), token, &list)
		if err != nil {
			return nil, fmt.Errorf("groups from the Directory API: %w", err)
		}
		for _, group := range list.Groups {
			out = append(out, group.Email)
		}
		if page = list.Next; page == "" {
			return out, nil
		}
	}
	return nil, errors.New("there are too many groups")
}

// identity gives the groups of a person with their own token.
func (g *groupReader) identity(ctx context.Context, who, token string) (out []string, err error) {
	page := ""
	for range 10 {
		q := url.Values{"query": {"member_key_id == '" + strings.ReplaceAll(who, "'", "") + "'"}, "pageSize": {"200"}}
		if page != "" {
			q.Set("pageToken", page)
		}
		var list struct {
			Memberships []struct {
				Group struct {
					ID string `json:"id"`
				} `json:"groupKey"`
			} `json:"memberships"`
			Next string `json:"nextPageToken"`
		}
		err := g.ask(ctx, g.places.Identity+"/v1/groups/-/memberships:searchDirectGroups?"+q.Encode(), token, &list)
		if err != nil {
			return nil, fmt.Errorf("groups from Cloud Identity: %w", err)
		}
		for _, m := range list.Memberships {
			out = append(out, m.Group.ID)
		}
		if page = list.Next; page == "" {
			return out, nil
		}
	}
	return nil, errors.New("there are too many groups")
}

func (g *groupReader) ask(ctx context.Context, address, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return answer(g.get.HTTP(), req, into)
}

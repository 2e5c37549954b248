package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// byID are the commands about one credential.
type byID struct {
	inTenant
	ID string `arg:"" help:"The credential's id."`
}

type rotation struct {
	byID
	Overlap time.Duration `help:"How long the present value goes on working, such as 24h."`
}

// key: API keys.
type keyCommand struct {
	Create keyCreate `cmd:"" help:"Make an API key. It belongs to the organization unless --owner names a user."`
	List   keyList   `cmd:"" help:"List the API keys."`
	Show   keyShow   `cmd:"" help:"Show an API key without its value."`
	Rotate keyRotate `cmd:"" help:"Give an API key a new value."`
	Revoke keyRevoke `cmd:"" help:"Revoke an API key for good."`
}

type keyCreate struct {
	inTenant
	creation
	Permission []string `required:"" short:"p" help:"resource:action:scope; repeat for several."`
	Owner      string   `help:"E-mail address or id of the user it shall belong to."`
}

func (k keyCreate) Run(c *cli, e *env) error {
	r, err := k.request(credential.APIKey)
	if err != nil {
		return err
	}
	r.Permissions = k.Permission
	return k.issuing(c, e, r, k.Owner)
}

type keyList struct{ inTenant }

func (k keyList) Run(c *cli, e *env) error { return k.listing(c, e, credential.APIKey) }

type keyShow struct{ byID }

func (k keyShow) Run(c *cli, e *env) error { return k.showing(c, e, k.ID, credential.APIKey) }

type keyRotate struct{ rotation }

func (k keyRotate) Run(c *cli, e *env) error {
	return k.rotating(c, e, k.ID, k.Overlap, credential.APIKey)
}

type keyRevoke struct{ byID }

func (k keyRevoke) Run(c *cli, e *env) error { return k.revoking(c, e, k.ID, credential.APIKey) }

// token: tokens of users.
type tokenCommand struct {
	Create tokenCreate `cmd:"" help:"Make an access token of a user, or an application token of an application user."`
	List   tokenList   `cmd:"" help:"List the access tokens and application tokens."`
	Show   tokenShow   `cmd:"" help:"Show a token without its value."`
	Rotate tokenRotate `cmd:"" help:"Give a token a new value."`
	Revoke tokenRevoke `cmd:"" help:"Revoke a token for good."`
}

type tokenCreate struct {
	inTenant
	creation
	User        string   `required:"" help:"E-mail address or id of the user."`
	Resource    []string `help:"Only this resource of the user's role; repeat for several. Access tokens only."`
	Application bool     `help:"Make an application token; the user is of the type application."`
}

func (t tokenCreate) Run(c *cli, e *env) error {
	kind := credential.AccessToken
	if t.Application {
		kind = credential.ApplicationToken
	}
	r, err := t.request(kind)
	if err != nil {
		return err
	}
	r.Resources = t.Resource
	return t.issuing(c, e, r, t.User)
}

type tokenList struct{ inTenant }

func (t tokenList) Run(c *cli, e *env) error {
	return t.listing(c, e, credential.AccessToken, credential.ApplicationToken)
}

type tokenShow struct{ byID }

func (t tokenShow) Run(c *cli, e *env) error {
	return t.showing(c, e, t.ID, credential.AccessToken, credential.ApplicationToken)
}

type tokenRotate struct{ rotation }

func (t tokenRotate) Run(c *cli, e *env) error {
	return t.rotating(c, e, t.ID, t.Overlap, credential.AccessToken, credential.ApplicationToken)
}

type tokenRevoke struct{ byID }

func (t tokenRevoke) Run(c *cli, e *env) error {
	return t.revoking(c, e, t.ID, credential.AccessToken, credential.ApplicationToken)
}

// system: system access tokens.
type systemCommand struct {
	Create systemCreate `cmd:"" help:"Make a system access token."`
	List   systemList   `cmd:"" help:"List the system access tokens."`
	Show   systemShow   `cmd:"" help:"Show a system access token without its value."`
	Rotate systemRotate `cmd:"" help:"Give a system access token a new value."`
	Revoke systemRevoke `cmd:"" help:"Revoke a system access token for good."`
}

type systemCreate struct {
	inTenant
	Name       string   `required:"" help:"What to call it."`
	Purpose    string   `help:"What it is for; the name if left out."`
	RateLimit  *int     `name:"rate-limit" help:"Requests a minute, 1 to 100000."`
	Address    []string `help:"Address or network it may be used from; repeat for several."`
	Permission []string `short:"p" help:"resource:action:all; repeat for several. The organization's data if left out."`
}

func (y systemCreate) Run(c *cli, e *env) error {
	r, err := creation{Name: y.Name, Purpose: y.Purpose, RateLimit: y.RateLimit,
		Address: y.Address}.request(credential.SystemToken)
	if err != nil {
		return err
	}
	r.Permissions = y.Permission
	return y.issuing(c, e, r, "")
}

type systemList struct{ inTenant }

func (y systemList) Run(c *cli, e *env) error { return y.listing(c, e, credential.SystemToken) }

type systemShow struct{ byID }

func (y systemShow) Run(c *cli, e *env) error { return y.showing(c, e, y.ID, credential.SystemToken) }

type systemRotate struct{ rotation }

func (y systemRotate) Run(c *cli, e *env) error {
	return y.rotating(c, e, y.ID, y.Overlap, credential.SystemToken)
}

type systemRevoke struct{ byID }

func (y systemRevoke) Run(c *cli, e *env) error {
	return y.revoking(c, e, y.ID, credential.SystemToken)
}

// client: OAuth clients.
type clientCommand struct {
	Create clientCreate `cmd:"" help:"Make an OAuth client with a secret. One with keys or a certificate is made by POST /v1/clients."`
	List   clientList   `cmd:"" help:"List the OAuth clients."`
	Show   clientShow   `cmd:"" help:"Show an OAuth client."`
	Rotate clientRotate `cmd:"" help:"Give a client's secret a new value."`
	Revoke clientRevoke `cmd:"" help:"Delete an OAuth client for good; every token of it is refused from now on."`
}

type clientLine struct {
	ID                   string     `json:"client_id"`
	Secret               string     `json:"client_secret,omitempty"`
	Name                 string     `json:"name"`
	State                string     `json:"state"`
	Method               string     `json:"method"`
	Permissions          []string   `json:"permissions"`
	TokenLifetimeSeconds int64      `json:"tokenLifetimeSeconds"`
	RefreshTokens        bool       `json:"refreshTokens"`
	CreatedAt            time.Time  `json:"createdAt"`
	LastUsedAt           *time.Time `json:"lastUsedAt"`
	Secrets              []string   `json:"secrets,omitempty"`
}

func clientLineOf(c client.Client) clientLine {
	return clientLine{ID: string(c.ID), Name: c.Name, State: string(c.State), Method: string(c.Authentication.Method),
		Permissions:          c.Permissions.Strings(),
		TokenLifetimeSeconds: int64(c.TokenLifetime / time.Second), RefreshTokens: c.RefreshAllowed,
		CreatedAt: c.CreatedAt, LastUsedAt: optionalTime(c.LastUsedAt)}
}

type clientCreate struct {
	inTenant
	Name          string        `required:"" help:"What to call it."`
	Permission    []string      `required:"" short:"p" help:"resource:action:all; repeat for several."`
	TokenLifetime time.Duration `name:"token-lifetime" default:"1h" help:"How long its access tokens work, 1m to 24h."`
	RefreshTokens bool          `name:"refresh-tokens" help:"It gets refresh tokens."`
	RateLimit     *int          `name:"rate-limit" help:"Requests a minute, 1 to 100000; no limit if left out."`
	Address       []string      `help:"Address or network it may be used from; repeat for several."`
}

func (k clientCreate) Run(c *cli, e *env) error {
	addresses, err := credential.ParseAddresses(k.Address)
	if err != nil {
		return err
	}
	limit := 0
	if k.RateLimit != nil {
		if limit = *k.RateLimit; limit < 1 {
			return errors.New("--rate-limit must be from 1 to 100000")
		}
	}
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		made, value, err := s.Credentials.CreateClient(e.ctx, p,
			client.Fields{Client: client.Client{Name: k.Name,
				Authentication: client.Authentication{Method: client.Secret}, TokenLifetime: k.TokenLifetime,
				RefreshAllowed: k.RefreshTokens, RateLimit: limit, Addresses: addresses}, PermissionList: k.Permission})
		if err != nil {
			return err
		}
		return k.print(e, made, value)
	})
}

func (k clientCreate) print(e *env, made client.Client, value secret.Secret) error {
	if k.JSON {
		l := clientLineOf(made)
		l.Secret = value.Reveal()
		return printJSON(e.stdout, l)
	}
	fmt.Fprintf(e.stderr, "%s. The secret is shown only now:\n", made.Name)
	fmt.Fprintf(e.stdout, "client_id=%s\nclient_secret=%s\n", made.ID, value.Reveal())
	return nil
}

type clientList struct{ inTenant }

func (k clientList) Run(c *cli, e *env) error {
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		lines := []clientLine{}
		var rows [][]string
		err := pages(func(last client.Client) ([]client.Client, error) {
			return s.Clients.List(e.ctx, p, last.ID, pageSize)
		}, func(found client.Client) {
			l := clientLineOf(found)
			lines = append(lines, l)
			rows = append(rows, []string{l.ID, l.State, l.Method, shown(l.LastUsedAt), l.Name})
		})
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(e.stdout, lines)
		}
		return printTable(e.stdout, []string{"CLIENT_ID", "STATE", "METHOD", "LAST USED", "NAME"}, rows)
	})
}

// clientByID are the commands about one client.
type clientByID struct {
	inTenant
	ID string `arg:"" help:"The client_id."`
}

func (k clientByID) parse() (id.Client, error) {
	c, err := id.Parse[id.Client](k.ID)
	if err != nil {
		err = fmt.Errorf("client id %q: %w", k.ID, err)
	}
	return c, err
}

type clientShow struct{ clientByID }

func (k clientShow) Run(c *cli, e *env) error {
	clientID, err := k.parse()
	if err != nil {
		return err
	}
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		found, err := s.Clients.Get(e.ctx, p, clientID)
		if err != nil {
			return err
		}
		l := clientLineOf(found)
		secrets, err := s.Credentials.List(e.ctx, p, credential.ClientSecret,
			credential.Filter{Owner: l.ID, Limit: pageSize})
		if err != nil {
			return err
		}
		rows := [][]string{{"client_id", l.ID}, {"name", l.Name}, {"state", l.State}, {"method", l.Method},
			{"permissions", strings.Join(l.Permissions, " ")}, {"last used", shown(l.LastUsedAt)}}
		for _, one := range secrets {
			l.Secrets = append(l.Secrets, string(one.ID))
			rows = append(rows, []string{"secret",
				string(one.ID) + " " + string(one.State) + ", expires " + shown(optionalTime(one.ExpiresAt))})
		}
		if k.JSON {
			return printJSON(e.stdout, l)
		}
		return printTable(e.stdout, []string{"FIELD", "VALUE"}, rows)
	})
}

type clientRotate struct {
	inTenant
	ID      string        `arg:"" help:"The id of the secret (sec_…), as gatehouse client show lists it; or the client_id, if it has one active secret."`
	Overlap time.Duration `help:"How long the present value goes on working, such as 24h."`
}

func (k clientRotate) Run(c *cli, e *env) error {
	clientID, err := id.Parse[id.Client](k.ID)
	if err != nil {
		return k.rotating(c, e, k.ID, k.Overlap, credential.ClientSecret)
	}
	var only string
	err = k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		active, err := s.Credentials.List(e.ctx, p, credential.ClientSecret,
			credential.Filter{Owner: string(clientID), State: credential.Active, Limit: pageSize})
		if err != nil {
			return err
		}
		if len(active) != 1 {
			return fmt.Errorf("%s has %d active secrets: name the one to rotate (sec_…), as gatehouse client show "+
				"lists them", clientID, len(active))
		}
		only = string(active[0].ID)
		return nil
	})
	if err != nil {
		return err
	}
	return k.rotating(c, e, only, k.Overlap, credential.ClientSecret)
}

type clientRevoke struct{ clientByID }

func (k clientRevoke) Run(c *cli, e *env) error {
	clientID, err := k.parse()
	if err != nil {
		return err
	}
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		if err := s.Credentials.DeleteClient(e.ctx, p, clientID); err != nil {
			return err
		}
		if k.JSON {
			return printJSON(e.stdout, map[string]any{"client_id": clientID, "deleted": true})
		}
		fmt.Fprintf(e.stdout, "%s is deleted.\n", clientID)
		return nil
	})
}

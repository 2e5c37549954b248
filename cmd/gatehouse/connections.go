package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// connection: an organization's identity providers.
type connectionCommand struct {
	Create  connectionCreate  `cmd:"" help:"Make a connection, as a draft."`
	List    connectionList    `cmd:"" help:"List the connections."`
	Show    connectionShow    `cmd:"" help:"Show a connection without its secrets."`
	Update  connectionUpdate  `cmd:"" help:"Replace the parts of a connection that a file has."`
	Enable  connectionEnable  `cmd:"" help:"Switch a connection on."`
	Disable connectionDisable `cmd:"" help:"Switch a connection off; what it let in is over."`
	Delete  connectionDelete  `cmd:"" help:"Delete a connection, with everybody's identity in it."`
}

// domain: the domains that an organization has proven to be its own.
type domainCommand struct {
	List    domainList    `cmd:"" help:"List the domains."`
	Connect domainConnect `cmd:"" help:"Say through which connection the people of a verified domain sign in."`
	Vouch   domainVouch   `cmd:"" help:"Say that a domain is the organization's, where no DNS can: nobody looks for a record."`
}

// connectionFile is what POST /v1/connections takes.
type connectionFile struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	connection.Settings
	ClientSecret   *string `json:"clientSecret"`
	PrivateKey     *string `json:"privateKey"`
	ServiceAccount *string `json:"serviceAccount"`
}

type fileOfConnection struct {
	File string `arg:"" help:"JSON as POST /v1/connections takes it; - reads standard input."`
}

// read puts what the file has over a connection.
func (f fileOfConnection) read(e *env, c *connection.Connection) error {
	raw, err := io.ReadAll(e.stdin)
	if f.File != "-" {
		raw, err = os.ReadFile(f.File)
	}
	if err != nil {
		return err
	}
	in := connectionFile{Kind: string(c.Kind), Name: c.Name, Settings: c.Settings}
	if err := json.Unmarshal(bom.Skip(raw), &in, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%s is no connection as POST /v1/connections takes it: %w", f.File, err)
	}
	c.Kind, c.Name, c.Settings = connection.Kind(in.Kind), in.Name, in.Settings
	for _, s := range []struct {
		to   *secret.Secret
		from *string
	}{{&c.Secrets.ClientSecret, in.ClientSecret}, {&c.Secrets.PrivateKey, in.PrivateKey},
		{&c.Secrets.Account, in.ServiceAccount}} {
		if s.from != nil {
			*s.to = secret.New(*s.from)
		}
	}
	return nil
}

type connectionLine struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	State string `json:"state"`
	connection.Settings
	Ceiling     string            `json:"ceiling"`
	CallbackURL string            `json:"callbackUrl"`
	EntityID    string            `json:"serviceProviderEntityId,omitempty"`
	Upkeep      connection.Upkeep `json:"upkeep"`
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
}

func connectionLineOf(s *server.Server, c connection.Connection) connectionLine {
	l := connectionLine{ID: string(c.ID), Kind: string(c.Kind), Name: c.Name, State: string(c.State),
		Settings: c.Settings, Ceiling: c.Ceiling, CallbackURL: s.SSO.Callback(c), Upkeep: c.Upkeep,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	if c.Kind == connection.SAML {
		l.EntityID = s.SSO.SAML.EntityID(c)
	}
	return l
}

func (t inTenant) printConnection(e *env, s *server.Server, c connection.Connection) error {
	l := connectionLineOf(s, c)
	if t.JSON {
		return printJSON(e.stdout, l)
	}
	rows := [][]string{
		{"id", l.ID},
		{"kind", l.Kind},
		{"name", l.Name},
		{"state", l.State},
		{"callback", l.CallbackURL},
		{"people up to", l.Ceiling},
		{"new users", fmt.Sprint(c.Provisioning.Enabled)},
	}
	if l.EntityID != "" {
		rows = append(rows, []string{"our entityID", l.EntityID})
	}
	return printTable(e.stdout, []string{"FIELD", "VALUE"}, rows)
}

type connectionCreate struct {
	inTenant
	fileOfConnection
}

func (k connectionCreate) Run(c *cli, e *env) error {
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		var n connection.Connection
		if err := k.read(e, &n); err != nil {
			return err
		}
		if n.Kind == connection.SAML {
			if err := s.SSO.Describe(e.ctx, n.Assertion); err != nil {
				return err
			}
		}
		made, err := s.Connections.Create(e.ctx, p, n)
		if err != nil {
			return err
		}
		return k.printConnection(e, s, made)
	})
}

type connectionList struct{ inTenant }

func (k connectionList) Run(c *cli, e *env) error {
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		lines, rows := []connectionLine{}, [][]string{}
		err := pages(func(last connection.Connection) ([]connection.Connection, error) {
			return s.Connections.List(e.ctx, p, last.ID, pageSize)
		}, func(found connection.Connection) {
			lines = append(lines, connectionLineOf(s, found))
			rows = append(rows, []string{string(found.ID), string(found.Kind), string(found.State), found.Name})
		})
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(e.stdout, lines)
		}
		return printTable(e.stdout, []string{"ID", "KIND", "STATE", "NAME"}, rows)
	})
}

// oneConnection is a command about one connection.
type oneConnection struct {
	inTenant
	ID string `arg:"" help:"The connection's id."`
}

// with runs fn with the id.
func (k oneConnection) with(c *cli, e *env, fn func(s *server.Server, p principal.Principal,
	i id.Connection) error) error {
	i, err := id.Parse[id.Connection](k.ID)
	if err != nil {
		return fmt.Errorf("%q is no id of a connection: %w", k.ID, err)
	}
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		return fn(s, p, i)
	})
}

// change edits a connection and shows what became of it.
func (k oneConnection) change(c *cli, e *env, edit func(s *server.Server, c *connection.Connection) error) error {
	return k.with(c, e, func(s *server.Server, p principal.Principal, i id.Connection) error {
		changed, err := s.Connections.Update(e.ctx, p, i, func(c *connection.Connection) error { return edit(s, c) })
		if err != nil {
			return err
		}
		return k.printConnection(e, s, changed)
	})
}

type connectionShow struct{ oneConnection }

func (k connectionShow) Run(c *cli, e *env) error {
	return k.with(c, e, func(s *server.Server, p principal.Principal, i id.Connection) error {
		found, err := s.Connections.Get(e.ctx, p, i)
		if err != nil {
			return err
		}
		return k.printConnection(e, s, found)
	})
}

type connectionUpdate struct {
	oneConnection
	fileOfConnection
}

func (k connectionUpdate) Run(c *cli, e *env) error {
	return k.change(c, e, func(s *server.Server, c *connection.Connection) error {
		kind := c.Kind
		if err := k.read(e, c); err != nil {
			return err
		}
		if c.Kind != kind {
			return fmt.Errorf("a connection stays of its kind, %s", kind)
		}
		if kind == connection.SAML {
			return s.SSO.Describe(e.ctx, c.Assertion)
		}
		return nil
	})
}

type connectionEnable struct{ oneConnection }

func (k connectionEnable) Run(c *cli, e *env) error {
	return k.change(c, e, func(_ *server.Server, c *connection.Connection) error {
		c.State = connection.Active
		return nil
	})
}

type connectionDisable struct{ oneConnection }

func (k connectionDisable) Run(c *cli, e *env) error {
	return k.change(c, e, func(_ *server.Server, c *connection.Connection) error {
		c.State = connection.Off
		return nil
	})
}

type connectionDelete struct{ oneConnection }

func (k connectionDelete) Run(c *cli, e *env) error {
	return k.with(c, e, func(s *server.Server, p principal.Principal, i id.Connection) error {
		return s.Connections.Delete(e.ctx, p, i)
	})
}

type domainLine struct {
	Name         string `json:"name"`
	State        string `json:"state"`
	RecordName   string `json:"recordName"`
	RecordValue  string `json:"recordValue"`
	ConnectionID string `json:"connectionId"`
	Enforced     bool   `json:"enforced"`
}

func domainLineOf(d connection.Domain) domainLine {
	return domainLine{d.Name, string(d.State), d.Host(), d.Challenge, string(d.Connection), d.Enforced}
}

type domainList struct{ inTenant }

func (k domainList) Run(c *cli, e *env) error {
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		lines, rows := []domainLine{}, [][]string{}
		err := pages(func(last connection.Domain) ([]connection.Domain, error) {
			return s.Connections.ListDomains(e.ctx, p, last.Name, pageSize)
		}, func(d connection.Domain) {
			l := domainLineOf(d)
			lines = append(lines, l)
			rows = append(rows, []string{l.Name, l.State, l.ConnectionID, fmt.Sprint(l.Enforced)})
		})
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(e.stdout, lines)
		}
		return printTable(e.stdout, []string{"DOMAIN", "STATE", "CONNECTION", "ENFORCED"}, rows)
	})
}

type domainVouch struct {
	inTenant
	Name string `arg:"" help:"The domain."`
}

func (k domainVouch) Run(c *cli, e *env) error {
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		d, err := s.Connections.VouchDomain(e.ctx, p, k.Name)
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(e.stdout, domainLineOf(d))
		}
		return printTable(e.stdout, []string{"DOMAIN", "STATE"}, [][]string{{d.Name, string(d.State)}})
	})
}

type domainConnect struct {
	inTenant
	Name       string `arg:"" help:"The domain."`
	Connection string `arg:"" help:"The connection's id."`
}

func (k domainConnect) Run(c *cli, e *env) error {
	i, err := id.Parse[id.Connection](k.Connection)
	if err != nil {
		return fmt.Errorf("%q is no id of a connection: %w", k.Connection, err)
	}
	return k.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		d, err := s.Connections.UpdateDomain(e.ctx, p, k.Name, connection.DomainChange{Connection: &i}, untested)
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(e.stdout, domainLineOf(d))
		}
		return printTable(e.stdout, []string{"DOMAIN", "CONNECTION"}, [][]string{{d.Name, string(d.Connection)}})
	})
}

// untested: nobody has signed in on the command line.
func untested(id.Connection) (bool, error) { return false, nil }

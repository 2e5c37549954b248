package connection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection/connectiondb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Intent is what a set-up link is for, and nothing beyond it.
type Intent string

// The intents: to make a connection (as a draft), to prove a domain, and to renew a connection's certificates or client
// secret.
const (
	ForSSO         Intent = "sso"
	ForDomain      Intent = "domain"
	ForCertificate Intent = "certificate"
)

// SetupLink is what a customer's technician, who has no account here, sets company sign-in up with. It gives no more
// than its maker may do at that moment, and ends with them.
type SetupLink struct {
	ID           id.SetupLink
	Organization id.Organization
	Intent       Intent
	Connection   id.Connection // the one it is for, or made; empty: none yet
	Domain       string        // likewise
	Note         string        // for whom it is
	CreatedBy    string
	CreatedHome  id.Organization
	CreatedAt    time.Time
	ExpiresAt    time.Time
	RevokedAt    time.Time
}

// State is live, expired or revoked.
func (l SetupLink) State(now time.Time) string {
	switch {
	case !l.RevokedAt.IsZero():
		return "revoked"
	case !now.Before(l.ExpiresAt):
		return "expired"
	}
	return "live"
}

const (
	// LinkPrefix begins the secret of a set-up link.
	LinkPrefix = "gth_sl_"
	// LinkLifetime is how long one works.
	LinkLifetime = 24 * time.Hour

	linkKept    = 90 * 24 * time.Hour // in the list, after that
	purposeLink = "setup_link"
)

func linkOf(r connectiondb.SetupLink, err error) (SetupLink, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return SetupLink{}, fault.NotFoundf("There is no such set-up link.")
	}
	if err != nil {
		return SetupLink{}, fmt.Errorf("set-up link: load: %w", err)
	}
	return SetupLink{ID: r.ID, Organization: r.OrganizationID, Intent: Intent(r.Intent), Connection: r.ConnectionID,
		Domain: r.DomainName, Note: r.Note, CreatedBy: r.CreatedBy, CreatedHome: r.CreatedHome,
		CreatedAt: r.CreatedAt.Time(), ExpiresAt: r.ExpiresAt.Time(), RevokedAt: r.RevokedAt.Time()}, nil
}

// linkNeeds are what a maker must hold, when the link is made and each time it is used.
func linkNeeds(i Intent, held permission.Set) error {
	needs := []string{"create", "update"}
	if i == ForCertificate {
		needs = needs[1:]
	}
	for _, action := range needs {
		if held.Scope("sso", action) < permission.All {
			return fault.Forbiddenf("A set-up link gives what its maker may do: sso:%s:all is missing.", action)
		}
	}
	return nil
}

// MakeLink makes a set-up link; its secret is shown once. It needs sso:update:all, to make something sso:create:all
// too, and for the certificates of a connection no fewer rights than those who may come in through it.
func (s *Service) MakeLink(ctx context.Context, p principal.Principal, l SetupLink) (SetupLink, secret.Secret, error) {
	var value secret.Secret
	p, err := s.author(ctx, p)
	if err != nil {
		return l, value, err
	}
	l.Note = strings.TrimSpace(l.Note)
	switch {
	case p.Kind == principal.SetupLink:
		return l, value, fault.Forbiddenf("A set-up link makes no other.")
	case !slices.Contains([]Intent{ForSSO, ForDomain, ForCertificate}, l.Intent):
		return l, value, fault.Invalidf("intent", "must be sso, domain or certificate")
	case utf8.RuneCountInString(l.Note) > 200 || !isText(l.Note):
		return l, value, fault.Invalidf("note", "must have at most 200 characters and no control characters")
	case (l.Connection != "") != (l.Intent == ForCertificate):
		return l, value, fault.Invalidf("connectionId", "is for the intent certificate, and required there")
	}
	if err := linkNeeds(l.Intent, p.Permissions); err != nil {
		return l, value, err
	}
	if l.Connection != "" {
		c, err := s.Get(ctx, p, l.Connection)
		if fault.Is(err, fault.NotFound) {
			return l, value, fault.Invalidf("connectionId", "there is no such connection")
		}
		if err == nil {
			err = s.checkCeiling(ctx, p, c)
		}
		if err != nil {
			return l, value, err
		}
	}
	now := s.Now()
	l.ID, l.Organization, l.CreatedBy, l.CreatedHome = id.New[id.SetupLink](), p.Organization, p.ID, p.Home
	l.CreatedAt, l.ExpiresAt = now, now.Add(LinkLifetime)
	err = s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		err := connectiondb.New(tx).InsertLink(ctx, connectiondb.InsertLinkParams{OrganizationID: l.Organization,
			ID: l.ID, Intent: string(l.Intent), ConnectionID: l.Connection, DomainName: l.Domain, Note: l.Note,
			CreatedBy: l.CreatedBy, CreatedHome: l.CreatedHome, CreatedAt: sqldb.MillisOf(now),
			ExpiresAt: sqldb.MillisOf(l.ExpiresAt)})
		if err != nil {
			return fmt.Errorf("set-up link: insert: %w", err)
		}
		value, err = s.OneTime.Begin(ctx, tx, l.Organization, purposeLink, LinkPrefix, string(l.ID), "", now,
			l.ExpiresAt)
		if err != nil {
			return err
		}
		return s.recordLink(ctx, tx, p, l, "setup_link.created", map[string]string{"intent": string(l.Intent),
			"connection": string(l.Connection)})
	})
	return l, value, err
}

func (s *Service) recordLink(ctx context.Context, tx *sqldb.Tx, p principal.Principal, l SetupLink, act string,
	details map[string]string) error {
	return audit.RecordIn(ctx, tx, s.Now(), l.Organization, p,
		audit.Entry{Act: act, TargetKind: "setup_link", TargetID: string(l.ID), Details: details})
}

// GetLink finds one. It needs sso:read:all, or to be that link.
func (s *Service) GetLink(ctx context.Context, p principal.Principal, l id.SetupLink) (SetupLink, error) {
	return linkOf(connectiondb.New(s.DB.Tenant(p.Organization)).GetLink(ctx, p.Organization, l))
}

// ListLinks pages through them by id. It needs sso:read:all.
func (s *Service) ListLinks(ctx context.Context, p principal.Principal, after id.SetupLink, limit int) ([]SetupLink,
	error) {
	rows, err := connectiondb.New(s.DB.Tenant(p.Organization)).ListLinks(ctx, p.Organization, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("set-up link: list: %w", err)
	}
	out := make([]SetupLink, len(rows))
	for i, r := range rows {
		if out[i], err = linkOf(r, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RevokeLink ends one, on the next request. It needs sso:update:all.
func (s *Service) RevokeLink(ctx context.Context, p principal.Principal, i id.SetupLink) error {
	l, err := s.GetLink(ctx, p, i)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := connectiondb.New(tx).RevokeLink(ctx, sqldb.MillisOf(s.Now()), p.Organization, i)
		if err != nil {
			return fmt.Errorf("set-up link: revoke: %w", err)
		}
		if n == 0 {
			return nil
		}
		if err := s.OneTime.Withdraw(ctx, tx, p.Organization, purposeLink, string(i)); err != nil {
			return err
		}
		return s.recordLink(ctx, tx, p, l, "setup_link.revoked", nil)
	})
}

// OpenLink tells who acts with the secret of a set-up link: the link, with what its maker may do at this moment. A
// maker who is gone, or may not do it any more, has no links.
//
// Unauthenticated: there is no such link, or not any more.
func (s *Service) OpenLink(ctx context.Context, value secret.Secret) (principal.Principal, error) {
	found, err := s.OneTime.Look(ctx, purposeLink, value, s.Now())
	if err != nil {
		return principal.Principal{}, err
	}
	l, err := linkOf(connectiondb.New(s.DB.Tenant(found.Organization)).
		GetLink(ctx, found.Organization, id.SetupLink(found.Subject)))
	if fault.Is(err, fault.NotFound) || err == nil && l.State(s.Now()) != "live" {
		return principal.Principal{}, errLink()
	}
	if err != nil {
		return principal.Principal{}, err
	}
	p := principal.Principal{Kind: principal.SetupLink, ID: string(l.ID), Name: "set-up link", Home: l.CreatedHome,
		Organization: l.Organization, ExpiresAt: l.ExpiresAt, Permissions: permission.Everything()}
	maker, err := id.Parse[id.User](l.CreatedBy)
	if err != nil { // made on the command line
		return p, nil
	}
	u, err := s.Users.Facts(ctx, l.CreatedHome, maker)
	if fault.Is(err, fault.NotFound) || err == nil && u.State != user.Active {
		return p, errLink()
	}
	if err != nil {
		return p, err
	}
	p.Owner, p.Role = u.ID, u.Role
	if p.Permissions, err = s.Roles.PermissionsOf(ctx, l.CreatedHome, u.Role); err != nil {
		return p, err
	}
	if linkNeeds(l.Intent, p.Permissions) != nil || p.Abroad() && u.Role != permission.RoleSuperUser {
		return p, errLink()
	}
	return p, nil
}

func errLink() error {
	return fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, "The set-up link has ended. Ask for another.")
}

// ownLink is the link that a principal is, if it is for an intent.
func (s *Service) ownLink(ctx context.Context, p principal.Principal, intents ...Intent) (SetupLink, error) {
	i, err := id.Parse[id.SetupLink](p.ID)
	if err != nil {
		return SetupLink{}, fmt.Errorf("set-up link: %w", err)
	}
	l, err := s.GetLink(ctx, p, i)
	if err == nil && !slices.Contains(intents, l.Intent) {
		err = fault.Forbiddenf("This set-up link is for something else (%s).", l.Intent)
	}
	return l, err
}

// SetUp makes the draft of a connection that a link is for, or changes it, or renews what a connection proves itself
// with, as the link's intent says. It decides about no roles, no provisioning and no trust: that is the organization's.
func (s *Service) SetUp(ctx context.Context, p principal.Principal, kind Kind, name string, judge Judge,
	change func(c *Connection) error) (Connection, error) {
	l, err := s.ownLink(ctx, p, ForSSO, ForCertificate)
	if err != nil {
		return Connection{}, err
	}
	if l.Intent == ForCertificate {
		return s.Update(ctx, p, l.Connection, func(c *Connection) error { return s.renew(c, judge, change) })
	}
	if l.Connection != "" {
		before, err := s.Get(ctx, p, l.Connection)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return Connection{}, err
		}
		if err == nil && before.State != Draft {
			return Connection{}, fault.Conflictf("The connection is in use. Only an administrator changes it now.")
		}
		if err == nil && before.Kind != kind {
			return Connection{}, fault.Conflictf("The draft is of the kind %s, and an administrator may have decided "+
				"something about it. Ask them to delete it, or for another link.", before.Kind)
		}
		if err == nil {
			return s.Update(ctx, p, l.Connection, func(c *Connection) error {
				if c.State != Draft {
					return sqldb.ErrStale
				}
				c.Name = name
				return decideNothing(c, change)
			})
		}
	}
	c := Connection{Kind: kind, Name: name}
	if err := decideNothing(&c, change); err != nil {
		return Connection{}, err
	}
	return s.create(ctx, p, c, func(tx *sqldb.Tx, made Connection) error {
		return s.linkMade(ctx, connectiondb.New(tx), l, made.ID, "")
	})
}

// linkMade notes what a link made; of two at once the later looks again.
func (s *Service) linkMade(ctx context.Context, q *connectiondb.Queries, l SetupLink, c id.Connection,
	domain string) error {
	n, err := q.LinkMade(ctx, connectiondb.LinkMadeParams{ConnectionID: c, DomainName: domain,
		OrganizationID: l.Organization, ID: l.ID, WasConnection: l.Connection, WasDomain: l.Domain})
	if err != nil {
		return fmt.Errorf("set-up link: made: %w", err)
	}
	if n == 0 {
		return fault.Conflictf("The link was used or revoked at the same moment. Try again.")
	}
	return nil
}

// decideNothing makes a change that leaves alone what is the organization's to decide.
func decideNothing(c *Connection, change func(c *Connection) error) error {
	roles, provisioning, trust := c.Roles, c.Provisioning, c.Trust
	err := change(c)
	c.Roles, c.Provisioning, c.Trust = roles, provisioning, trust
	return err
}

// renew makes a change of what a connection proves itself with, and of nothing else: the provider stays the same.
func (s *Service) renew(c *Connection, judge Judge, change func(c *Connection) error) error {
	fresh := *c
	if err := change(&fresh); err != nil {
		return err
	}
	newKey := !fresh.Secrets.PrivateKey.Equal(c.Secrets.PrivateKey)
	c.Secrets = fresh.Secrets
	if c.OpenID != nil && fresh.OpenID != nil {
		c.OpenID.SecretExpires = cmp.Or(fresh.OpenID.SecretExpires, c.OpenID.SecretExpires)
		if newKey {
			c.OpenID.KeyID = fresh.OpenID.KeyID
		}
	}
	if c.Assertion != nil && fresh.Assertion != nil {
		if err := s.sameProvider(*c, fresh.Assertion, judge); err != nil {
			return err
		}
		was := *c.Assertion
		*c.Assertion = *fresh.Assertion
		c.Assertion.MetadataURL = cmp.Or(fresh.Assertion.MetadataURL, was.MetadataURL)
		c.Assertion.SignRequests, c.Assertion.StartURL, c.Assertion.NameIDFormat = was.SignRequests, was.StartURL,
			was.NameIDFormat
		c.Assertion.OwnEntityID, c.Assertion.AllowSHA1Until = was.OwnEntityID, was.AllowSHA1Until
	}
	return nil
}

// sameProvider refuses metadata that could be somebody else's who only calls themselves the same, by the rule for
// metadata that is read again, and another place to read it from.
func (s *Service) sameProvider(c Connection, fresh *Assertion, judge Judge) error {
	held, err := judge(c, fresh)
	if err != nil {
		return err
	}
	if held != "" {
		return fault.Invalidf("saml.metadata", "must be that of the same provider, with a new certificate beside a "+
			"former one: %s. An administrator may take it over", held)
	}
	at := cmp.Or(c.Assertion.MetadataURL, c.Assertion.SignInURL)
	if fresh.MetadataURL != "" && hostOf(fresh.MetadataURL) != hostOf(at) {
		return fault.Invalidf("saml.metadataUrl", "must be at the provider's host")
	}
	return nil
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// SetUpDomain names the domain that a link is for. Before it is verified it may be another. A domain that the
// organization has already is taken only while it waits for its record: what leads somewhere is an administrator's.
func (s *Service) SetUpDomain(ctx context.Context, p principal.Principal, name string) (Domain, error) {
	l, err := s.ownLink(ctx, p, ForDomain)
	if err != nil {
		return Domain{}, err
	}
	clean, err := CheckDomain(name)
	if err != nil {
		return Domain{}, fault.Invalidf("name", "%v", err)
	}
	if l.Domain != "" && l.Domain != clean {
		former, err := s.GetDomain(ctx, p, l.Domain)
		if err == nil && former.State == Verified {
			return Domain{}, fault.Conflictf("The link's domain is verified: %s. Ask for another link for another one.",
				former.Name)
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			return Domain{}, err
		}
	}
	note := func(tx *sqldb.Tx) error {
		q := connectiondb.New(tx)
		if l.Domain != "" && l.Domain != clean {
			if err := q.DeletePending(ctx, l.Organization, l.Domain, p.ID); err != nil {
				return fmt.Errorf("set-up link: former domain: %w", err)
			}
		}
		return s.linkMade(ctx, q, l, "", clean)
	}
	d, err := s.GetDomain(ctx, p, clean)
	switch {
	case fault.Is(err, fault.NotFound):
		return s.addDomain(ctx, p, clean, note)
	case err != nil:
		return Domain{}, err
	case l.Domain == clean:
		return d, nil
	case d.State != Pending:
		return Domain{}, fault.Conflictf("The organization has this domain already. Its administrators look after it.")
	}
	return d, s.DB.Tx(ctx, l.Organization, note)
}

// VerifyOwnDomain looks for the record of the domain that a link named.
func (s *Service) VerifyOwnDomain(ctx context.Context, p principal.Principal) (Domain, error) {
	l, err := s.ownLink(ctx, p, ForDomain)
	if err != nil {
		return Domain{}, err
	}
	if l.Domain == "" {
		return Domain{}, fault.Conflictf("First name the domain.")
	}
	return s.VerifyDomain(ctx, p, l.Domain)
}

// OfLink gives the connection of a link, to try it.
func (s *Service) OfLink(ctx context.Context, p principal.Principal) (id.Connection, error) {
	l, err := s.ownLink(ctx, p, ForSSO, ForCertificate)
	if err == nil && l.Connection == "" {
		err = fault.Conflictf("First describe the provider.")
	}
	return l.Connection, err
}

// LinkWork is what a link is for, and what there is of it.
type LinkWork struct {
	Link         SetupLink
	Organization organization.Organization
	Connection   *Connection
	Domain       *Domain
}

// BehindLink shows a link's own work.
func (s *Service) BehindLink(ctx context.Context, p principal.Principal) (b LinkWork, err error) {
	if b.Link, err = s.ownLink(ctx, p, ForSSO, ForDomain, ForCertificate); err != nil {
		return b, err
	}
	if b.Organization, err = s.Organizations.Facts(ctx, p.Organization); err != nil {
		return b, err
	}
	if b.Link.Connection != "" {
		c, err := s.Get(ctx, p, b.Link.Connection)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return b, err
		}
		if err == nil {
			b.Connection = &c
		}
	}
	if b.Link.Domain != "" {
		d, err := s.GetDomain(ctx, p, b.Link.Domain)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return b, err
		}
		if err == nil {
			b.Domain = &d
		}
	}
	return b, nil
}

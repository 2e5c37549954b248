package connection

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection/connectiondb"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Resolver reads TXT records.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// DomainState is how far an organization has proven a domain to be its own.
type DomainState string

// A lapsed domain was verified once; its record has been missing for too long.
const (
	Pending  DomainState = "pending"
	Verified DomainState = "verified"
	Lapsed   DomainState = "lapsed"
)

// Domain is one that an organization says is its own.
type Domain struct {
	Organization id.Organization
	Name         string
	State        DomainState
	Challenge    string // what the TXT record at Host must say
	Connection   id.Connection
	Enforced     bool // whoever has an address in it signs in through Connection alone
	VerifiedAt   time.Time
	CheckedAt    time.Time
	MissingSince time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Host is where the TXT record of a domain stands: at a name of its own, so that it touches nothing else.
func (d Domain) Host() string { return "_gatehouse-challenge." + d.Name }

// The rules of verified domains.
const (
	challengePrefix = "gatehouse-domain-verification="
	recheckEvery    = 24 * time.Hour
	grace           = 7 * 24 * time.Hour // how long a record may be missing
	lookupTimeout   = 5 * time.Second
)

// mailProviders are domains in which everybody can have an address; no company can have one for its own.
var mailProviders = strings.Fields(
	`126.com 163.com aol.com cock.li duck.com e-mail.de fastmail.com fastmail.fm free.fr
	freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hey.com hotmail.com hotmail.de hotmail.fr
	hotmail.it hushmail.com icloud.com inbox.ru kpnmail.nl laposte.net libero.it live.com live.de live.nl mac.com
	mail.com mail.de mail.ee mail.ru mailbox.org me.com msn.com naver.com onet.pl orange.fr outlook.com outlook.de
	outlook.fr passport.com pm.me posteo.de posteo.net proton.me protonmail.ch protonmail.com qq.com rambler.ru
	rediffmail.com riseup.net rocketmail.com seznam.cz sina.com sky.com t-online.de tuta.com tutanota.com verizon.net
	wanadoo.fr web.de wp.pl yahoo.co.jp yahoo.co.uk yahoo.com yahoo.de yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru
	ymail.com zoho.com zohomail.com onmicrosoft.com`,
)

// CheckDomain brings a domain into the form in which it is compared, lower case and ASCII, and refuses what is no
// company's: a public suffix, such as co.uk, and a mail provider's.
func CheckDomain(name string) (string, error) {
	name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil || len(ascii) > 253 || !strings.Contains(ascii, ".") || strings.ContainsAny(ascii, "@/: ") {
		return name, errors.New("must be a domain such as example.com")
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return name, errors.New("must be a domain such as example.com")
		}
	}
	if last := ascii[strings.LastIndexByte(ascii, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return name, errors.New("must be a domain, not an address")
	}
	if suffix, _ := publicsuffix.PublicSuffix(ascii); suffix == ascii {
		return name, errors.New("is a public suffix, under which everybody can have a domain")
	}
	for _, provider := range mailProviders {
		if ascii == provider || strings.HasSuffix(ascii, "."+provider) && provider == "onmicrosoft.com" {
			return name, errors.New("is a mail provider's, in which everybody can have an address")
		}
	}
	return ascii, nil
}

func domainOf(r connectiondb.Domain, err error) (Domain, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Domain{}, errNoDomain()
	}
	if err != nil {
		return Domain{}, fmt.Errorf("domain: load: %w", err)
	}
	return Domain{Organization: r.OrganizationID, Name: r.Name, State: DomainState(r.State), Challenge: r.Challenge,
		Connection: r.ConnectionID, Enforced: r.Enforced, VerifiedAt: r.VerifiedAt.Time(),
		CheckedAt: r.CheckedAt.Time(), MissingSince: r.MissingSince.Time(), CreatedAt: r.CreatedAt.Time(),
		UpdatedAt: r.UpdatedAt.Time()}, nil
}

func errNoDomain() error { return fault.NotFoundf("There is no such domain.") }

func (s *Service) announceDomain(tx *sqldb.Tx, org id.Organization, name string) {
	tx.Announce(s.domains.Message(invalidation.Key{ID: name}))
	tx.Announce(s.enforced.Message(invalidation.Key{Organization: org}))
}

// ByDomain gives the verified domain of a name, whosever it is; NotFound if it is nobody's.
func (s *Service) ByDomain(ctx context.Context, name string) (Domain, error) {
	d, err := s.domains.Get(ctx, invalidation.Key{ID: name}, func(ctx context.Context) (Domain, error) {
		d, err := domainOf(connectiondb.New(s.DB.Platform("whose domain this is")).PlatformVerifiedDomain(ctx, name))
		if fault.Is(err, fault.NotFound) {
			return Domain{}, nil // that it is nobody's is a fact too
		}
		return d, err
	})
	if err == nil && d.Name == "" {
		err = errNoDomain()
	}
	return d, err
}

// HoldsDomain tells whether an organization has verified a domain, exactly this one.
func (s *Service) HoldsDomain(ctx context.Context, org id.Organization, name string) (bool, error) {
	d, err := s.ByDomain(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && d.Organization == org, err
}

// Enforced tells whether an address is in a domain whose people sign in through their company alone.
func (s *Service) Enforced(ctx context.Context, org id.Organization, email string) (bool, error) {
	_, domain, found := strings.Cut(email, "@")
	if !found {
		return false, nil
	}
	names, err := s.enforced.Get(
		ctx,
		invalidation.Key{Organization: org},
		func(ctx context.Context) ([]string, error) {
			return connectiondb.New(s.DB.Tenant(org)).EnforcedDomains(ctx, org)
		},
	)
	return slices.Contains(names, strings.ToLower(domain)), err
}

// AddDomain notes that an organization wants to prove a domain to be its own. It needs sso:create:all.
func (s *Service) AddDomain(ctx context.Context, p principal.Principal, name string) (Domain, error) {
	return s.addDomain(ctx, p, name, func(*sqldb.Tx) error { return nil })
}

// addDomain notes a domain, with something else in the same transaction.
func (s *Service) addDomain(ctx context.Context, p principal.Principal, name string,
	within func(tx *sqldb.Tx) error) (Domain, error) {
	if err := checkPerson(p); err != nil {
		return Domain{}, err
	}
	name, err := CheckDomain(name)
	if err != nil {
		return Domain{}, fault.Invalidf("name", "%v", err)
	}
	now := s.Now()
	d := Domain{Organization: p.Organization, Name: name, State: Pending, CreatedAt: now, UpdatedAt: now,
		Challenge: challengePrefix + secret.Token("", 24).Reveal()}
	err = s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if err := organization.Hold(ctx, tx, p.Organization); err != nil {
			return err
		}
		q := connectiondb.New(tx)
		if n, err := q.CountDomains(ctx, p.Organization); err != nil {
			return err
		} else if n >= maxDomains {
			return fault.Conflictf("An organization has at most %d domains.", maxDomains)
		}
		err := q.InsertDomain(ctx, connectiondb.InsertDomainParams{OrganizationID: p.Organization, Name: name,
			Challenge: d.Challenge, CreatedBy: p.ID, CreatedAt: sqldb.MillisOf(now)})
		if sqldb.IsUnique(err) {
			return fault.Conflictf("The organization has this domain already.")
		}
		if err != nil {
			return fmt.Errorf("domain: insert: %w", err)
		}
		if err := within(tx); err != nil {
			return err
		}
		return s.recordDomain(ctx, tx, p, d, "domain.added", nil)
	})
	return d, err
}

func (s *Service) recordDomain(ctx context.Context, tx *sqldb.Tx, p principal.Principal, d Domain, act string,
	details map[string]string) error {
	s.announceDomain(tx, d.Organization, d.Name)
	return audit.RecordIn(ctx, tx, s.Now(), d.Organization, p,
		audit.Entry{Act: act, TargetKind: "domain", TargetID: d.Name, Details: details})
}

// GetDomain finds a domain. It needs sso:read:all.
func (s *Service) GetDomain(ctx context.Context, p principal.Principal, name string) (Domain, error) {
	return domainOf(
		connectiondb.New(s.DB.Tenant(p.Organization)).GetDomain(ctx, p.Organization, strings.ToLower(name)))
}

// ListDomains pages through the domains by name. It needs sso:read:all.
func (s *Service) ListDomains(ctx context.Context, p principal.Principal, after string, limit int) ([]Domain, error) {
	rows, err := connectiondb.New(s.DB.Tenant(p.Organization)).ListDomains(ctx, p.Organization, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("domain: list: %w", err)
	}
	out := make([]Domain, len(rows))
	for i, r := range rows {
		if out[i], err = domainOf(r, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// found tells whether the record of a domain is there. An error is none of "it is not there".
func (s *Service) found(ctx context.Context, d Domain) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	records, err := s.Resolver.LookupTXT(ctx, d.Host()+".")
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(records, func(r string) bool { return strings.TrimSpace(r) == d.Challenge }), nil
}

// VerifyDomain looks for the record now, and makes the domain the organization's own if it is there. One that another
// organization has verified is not taken from it. It needs sso:update:all.
func (s *Service) VerifyDomain(ctx context.Context, p principal.Principal, name string) (Domain, error) {
	d, err := s.GetDomain(ctx, p, name)
	if err != nil {
		return Domain{}, err
	}
	there, err := s.found(ctx, d)
	if err != nil {
		return Domain{}, fault.Unavailablef(time.Minute, "The name servers of %s do not answer. Try again shortly.",
			d.Name)
	}
	if !there {
		return Domain{}, fault.Conflictf("There is no TXT record at %s that says %s. A new record may take an hour "+
			"to be seen everywhere.", d.Host(), d.Challenge)
	}
	now := s.Now()
	before := d
	d.State, d.CheckedAt, d.MissingSince = Verified, now, time.Time{}
	if before.State != Verified {
		d.VerifiedAt = now
	}
	err = s.writeDomain(ctx, p, before, &d, "domain.verified", nil)
	if sqldb.IsUnique(err) {
		return Domain{}, fault.Conflictf("Another organization has verified this domain. It keeps it until it lets " +
			"it go, or its own record is gone for seven days.")
	}
	return d, err
}

func (s *Service) writeDomain(ctx context.Context, p principal.Principal, before Domain, d *Domain, act string,
	details map[string]string) error {
	d.UpdatedAt = sqldb.Version(s.Now(), before.UpdatedAt)
	return s.DB.Tx(ctx, d.Organization, func(tx *sqldb.Tx) error {
		n, err := connectiondb.New(tx).UpdateDomain(ctx, connectiondb.UpdateDomainParams{State: string(d.State),
			ConnectionID: d.Connection, Enforced: d.Enforced, VerifiedAt: sqldb.MillisOf(d.VerifiedAt),
			CheckedAt: sqldb.MillisOf(d.CheckedAt), MissingSince: sqldb.MillisOf(d.MissingSince),
			Now: sqldb.MillisOf(d.UpdatedAt), OrganizationID: d.Organization, Name: d.Name,
			Was: sqldb.MillisOf(before.UpdatedAt)})
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Conflictf("The domain was changed meanwhile. Read it again.")
		}
		if act == "" {
			return nil
		}
		return s.recordDomain(ctx, tx, p, *d, act, details)
	})
}

// DomainChange is what an administrator decides about a verified domain.
type DomainChange struct {
	Connection *id.Connection // where its people are sent; empty: nowhere
	Enforced   *bool
}

// UpdateDomain says through which connection the people of a verified domain sign in, and whether only so. It needs
// sso:update:all. tested tells whether the principal has signed in with a connection in a test.
func (s *Service) UpdateDomain(ctx context.Context, p principal.Principal, name string, change DomainChange,
	tested func(c id.Connection) (bool, error)) (Domain, error) {
	p, err := s.author(ctx, p)
	if err != nil {
		return Domain{}, err
	}
	before, err := s.GetDomain(ctx, p, name)
	if err != nil {
		return Domain{}, err
	}
	d := before
	if change.Connection != nil {
		d.Connection = *change.Connection
	}
	if change.Enforced != nil {
		d.Enforced = *change.Enforced
	}
	if d.Connection != "" {
		c, err := s.Get(ctx, p, d.Connection)
		if fault.Is(err, fault.NotFound) {
			return Domain{}, fault.Invalidf("connectionId", "there is no such connection")
		}
		if err != nil {
			return Domain{}, err
		}
		if err := s.checkCeiling(ctx, p, c); err != nil {
			return Domain{}, err
		}
		if c.State != Active && d.Enforced {
			return Domain{}, fault.Conflictf("The connection is not active: nobody could sign in.")
		}
	}
	if before.Connection != d.Connection {
		if err := s.checkLeave(ctx, p, before); err != nil {
			return Domain{}, err
		}
	}
	if d.Enforced && !before.Enforced {
		all, err := s.Roles.PermissionsOf(ctx, p.Organization, permission.RoleAdmin)
		if err != nil {
			return Domain{}, err
		}
		if len(p.Permissions.Missing(all)) > 0 {
			return Domain{}, fault.Forbiddenf("Only an administrator of the organization may close every other way in.")
		}
	}
	if d.State != Verified && (d.Enforced || d.Connection != "") {
		return Domain{}, fault.Conflictf("The domain is not verified.")
	}
	if d.Enforced && d.Connection == "" {
		return Domain{}, fault.Invalidf("connectionId", "is required: somewhere its people must sign in")
	}
	if d.Enforced && (!before.Enforced || d.Connection != before.Connection) {
		ok, err := tested(d.Connection)
		if err != nil {
			return Domain{}, err
		}
		if !ok {
			return Domain{}, fault.Conflictf("First sign in with this connection in a test of your own (POST " +
				"/v1/connections/{id}/test): a mistake in it would lock everybody out.")
		}
	}
	details := map[string]string{"connection": string(d.Connection), "enforced": fmt.Sprint(d.Enforced)}
	return d, s.writeDomain(ctx, p, before, &d, "domain.updated", details)
}

// checkLeave refuses to lead a domain's people away from its connection to whoever could not change that.
func (s *Service) checkLeave(ctx context.Context, p principal.Principal, d Domain) error {
	if d.Connection == "" {
		return nil
	}
	c, err := s.Get(ctx, p, d.Connection)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.checkCeiling(ctx, p, c)
}

// VouchDomain makes a domain an organization's own by an operator's word, where no DNS can say so. Nobody looks for its
// record. Only the server's own administration may.
func (s *Service) VouchDomain(ctx context.Context, p principal.Principal, name string) (Domain, error) {
	if !p.IsSystem() {
		return Domain{}, fault.Forbiddenf("Only whoever runs the server vouches for a domain.")
	}
	clean, err := CheckDomain(name)
	if err != nil {
		return Domain{}, fault.Invalidf("name", "%v", err)
	}
	d, err := s.GetDomain(ctx, p, clean)
	if fault.Is(err, fault.NotFound) {
		d, err = s.AddDomain(ctx, p, clean)
	}
	if err != nil {
		return Domain{}, err
	}
	before := d
	d.State, d.VerifiedAt, d.CheckedAt, d.MissingSince = Verified, s.Now(), vouched, time.Time{}
	err = s.writeDomain(ctx, p, before, &d, "domain.vouched", nil)
	if sqldb.IsUnique(err) {
		return Domain{}, fault.Conflictf("Another organization has verified this domain.")
	}
	return d, err
}

// vouched is when a domain would be looked for that nobody looks for.
var vouched = time.UnixMilli(1 << 46).UTC()

// DeleteDomain lets a domain go. It needs sso:delete:all.
func (s *Service) DeleteDomain(ctx context.Context, p principal.Principal, name string) error {
	p, err := s.author(ctx, p)
	if err != nil {
		return err
	}
	if p.Scope("sso", "delete") < permission.All {
		return fault.Forbiddenf("This needs sso:delete:all.")
	}
	d, err := s.GetDomain(ctx, p, name)
	if err == nil {
		err = s.checkLeave(ctx, p, d)
	}
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if n, err := connectiondb.New(tx).DeleteDomain(ctx, p.Organization, d.Name); err != nil {
			return fmt.Errorf("domain: delete: %w", err)
		} else if n == 0 {
			return errNoDomain()
		}
		return s.recordDomain(ctx, tx, p, d, "domain.deleted", nil)
	})
}

// Recheck looks again for the records of verified domains that were not looked for lately, at most limit of them. One
// that is missing for seven days makes its domain lapse: links stay, nothing new is claimed, and nothing is enforced.
func (s *Service) Recheck(ctx context.Context, limit int) error {
	now := s.Now()
	rows, err := connectiondb.New(s.DB.Platform("domains to look at again")).
		PlatformDomainsDue(ctx, sqldb.MillisOf(now.Add(-recheckEvery)), int64(limit))
	if err != nil {
		return fmt.Errorf("domain: due: %w", err)
	}
	var failed error
	for _, r := range rows {
		d, _ := domainOf(r, nil)
		failed = errors.Join(failed, s.recheck(ctx, d, now))
	}
	return failed
}

func (s *Service) recheck(ctx context.Context, before Domain, now time.Time) error {
	d, act := before, ""
	there, err := s.found(ctx, d)
	d.CheckedAt = now
	switch {
	case err != nil: // nobody knows: it counts for nothing
	case there:
		d.MissingSince = time.Time{}
	case before.MissingSince.IsZero():
		d.MissingSince, act = now, "domain.record_missing"
	case now.Sub(before.MissingSince) >= grace:
		d.State, d.Enforced, act = Lapsed, false, "domain.lapsed"
	}
	err = s.writeDomain(ctx, principal.NewSystem("domains", d.Organization), before, &d, act, nil)
	if fault.Is(err, fault.Conflict) {
		return nil // an administrator was quicker
	}
	return err
}

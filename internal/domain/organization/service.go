package organization

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/organization/organizationdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Service owns the organizations.
type Service struct {
	db        *sqldb.DB
	now       func() time.Time
	mfa       MFAPolicy     // of new organizations
	retention time.Duration // of audit events; 0: for ever
	facts     *cache.Cache[Organization]
	slugs     *cache.Cache[id.Organization]
	origins   *cache.Cache[[]id.Organization]
}

// New makes the service. mfa is the policy of organizations that are made.
func New(db *sqldb.DB, caches *cache.Group, mfa MFAPolicy, now func() time.Time) *Service {
	return &Service{
		db: db, now: now, mfa: mfa, facts: cache.NewShared(caches, "org", 100_000, cache.Plain[Organization]()),
		slugs:   cache.New[id.Organization](caches, "slug", 100_000),
		origins: cache.New[[]id.Organization](caches, "origin", 10_000),
	}
}

// Hold makes whoever else holds the organization wait until the transaction ends: for what only one at a time may do in
// it. It comes before all other locks.
func Hold(ctx context.Context, tx *sqldb.Tx, org id.Organization) error {
	if err := organizationdb.New(tx).Hold(ctx, org); err != nil {
		return fmt.Errorf("organization: hold: %w", err)
	}
	return nil
}

func fromRow(r organizationdb.Organization) (Organization, error) {
	o := Organization{ID: r.ID, Slug: r.Slug, AccountNumber: r.AccountNumber, Name: r.Name, Platform: r.Platform,
		State: State(r.State), MachineCredential: MachineCredential(r.MachineCredential),
		Settings: DefaultSettings(), CreatedAt: r.CreatedAt.Time(), UpdatedAt: r.UpdatedAt.Time()}
	if err := errors.Join(json.Unmarshal([]byte(r.Settings), &o.Settings),
		json.Unmarshal([]byte(r.Profile), &o.Profile)); err != nil {
		return Organization{}, fmt.Errorf("organization %s: %w", r.ID, err)
	}
	if o.Profile.SID == "" {
		o.Profile.SID = o.Slug
	}
	return o, nil
}

func one(r organizationdb.Organization, err error) (Organization, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Organization{}, fault.NotFoundf("There is no such organization.")
	}
	if err != nil {
		return Organization{}, fmt.Errorf("organization: load: %w", err)
	}
	return fromRow(r)
}

// Facts gives an organization in any state, from the cache.
func (s *Service) Facts(ctx context.Context, org id.Organization) (Organization, error) {
	return s.facts.Get(ctx, invalidation.Key{Organization: org}, func(ctx context.Context) (Organization, error) {
		return one(organizationdb.New(s.db.Tenant(org)).Get(ctx, org))
	})
}

// BySlug finds an organization that is not deleted.
func (s *Service) BySlug(ctx context.Context, slug string) (Organization, error) {
	if CheckSlug(slug) != nil { // keeps nonsense out of the cache and the database
		return Organization{}, fault.NotFoundf("There is no such organization.")
	}
	return s.named(ctx, slug, func(ctx context.Context) (organizationdb.Organization, error) {
		return organizationdb.New(s.db.Platform("slug of a request")).PlatformBySlug(ctx, slug)
	})
}

// ByAccount finds an organization that is not deleted by its slug or its account number; no slug begins with a digit.
func (s *Service) ByAccount(ctx context.Context, account string) (Organization, error) {
	if !accountPattern.MatchString(account) {
		return s.BySlug(ctx, account)
	}
	return s.named(ctx, account, func(ctx context.Context) (organizationdb.Organization, error) {
		return organizationdb.New(s.db.Platform("account number of a request")).PlatformByAccountNumber(ctx, account)
	})
}

func (s *Service) named(ctx context.Context, name string,
	load func(ctx context.Context) (organizationdb.Organization, error)) (Organization, error) {
	org, err := s.slugs.Get(ctx, invalidation.Key{ID: name}, func(ctx context.Context) (id.Organization, error) {
		o, err := one(load(ctx))
		return o.ID, err
	})
	if err != nil {
		return Organization{}, err
	}
	o, err := s.Facts(ctx, org)
	if err == nil && o.State == Deleted {
		return Organization{}, fault.NotFoundf("There is no such organization.")
	}
	return o, err
}

// operatorKey is no slug.
const operatorKey = "*"

// Operator is the platform's own organization.
func (s *Service) Operator(ctx context.Context) (Organization, error) {
	org, err := s.slugs.Get(ctx, invalidation.Key{ID: operatorKey}, func(ctx context.Context) (id.Organization, error) {
		o, err := one(organizationdb.New(s.db.Platform("the platform's own organization")).PlatformOperator(ctx))
		return o.ID, err
	})
	if err != nil {
		return Organization{}, err
	}
	return s.Facts(ctx, org)
}

// WithOrigin lists the active organizations that allow a browser origin.
func (s *Service) WithOrigin(ctx context.Context, origin string) ([]id.Organization, error) {
	if CheckOrigin(origin) != nil {
		return nil, nil
	}
	return s.origins.Get(ctx, invalidation.Key{ID: origin}, func(ctx context.Context) ([]id.Organization, error) {
		return organizationdb.New(s.db.Platform("which organizations allow an origin")).PlatformByOrigin(ctx, origin)
	})
}

// NewOrganization describes an organization to create.
type NewOrganization struct {
	Slug     string
	Name     string
	Platform bool
	Settings *Settings // nil: the defaults

	AccountNumber     string
	MachineCredential MachineCredential // empty: SystemTokens
	Profile           Profile
	Suspended         bool // it begins suspended

	ID     id.Organization                          // chosen by who must know it before; empty: a new one
	Within func(tx *sqldb.Tx, o Organization) error // what must happen in the same transaction
}

// NewSettings are those of an organization that is made now, unless it has others.
func (s *Service) NewSettings() Settings {
	settings := DefaultSettings()
	settings.MFA = s.mfa
	return settings
}

// Create makes an organization. It needs organizations:create:all.
func (s *Service) Create(ctx context.Context, p principal.Principal, n NewOrganization) (Organization, error) {
	if err := CheckSlug(n.Slug); err != nil {
		return Organization{}, err
	}
	name, err := checkName(n.Name)
	if err != nil {
		return Organization{}, err
	}
	settings := s.NewSettings()
	if n.Settings != nil {
		settings = *n.Settings
	}
	if err := settings.Validate(); err != nil {
		return Organization{}, err
	}
	if n.Platform && !p.IsSystem() {
		return Organization{}, fault.Forbiddenf("The platform's own organization is made at set-up only.")
	}
	now := s.now()
	o := Organization{ID: n.ID, Slug: n.Slug, AccountNumber: n.AccountNumber, Name: name, Platform: n.Platform,
		State: Active, MachineCredential: n.MachineCredential, Profile: n.Profile,
		Settings: settings, CreatedAt: now, UpdatedAt: now}
	if o.ID == "" {
		o.ID = id.New[id.Organization]()
	}
	if o.MachineCredential == "" {
		o.MachineCredential = SystemTokens
	}
	if n.Suspended {
		o.State = Suspended
	}
	if err := o.check(); err != nil {
		return Organization{}, err
	}
	err = s.db.PlatformTx(ctx, "make an organization", func(tx *sqldb.Tx) error {
		err := organizationdb.New(tx).PlatformInsert(ctx,
			organizationdb.PlatformInsertParams{ID: o.ID, Slug: o.Slug, Name: o.Name, Platform: o.Platform,
				State:    string(o.State),
				Settings: encode(settings), AccountNumber: o.AccountNumber, Profile: encode(o.Profile),
				MachineCredential: string(o.MachineCredential), CreatedAt: sqldb.MillisOf(now)})
		if err != nil {
			return err
		}
		err = errors.Join(writeAddresses(ctx, tx, o.ID, settings.BrowserSettings), search.Add(ctx, tx, o.entry()))
		if err != nil {
			return err
		}
		s.announce(tx, o, o)
		if err := s.record(ctx, tx, p, o.ID, "organization.created", map[string]string{"slug": o.Slug}); err != nil ||
			n.Within == nil {
			return err
		}
		return n.Within(tx, o)
	})
	if sqldb.IsUnique(err) {
		return Organization{}, ErrTaken
	}
	return o, err
}

// record writes the event where the operator lives and where it happened.
func (s *Service) record(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization, act string,
	details map[string]string) error {
	e := audit.Entry{Act: act, TargetKind: "organization", TargetID: string(org), Details: details}
	if err := audit.RecordIn(ctx, tx, s.now(), org, p, e); err != nil || p.Home == org || p.Home == "" {
		return err
	}
	return audit.RecordIn(ctx, tx, s.now(), p.Home, p, e)
}

// ErrTaken says that another organization, perhaps a deleted one, has the slug or the account number.
var ErrTaken = fault.Conflictf("The slug or the account number is taken.")

func (s *Service) announce(tx *sqldb.Tx, before, after Organization) {
	tx.Announce(s.facts.Message(invalidation.Key{Organization: after.ID}))
	for _, name := range []string{after.Slug, before.AccountNumber, after.AccountNumber} {
		if name != "" {
			tx.Announce(s.slugs.Message(invalidation.Key{ID: name}))
		}
	}
	for _, origin := range slices.Concat(before.Settings.AllowedOrigins, after.Settings.AllowedOrigins) {
		tx.Announce(s.origins.Message(invalidation.Key{ID: origin}))
	}
}

// writeAddresses writes what an organization is found by: its origins, and where sign-ins lead back to.
func writeAddresses(ctx context.Context, tx *sqldb.Tx, org id.Organization, s BrowserSettings) error {
	q := organizationdb.New(tx)
	if err := errors.Join(q.ClearOrigins(ctx, org), q.ClearRedirects(ctx, org)); err != nil {
		return err
	}
	for _, o := range s.AllowedOrigins {
		if err := q.InsertOrigin(ctx, org, o); err != nil {
			return err
		}
	}
	for _, uri := range s.RedirectURIs {
		if err := q.InsertRedirect(ctx, org, uri); err != nil {
			return err
		}
	}
	return nil
}

// List pages through the organizations by id. It needs organizations:read:all.
func (s *Service) List(ctx context.Context, p principal.Principal, state State, after id.Organization,
	limit int) ([]Organization, error) {
	rows, err := organizationdb.New(s.db.Platform("an operator lists the organizations")).
		PlatformList(ctx, after, string(state), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("organization: list: %w", err)
	}
	out := make([]Organization, len(rows))
	for i, r := range rows {
		if out[i], err = fromRow(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Get finds one that is not deleted. It needs organizations:read:all, or organization:read:all for one's own.
func (s *Service) Get(ctx context.Context, org id.Organization) (Organization, error) {
	o, err := one(organizationdb.New(s.db.Tenant(org)).Get(ctx, org))
	if err == nil && o.State == Deleted {
		return Organization{}, fault.NotFoundf("There is no such organization.")
	}
	return o, err
}

// Update renames an organization and replaces its settings; change edits a copy of the present ones. Two changes at
// once never undo each other.
func (s *Service) Update(ctx context.Context, p principal.Principal, org id.Organization,
	change func(o *Organization) error) (o Organization, err error) {
	err = sqldb.Retry(func() error {
		o, err = s.update(ctx, p, org, change)
		return err
	})
	return o, err
}

func (s *Service) update(ctx context.Context, p principal.Principal, org id.Organization,
	change func(o *Organization) error) (Organization, error) {
	var o Organization
	err := s.tx(ctx, p, org, func(tx *sqldb.Tx) error {
		var err error
		q := organizationdb.New(tx)
		if o, err = one(q.Get(ctx, org)); err != nil {
			return err
		}
		if o.State == Deleted {
			return fault.NotFoundf("There is no such organization.")
		}
		before := o
		before.Settings.AllowedOrigins, before.Settings.SlidingByRole = slices.Clone(o.Settings.AllowedOrigins),
			maps.Clone(o.Settings.SlidingByRole)
		before.Settings.RedirectURIs = slices.Clone(o.Settings.RedirectURIs)
		before.Settings.SessionLimitsByRole = maps.Clone(o.Settings.SessionLimitsByRole)
		before.Settings.PasswordBlockedWords = slices.Clone(o.Settings.PasswordBlockedWords)
		if err := change(&o); err != nil {
			return err
		}
		if name := protected(before.Settings, o.Settings); name != "" && p.Kind != principal.User && !p.IsSystem() {
			return fault.Forbiddenf("A machine credential does not change %s: it protects people.", name)
		}
		if o.Name, err = checkName(o.Name); err != nil {
			return err
		}
		if err := errors.Join(o.Settings.validate(before.Settings.AllowedOrigins), o.check()); err != nil {
			return err
		}
		o.UpdatedAt = sqldb.Version(s.now(), before.UpdatedAt)
		n, err := q.Update(ctx, organizationdb.UpdateParams{Name: o.Name, Settings: encode(o.Settings),
			AccountNumber: o.AccountNumber, Profile: encode(o.Profile),
			MachineCredential: string(o.MachineCredential), Now: sqldb.MillisOf(o.UpdatedAt), OrganizationID: org,
			Was: sqldb.MillisOf(before.UpdatedAt)})
		if sqldb.IsUnique(err) {
			return ErrTaken
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return sqldb.ErrStale
		}
		err = errors.Join(writeAddresses(ctx, tx, org, o.Settings.BrowserSettings),
			search.Change(ctx, tx, before.entry(), o.entry()))
		if err != nil {
			return err
		}
		s.announce(tx, before, o)
		if o.State != before.State {
			return s.setState(ctx, tx, p, o, changes(before, o))
		}
		return s.record(ctx, tx, p, org, "organization.updated", changes(before, o))
	})
	return o, err
}

// changes names what an update changed, with the values before and after. Settings are compared as they are stored, so
// that none is forgotten.
func changes(before, after Organization) map[string]string {
	out := make(map[string]string)
	note := func(name, from, to string) {
		if from != to {
			out[name] = from + " -> " + to
		}
	}
	note("name", before.Name, after.Name)
	note("accountNumber", before.AccountNumber, after.AccountNumber)
	note("machineCredential", string(before.MachineCredential), string(after.MachineCredential))
	note("profile", encode(before.Profile), encode(after.Profile))
	was, is := members(before.Settings), members(after.Settings)
	for name, value := range is {
		from, to := string(was[name]), string(value)
		if from != to && len(from)+len(to) > maxDetail {
			out[name] = "changed" // lists of words and origins may be long
			continue
		}
		note(name, from, to)
	}
	return out
}

// maxDetail is how long a change may be that is told in full.
const maxDetail = 500

// members are the settings by name, each as JSON.
func members(s Settings) (m map[string]jsontext.Value) {
	if err := json.Unmarshal([]byte(encode(s)), &m); err != nil {
		panic(fmt.Sprintf("organization: %v", err)) // of what was just written
	}
	return m
}

// tx stays inside the organization unless an operator from elsewhere acts, whose home gets an event too.
func (s *Service) tx(ctx context.Context, p principal.Principal, org id.Organization,
	fn func(tx *sqldb.Tx) error) error {
	if p.Home == org {
		return s.db.Tx(ctx, org, fn)
	}
	return s.db.PlatformTx(ctx, "an operator changes an organization", fn)
}

var stateActs = map[State]string{Active: "organization.resumed", Suspended: "organization.suspended",
	Deleted: "organization.deleted"}

func (s *Service) setState(ctx context.Context, tx *sqldb.Tx, p principal.Principal, o Organization,
	details map[string]string) error {
	act, ok := stateActs[o.State]
	if !ok {
		return fault.Invalidf("state", "must be active or suspended")
	}
	if o.Platform && o.State != Active {
		return fault.Conflictf("The platform's own organization cannot be suspended or deleted.")
	}
	if _, err := organizationdb.New(tx).SetState(ctx, string(o.State), sqldb.MillisOf(o.UpdatedAt), o.ID); err != nil {
		return err
	}
	return s.record(ctx, tx, p, o.ID, act, details)
}

// Delete ends an organization for good: its credentials stop at once and its slug is never given again. It needs
// organizations:delete:all.
func (s *Service) Delete(ctx context.Context, p principal.Principal, org id.Organization) error {
	_, err := s.Update(ctx, p, org, func(o *Organization) error { o.State = Deleted; return nil })
	return err
}

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if n := utf8.RuneCountInString(name); n < 1 || n > 200 || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, unicode.IsControl) {
		return "", fault.Invalidf("name", "must have 1 to 200 characters and no control characters")
	}
	return name, nil
}

func encode(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("organization: %v", err)) // plain strings, numbers and lists
	}
	return string(b)
}

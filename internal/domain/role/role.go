// Package role owns the roles: five that every organization has, from the table in core/permission, and those an
// organization makes from the same permissions. A user holds one role by its name; names do not change.
package role

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/role/roledb"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Role is a named set of permissions. Built-in roles have an id too, the same everywhere.
type Role struct {
	ID          id.Role
	Name        string
	Description string
	Permissions permission.Set
	Builtin     bool
	CreatedAt   time.Time // zero for built-in roles
	UpdatedAt   time.Time
}

// maxPermissions bounds one role.
const maxPermissions = 200

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{1,49}$`)

// Service owns the roles.
type Service struct {
	db    *sqldb.DB
	now   func() time.Time
	facts *cache.Cache[Role]
}

// New makes the service.
func New(db *sqldb.DB, caches *cache.Group, now func() time.Time) *Service {
	return &Service{db: db, now: now, facts: cache.NewShared(caches, "role", 100_000, cache.Plain[Role]())}
}

// Builtins lists the five in order of their reach.
func Builtins() []Role {
	list := permission.Builtins()
	out := make([]Role, len(list))
	for i, b := range list {
		out[i] = Role{ID: id.Role(fmt.Sprintf("role_%026d", i+1)), Name: b.Name, Description: b.Description,
			Permissions: b.Permissions, Builtin: true}
	}
	return out
}

func builtin(match func(Role) bool) (Role, bool) {
	for _, r := range Builtins() {
		if match(r) {
			return r, true
		}
	}
	return Role{}, false
}

func fromRow(r roledb.Role) (Role, error) {
	var list []string
	if err := json.Unmarshal([]byte(r.Permissions), &list); err != nil {
		return Role{}, fmt.Errorf("role %s: permissions: %w", r.ID, err)
	}
	return Role{ID: r.ID, Name: r.Name, Description: r.Description, Permissions: permission.ParseKnown(list),
		CreatedAt: r.CreatedAt.Time(), UpdatedAt: r.UpdatedAt.Time()}, nil
}

func one(r roledb.Role, err error) (Role, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Role{}, fault.NotFoundf("There is no such role.")
	}
	if err != nil {
		return Role{}, fmt.Errorf("role: load: %w", err)
	}
	return fromRow(r)
}

// Facts gives the role of a name, from the cache.
func (s *Service) Facts(ctx context.Context, org id.Organization, name string) (Role, error) {
	if r, ok := permission.BuiltinRole(name); ok {
		return Role{Name: r.Name, Permissions: r.Permissions, Builtin: true}, nil
	}
	return s.facts.Get(ctx, invalidation.Key{Organization: org, ID: name}, func(ctx context.Context) (Role, error) {
		return one(roledb.New(s.db.Tenant(org)).GetByName(ctx, org, name))
	})
}

// PermissionsOf gives what holders of a role may do now. A role that is gone gives nothing.
func (s *Service) PermissionsOf(ctx context.Context, org id.Organization, name string) (permission.Set, error) {
	r, err := s.Facts(ctx, org, name)
	if fault.Is(err, fault.NotFound) {
		return permission.Set{}, nil
	}
	return r.Permissions, err
}

// CheckGrantable tells whether p may give the role of a name to a user of the organization it acts in: nobody grants
// what they do not hold, and the operators' role exists on the platform only.
func (s *Service) CheckGrantable(ctx context.Context, p principal.Principal, name string, onPlatform bool) error {
	r, err := s.Facts(ctx, p.Organization, name)
	if fault.Is(err, fault.NotFound) {
		return fault.Invalidf("role", "there is no role %q in this organization", name)
	}
	if err != nil {
		return err
	}
	if r.Name == permission.RoleSuperUser && !onPlatform {
		return fault.Forbiddenf("The role %s is for the platform's operators only.", r.Name)
	}
	if missing := p.Permissions.Missing(r.Permissions); len(missing) > 0 {
		return fault.Forbiddenf("The role %s gives %s, which you do not hold.", r.Name, missing[0])
	}
	return nil
}

// CheckMembership tells whether p may bring holders of a role into a team, or members of one to a role. A team shows
// its members what belongs to it and to the others in it, so that this needs, with the scope all, what the role gives
// with the scope team.
func (s *Service) CheckMembership(ctx context.Context, p principal.Principal, name string) error {
	held, err := s.PermissionsOf(ctx, p.Organization, name)
	if err != nil {
		return err
	}
	return checkForTeams(p, name, held)
}

func checkForTeams(p principal.Principal, name string, held permission.Set) error {
	if missing := p.Permissions.Missing(held.ForTeams()); len(missing) > 0 {
		return fault.Forbiddenf("In a team the role %s gives what only someone who holds %s may give.", name,
			missing[0])
	}
	return nil
}

// Fields are what an organization decides about a role of its own.
type Fields struct {
	Name        string
	Description string
	Permissions []string
}

func (f Fields) check(p principal.Principal) (permission.Set, error) {
	if utf8.RuneCountInString(f.Description) > 500 || !utf8.ValidString(f.Description) ||
		strings.ContainsFunc(f.Description, unicode.IsControl) {
		return permission.Set{}, fault.Invalidf("description",
			"must have at most 500 characters and no control characters")
	}
	if len(f.Permissions) > maxPermissions {
		return permission.Set{}, fault.Invalidf("permissions", "must have at most %d entries", maxPermissions)
	}
	var wrong []fault.Field
	for i, text := range f.Permissions {
		q, err := permission.Parse(text)
		if err == nil && q.Resource == permission.PlatformResource {
			err = fmt.Errorf("is for the platform's operators only")
		}
		if err != nil {
			wrong = append(wrong, fault.Field{Field: fmt.Sprintf("permissions[%d]", i), Message: err.Error()})
		}
	}
	if len(wrong) > 0 {
		return permission.Set{}, fault.InvalidFields(wrong)
	}
	set := permission.ParseKnown(f.Permissions)
	if missing := p.Permissions.Missing(set); len(missing) > 0 {
		return permission.Set{}, fault.Forbiddenf("You do not hold %s and cannot grant it.", missing[0])
	}
	return set, nil
}

func encode(set permission.Set) string {
	b, _ := json.Marshal(set.Strings()) // strings always marshal
	return string(b)
}

// Create defines a role. It needs roles:create:all.
func (s *Service) Create(ctx context.Context, p principal.Principal, f Fields) (Role, error) {
	if !namePattern.MatchString(f.Name) {
		return Role{}, fault.Invalidf("name",
			"must have 2 to 50 lower-case letters, digits and underscores and begin with a letter")
	}
	if _, taken := permission.BuiltinRole(f.Name); taken {
		return Role{}, fault.Conflictf("%s is a built-in role.", f.Name)
	}
	set, err := f.check(p)
	if err != nil {
		return Role{}, err
	}
	now := s.now()
	r := Role{ID: id.New[id.Role](), Name: f.Name, Description: strings.TrimSpace(f.Description), Permissions: set,
		CreatedAt: now, UpdatedAt: now}
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		if err := roledb.New(tx).Insert(ctx, roledb.InsertParams{OrganizationID: p.Organization, ID: r.ID, Name: r.Name,
			Description: r.Description, Permissions: encode(set), CreatedAt: sqldb.MillisOf(now)}); err != nil {
			return err
		}
		return s.changed(ctx, tx, p, r, "role.created")
	})
	if sqldb.IsUnique(err) {
		return Role{}, fault.Conflictf("There is a role %s already.", f.Name)
	}
	return r, err
}

func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, p principal.Principal, r Role, act string) error {
	tx.Announce(s.facts.Message(invalidation.Key{Organization: p.Organization, ID: r.Name}))
	return audit.Record(ctx, tx, s.now(), p, audit.Entry{Act: act, TargetKind: "role", TargetID: string(r.ID),
		Details: map[string]string{"name": r.Name, "permissions": strings.Join(r.Permissions.Strings(), " ")}})
}

// Get finds one role, built-in or own.
func (s *Service) Get(ctx context.Context, p principal.Principal, role id.Role) (Role, error) {
	if r, ok := builtin(func(r Role) bool { return r.ID == role }); ok {
		return r, nil
	}
	return one(roledb.New(s.db.Tenant(p.Organization)).Get(ctx, p.Organization, role))
}

// List gives the built-in roles, whose ids come first, and then the organization's own, by id.
func (s *Service) List(ctx context.Context, p principal.Principal, after id.Role, limit int) ([]Role, error) {
	var out []Role
	for _, r := range Builtins() {
		if r.ID > after && len(out) < limit {
			out = append(out, r)
		}
	}
	rows, err := roledb.New(s.db.Tenant(p.Organization)).List(ctx, p.Organization, after, int64(limit-len(out)))
	if err != nil {
		return nil, fmt.Errorf("role: list: %w", err)
	}
	for _, row := range rows {
		r, err := fromRow(row)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Update replaces description and permissions. Who changes a role must hold both what it gave and what it will give.
func (s *Service) Update(ctx context.Context, p principal.Principal, role id.Role, change func(f *Fields)) (Role,
	error) {
	if _, ok := builtin(func(r Role) bool { return r.ID == role }); ok {
		return Role{},
			fault.Conflictf("A built-in role cannot be changed. Make a role of your own from the same permissions.")
	}
	var r Role
	err := sqldb.Retry(func() error {
		return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error { return s.update(ctx, tx, p, role, change, &r) })
	})
	return r, err
}

func (s *Service) update(ctx context.Context, tx *sqldb.Tx, p principal.Principal, role id.Role, change func(f *Fields),
	r *Role) error {
	q := roledb.New(tx)
	before, err := one(q.Get(ctx, p.Organization, role))
	if err != nil {
		return err
	}
	if err := holds(p, before); err != nil {
		return err
	}
	*r = before
	f := Fields{Name: r.Name, Description: r.Description, Permissions: r.Permissions.Strings()}
	change(&f)
	if r.Permissions, err = f.check(p); err != nil {
		return err
	}
	gained := r.Permissions.Filter(func(q permission.Permission) bool { return !before.Permissions.Holds(q) })
	if refusal := checkForTeams(p, r.Name, gained); refusal != nil {
		in, err := q.InTeams(ctx, p.Organization, r.Name, sqldb.MillisOf(s.now()))
		if err != nil {
			return fmt.Errorf("role: teams: %w", err)
		}
		if in > 0 {
			return refusal
		}
	}
	r.Description, r.UpdatedAt = strings.TrimSpace(f.Description), sqldb.Version(s.now(), before.UpdatedAt)
	n, err := q.Update(ctx, roledb.UpdateParams{Description: r.Description, Permissions: encode(r.Permissions),
		Now: sqldb.MillisOf(r.UpdatedAt), OrganizationID: p.Organization, ID: role,
		Was: sqldb.MillisOf(before.UpdatedAt)})
	if err != nil {
		return err
	}
	if n == 0 {
		return sqldb.ErrStale
	}
	return s.changed(ctx, tx, p, *r, "role.updated")
}

func holds(p principal.Principal, r Role) error {
	if missing := p.Permissions.Missing(r.Permissions); len(missing) > 0 {
		return fault.Forbiddenf("The role %s gives %s, which you do not hold.", r.Name, missing[0])
	}
	return nil
}

// Delete removes a role that nobody holds or is invited to.
func (s *Service) Delete(ctx context.Context, p principal.Principal, role id.Role) error {
	if _, ok := builtin(func(r Role) bool { return r.ID == role }); ok {
		return fault.Conflictf("A built-in role cannot be deleted.")
	}
	return s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		q := roledb.New(tx)
		r, err := one(q.Get(ctx, p.Organization, role))
		if err != nil {
			return err
		}
		if err := holds(p, r); err != nil {
			return err
		}
		n, err := q.Holders(ctx, p.Organization, r.Name, sqldb.MillisOf(s.now()))
		if err != nil {
			return fmt.Errorf("role: holders: %w", err)
		}
		if n > 0 {
			return fault.Conflictf("The role is held by %d users or invitations. Give them another one first.", n)
		}
		if _, err := q.Delete(ctx, p.Organization, role); err != nil {
			return fmt.Errorf("role: delete: %w", err)
		}
		return s.changed(ctx, tx, p, r, "role.deleted")
	})
}

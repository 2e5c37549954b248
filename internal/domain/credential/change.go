package credential

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/urgent"
	"github.com/itsm-automation/gatehouse/internal/domain/credential/credentialdb"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Change is what may be edited; change functions get one filled with the present state.
type Change struct {
	Credential
	PermissionList []string
}

// Update edits a credential; change edits a copy. It needs <resource>:update for it, the scope all for giving it
// another owner, and, but for switching off, no fewer rights than it gives. Two changes at once never undo each other.
func (s *Service) Update(ctx context.Context, p principal.Principal, kind Kind, c id.Credential,
	change func(ch *Change) error) (out Credential, err error) {
	err = sqldb.Retry(func() error {
		out, err = s.update(ctx, p, kind, c, change)
		return err
	})
	return out, err
}

func (s *Service) update(ctx context.Context, p principal.Principal, kind Kind, c id.Credential,
	change func(ch *Change) error) (Credential, error) {
	before, err := s.readable(ctx, p, kind, c, "update")
	if err != nil {
		return Credential{}, err
	}
	if before.State == Revoked {
		return Credential{}, fault.Conflictf("It is revoked for good.")
	}
	ch := Change{before, before.Permissions.Strings()}
	if err := change(&ch); err != nil {
		return Credential{}, err
	}
	after := ch.Credential
	if err := s.check(&after); err != nil {
		return Credential{}, err
	}
	if after.State != before.State && !table[kind].Switch && (before.State != Off || after.State != Active) {
		// a restore switches every kind off
		return Credential{}, fault.Invalidf("state", "cannot be changed for this kind; revoke it instead")
	}
	if after.State != Active && after.State != Off {
		return Credential{}, fault.Invalidf("state", "must be active or off")
	}
	if !after.ExpiresAt.Equal(before.ExpiresAt) && !after.ExpiresAt.IsZero() && !after.ExpiresAt.After(s.now()) {
		return Credential{}, fault.Invalidf("expiresAt", "must be in the future; revoke it to end it now")
	}
	if after.State == Active && before.State == Off && isMachine(p) &&
		(!table[kind].Revives || !mayMint(p, kind)) {
		return Credential{}, fault.Forbiddenf("A machine credential cannot switch on what was switched off.")
	}
	details := changes(before, after, ch.PermissionList)
	if len(details) > 0 || after.State == Active && before.State == Off { // switching off gives nobody anything
		if err := s.checkMayStrengthen(ctx, p, before); err != nil {
			return Credential{}, err
		}
		if after.Permissions, err = s.permissionsAfter(ctx, p, before, after, ch.PermissionList); err != nil {
			return Credential{}, err
		}
		if !table[kind].Stored { // a wider choice of resources gives more than before
			if err := s.checkMayStrengthen(ctx, p, after); err != nil {
				return Credential{}, err
			}
		}
		details = changes(before, after, after.Permissions.Strings())
	}
	for name := range details { // a machine lifts no bounds, least of all its own
		if isMachine(p) && name != "name" && name != "purpose" && name != "permissions" {
			return Credential{}, fault.Forbiddenf("A machine credential cannot change the %s of one.", name)
		}
	}
	if isMachine(p) && len(before.Permissions.Missing(after.Permissions)) > 0 {
		// else a credential that ends, or works from one place, hands what it may do to one that does not
		if err := s.checkBounds(ctx, p, after); err != nil {
			return Credential{}, err
		}
	}
	after.UpdatedAt = sqldb.Version(s.now(), before.UpdatedAt)
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := credentialdb.New(tx).Update(ctx,
			credentialdb.UpdateParams{Name: after.Name, Purpose: after.Purpose, OwnerKind: string(after.Owner.Kind),
				OwnerID:     after.Owner.ID,
				Permissions: encode(after.Permissions.Strings()), Resources: encode(orEmpty(after.Resources)),
				State: string(after.State), RateLimit: int64(after.RateLimit),
				AllowedAddresses: encode(orEmpty(after.Addresses)), ExpiresAt: sqldb.MillisOf(after.ExpiresAt),
				Now: sqldb.MillisOf(after.UpdatedAt), OrganizationID: p.Organization, ID: c,
				Was: sqldb.MillisOf(before.UpdatedAt)})
		if err != nil {
			return fmt.Errorf("credential: update: %w", err)
		}
		if n == 0 {
			return sqldb.ErrStale
		}
		if err := search.Change(ctx, tx, before.entry(), after.entry()); err != nil {
			return err
		}
		act := "updated"
		switch {
		case after.Owner != before.Owner:
			act = "transferred"
		case after.State != before.State && after.State == Off:
			act = "disabled"
		case after.State != before.State:
			act = "enabled"
		}
		return s.changed(ctx, tx, p, after, act, details)
	})
	return after, err
}

// readable finds a credential for an act: 404 if the principal may not even read it, 403 if they may but the act is
// beyond their scope.
func (s *Service) readable(ctx context.Context, p principal.Principal, kind Kind, c id.Credential,
	action string) (Credential, error) {
	found, err := one(credentialdb.New(s.db.Tenant(p.Organization)).Get(ctx, p.Organization, c))
	if err != nil {
		return Credential{}, err
	}
	switch {
	case found.Kind != kind:
		return Credential{}, errNone()
	case s.within(p, found, action):
		return s.withUse(found), nil
	case s.within(p, found, "read"):
		return Credential{}, fault.Forbiddenf("This needs %s:%s for the credential.", kind.Resource(), action)
	}
	return Credential{}, errNone()
}

// permissionsAfter judges the permissions of a changed credential: as asked for, within what the one who asks and the
// owner hold; and after a transfer no more than it gave before and than the new owner holds.
func (s *Service) permissionsAfter(ctx context.Context, p principal.Principal, before, after Credential,
	list []string) (permission.Set, error) {
	if !table[after.Kind].Stored && after.Owner == before.Owner {
		if strings.Join(list, " ") != strings.Join(before.Permissions.Strings(), " ") {
			return permission.Set{}, fault.Invalidf("permissions", "come from the owner's role and cannot be given")
		}
		return before.Permissions, nil
	}
	if after.Owner != before.Owner {
		if !table[after.Kind].Moves {
			return permission.Set{}, fault.Invalidf("owner", "cannot be changed for this kind; make another one")
		}
		if p.Scope(after.Kind.Resource(), "update") < permission.All {
			return permission.Set{}, fault.Forbiddenf("Giving it to another owner needs %s:update:all.",
				after.Kind.Resource())
		}
	}
	ceiling, err := s.ceiling(ctx, p, after.Kind, after.Owner)
	if err != nil {
		return permission.Set{}, err
	}
	if after.Owner == before.Owner {
		if strings.Join(list, " ") == strings.Join(before.Permissions.Strings(), " ") {
			return before.Permissions, nil // not asked for: stays as stored, even while the owner holds less
		}
		return s.checkPermissions(ctx, p, after.Kind, after.Owner, list, ceiling)
	}
	given, err := s.effective(ctx, before)
	if err != nil {
		return permission.Set{}, err
	}
	asked, err := s.checkPermissions(ctx, p, after.Kind, before.Owner, list, permission.Everything())
	if err != nil {
		return permission.Set{}, err
	}
	cut := asked.Within(given).Within(ceiling)
	if after.Owner.Kind == OwnedByOrganization {
		cut = cut.Filter(func(q permission.Permission) bool { return q.Scope == permission.All })
	} else if !isSelf(p, after.Owner) {
		cut = cut.Filter(func(q permission.Permission) bool { return reaches(p, q) })
	}
	return cut, nil
}

// changes names what an update changes apart from the state.
func changes(before, after Credential, list []string) map[string]string {
	out := make(map[string]string)
	for _, c := range []struct {
		name     string
		from, to any
	}{
		{"name", before.Name, after.Name}, {"purpose", before.Purpose, after.Purpose},
		{"owner", before.Owner.ID, after.Owner.ID},
		{"permissions", strings.Join(before.Permissions.Strings(), " "), strings.Join(list, " ")},
		{"resources", before.Resources, after.Resources},
		{"rateLimitPerMinute", before.RateLimit, after.RateLimit},
		{"allowedAddresses", before.Addresses, after.Addresses},
		{"expiresAt", sqldb.MillisOf(before.ExpiresAt), sqldb.MillisOf(after.ExpiresAt)},
	} {
		if from, to := fmt.Sprint(c.from), fmt.Sprint(c.to); from != to {
			out[c.name] = from + " -> " + to
		}
	}
	return out
}

// Rotate gives a credential a new value; the present one goes on working for the overlap, and one before it stops now.
// Who rotates gets the value, so they need no fewer rights than it gives.
func (s *Service) Rotate(ctx context.Context, p principal.Principal, kind Kind, c id.Credential,
	overlap time.Duration) (out Issued, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Issued{}, fault.Invalidf("overlapSeconds", "must be from 0 to %d", int(MaxOverlap/time.Second))
	}
	err = sqldb.Retry(func() error {
		out, err = s.rotate(ctx, p, kind, c, overlap)
		return err
	})
	return out, err
}

func (s *Service) rotate(ctx context.Context, p principal.Principal, kind Kind, c id.Credential,
	overlap time.Duration) (Issued, error) {
	before, err := s.readable(ctx, p, kind, c, "update")
	if err != nil {
		return Issued{}, err
	}
	if p.Kind != principal.User && !p.IsSystem() && !mayMint(p, kind) {
		return Issued{}, fault.Forbiddenf("A machine credential cannot get the value of another one.")
	}
	now := s.now()
	if !before.Live(now) {
		return Issued{}, fault.Conflictf("Only an active credential that has not expired can be rotated.")
	}
	if err := s.checkMayStrengthen(ctx, p, before); err != nil {
		return Issued{}, err
	}
	if mayMint(p, kind) && string(c) != p.ID {
		if err := s.checkBounds(ctx, p, before); err != nil {
			return Issued{}, err
		}
	}
	if before.Owner.Kind == OwnedByUser {
		if _, err := s.Holder(ctx, before); fault.Is(err, fault.Unauthenticated) {
			return Issued{}, fault.Conflictf("Its owner is not active; nobody gets a new value of it until they are.")
		} else if err != nil {
			return Issued{}, err
		}
	}
	after := before
	after.UpdatedAt, after.RotatedAt, after.previous, after.OverlapUntil = sqldb.Version(now, before.UpdatedAt), now,
		"", time.Time{}
	value, err := s.mint(&after)
	if err != nil {
		return Issued{}, err
	}
	if overlap > 0 {
		after.previous, after.OverlapUntil = before.digest, now.Add(overlap)
	}
	err = s.db.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		n, err := credentialdb.New(tx).Rotate(ctx,
			credentialdb.RotateParams{PreviousDigest: after.previous, Digest: after.digest,
				OverlapUntil: sqldb.MillisOf(after.OverlapUntil), Now: sqldb.MillisOf(now),
				Version: sqldb.MillisOf(after.UpdatedAt), OrganizationID: p.Organization, ID: c,
				Was: sqldb.MillisOf(before.UpdatedAt)})
		if err != nil {
			return fmt.Errorf("credential: rotate: %w", err)
		}
		if n == 0 {
			return sqldb.ErrStale
		}
		return s.changed(ctx, tx, p, after, "rotated",
			map[string]string{"overlapSeconds": fmt.Sprint(int64(overlap / time.Second))})
	})
	return Issued{after, value}, err
}

// Revoke ends a credential for good. It needs <resource>:delete for it. Revoking again changes nothing.
func (s *Service) Revoke(ctx context.Context, p principal.Principal, kind Kind, c id.Credential) error {
	ctx = urgent.With(ctx)
	found, err := s.readable(ctx, p, kind, c, "delete")
	if err != nil {
		return err
	}
	return s.revoke(ctx, p, found, "")
}

// RevokeHeld ends a credential whose value was shown. Whether the one who shows it may end it is the caller's to judge.
func (s *Service) RevokeHeld(ctx context.Context, p principal.Principal, c Credential) error {
	ctx = urgent.With(ctx)
	return s.revoke(ctx, p, c, "token_revocation")
}

func (s *Service) revoke(ctx context.Context, p principal.Principal, c Credential, reason string) error {
	return s.db.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		n, err := credentialdb.New(tx).Revoke(ctx, sqldb.MillisOf(s.now()), c.Organization, c.ID)
		if err != nil {
			return fmt.Errorf("credential: revoke: %w", err)
		}
		if n == 0 {
			return nil
		}
		var details map[string]string
		if reason != "" {
			details = map[string]string{"reason": reason}
		}
		return s.changed(ctx, tx, p, c, "revoked", details)
	})
}

// EndApplicationTokens revokes the application tokens of a user who is deactivated or is no application any more, in
// the transaction of that change.
func (s *Service) EndApplicationTokens(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization,
	u id.User, reason string) error {
	return s.endOf(ctx, tx, p, org, string(u), ApplicationToken, reason)
}

// endOf revokes what is of a kind and an owner.
func (s *Service) endOf(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization, owner string,
	kind Kind, reason string) error {
	ended, err := credentialdb.New(tx).RevokeByOwner(ctx, sqldb.MillisOf(s.now()), org, owner, string(kind))
	if err != nil {
		return fmt.Errorf("credential: end all of an owner: %w", err)
	}
	for _, c := range ended {
		if err := s.changed(ctx, tx, p, Credential{ID: c, Organization: org, Kind: kind}, "revoked",
			map[string]string{"reason": reason}); err != nil {
			return err
		}
	}
	return nil
}

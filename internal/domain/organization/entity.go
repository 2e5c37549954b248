package organization

import (
	"context"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
)

// checkReach lets everyone with entity:<action> at their own organization's entry, and those with
// organizations:<action> at any.
func checkReach(p principal.Principal, org id.Organization, action string) (operator bool, err error) {
	switch {
	case p.Scope(permission.PlatformResource, action) == permission.All:
		return true, nil
	case org == p.Organization && p.Scope("entity", action) == permission.All:
		return false, nil
	case org == p.Organization:
		return false, fault.Forbiddenf("This needs entity:%s:all.", action)
	}
	return false, fault.Forbiddenf("Only the platform's own credentials reach other organizations.")
}

// GetEntity finds an organization's entry: one's own, or any for an operator.
func (s *Service) GetEntity(ctx context.Context, p principal.Principal, org id.Organization) (Organization, error) {
	if _, err := checkReach(p, org, "read"); err != nil {
		return Organization{}, err
	}
	return s.Get(ctx, org)
}

// UpdateEntity changes an entry: one's own but for what the platform decides (state, kind of machine credential, SID,
// account number), or all of any for an operator.
func (s *Service) UpdateEntity(ctx context.Context, p principal.Principal, org id.Organization,
	change func(o *Organization) error) (Organization, error) {
	operator, err := checkReach(p, org, "update")
	if err != nil {
		return Organization{}, err
	}
	return s.Update(ctx, p, org, func(o *Organization) error {
		before := *o
		if err := change(o); err != nil {
			return err
		}
		if org == p.Organization && o.MachineCredential != before.MachineCredential && operator {
			return fault.Conflictf("This would stop the credential that asks for it, with all others of the " +
				"platform's systems; a person changes it.")
		}
		if !operator &&
			(o.State != before.State || o.MachineCredential != before.MachineCredential ||
				o.Profile.SID != before.Profile.SID || o.AccountNumber != before.AccountNumber) {
			return fault.Forbiddenf("Only the platform changes whether an organization is active, which credentials " +
				"its systems use, its SID and its account number.")
		}
		return nil
	})
}

// unaccented are letters that are not made of a plain one and an accent.
var unaccented = strings.NewReplacer("ß", "ss", "ø", "o", "æ", "ae", "œ", "oe", "ł", "l", "đ", "d", "ð", "d", "þ", "th",
	"ı", "i")

// SlugOf makes a slug from a name: its letters and digits without their accents, the rest as hyphens.
func SlugOf(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(unaccented.Replace(strings.ToLower(name))) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case r < 0x300 || r > 0x36f: // not an accent of the letter before
			if s := b.String(); s != "" && s[len(s)-1] != '-' {
				b.WriteByte('-')
			}
		}
	}
	s := strings.Trim(b.String(), "-")
	if s == "" || s[0] < 'a' {
		s = "org-" + s
	}
	s = strings.Trim(s[:min(len(s), 50)], "-")
	if len(s) < 3 {
		s += "-org"
	}
	return s
}

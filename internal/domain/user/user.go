// Package user owns people and application users, the teams they are in and the invitations that bring them in. It
// judges who may change whom: nobody grants a role they do not hold themselves, and nobody changes a user who may do
// more than they may.
package user

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/user/userdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Kind of user. An application user stands for a program of a customer; everything else is a person.
type Kind string

// The kinds.
const (
	Person      Kind = "person"
	Application Kind = "application"
)

// State of a user.
type State string

// A disabled user's credentials are refused until the user is made active again; its sessions are gone for good.
const (
	Active   State = "active"
	Disabled State = "disabled"
)

// User is a member of one organization.
type User struct {
	ID            id.User
	Organization  id.Organization
	Email         string
	Username      string
	Name          string
	Kind          Kind
	Role          string
	State         State
	HasPassword   bool
	EmailVerified bool // the address was proven: by a link that was mailed to it, or an operator's word
	MFAExempt     bool // an application that may pass doors without a second step, whatever its organization demands
	MFARequired   bool // whatever the organization demands, this one must have a second factor
	BreakGlass    bool // may sign in here although their domain's people sign in through their company alone

	SecondFactors []string // the methods that can complete a sign-in, in order: backup_codes, totp, webauthn

	CreatedAt time.Time
	UpdatedAt time.Time

	passwordHash      string
	passwordChangedAt time.Time
}

// PasswordHash is the PHC string, empty if the user has none. Only sign-in asks for it.
func (u User) PasswordHash() string { return u.passwordHash }

func fromRow(r userdb.User) User {
	return User{ID: r.ID, Organization: r.OrganizationID, Email: r.Email, Username: r.Username, Name: r.Name,
		Kind: Kind(r.Kind), Role: r.Role,
		State: State(r.State), HasPassword: r.PasswordHash != "", EmailVerified: r.EmailVerified,
		MFAExempt: r.MfaExempt, MFARequired: r.MfaRequired, BreakGlass: r.BreakGlass,
		SecondFactors: strings.Fields(r.SecondFactors), CreatedAt: r.CreatedAt.Time(), UpdatedAt: r.UpdatedAt.Time(),
		passwordHash: r.PasswordHash, passwordChangedAt: r.PasswordChangedAt.Time()}
}

func one(r userdb.User, err error) (User, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return User{}, fault.NotFoundf("There is no such user.")
	}
	if err != nil {
		return User{}, fmt.Errorf("user: load: %w", err)
	}
	return fromRow(r), nil
}

// CanonicalName is the form under which e-mail addresses and user names are compared and counted:
// compatibility-normalised, lower case, without surrounding space, the domain of an address in ASCII, so that no
// spelling of a name is a second name.
func CanonicalName(s string) string {
	key := strings.ToLower(norm.NFKC.String(strings.TrimSpace(s)))
	local, domain, isAddress := strings.Cut(key, "@")
	if ascii, err := idna.Lookup.ToASCII(domain); isAddress && !isASCII(domain) && err == nil {
		return local + "@" + ascii
	}
	return key
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// checkEmail brings an address into the form in which it is stored and mailed to, and validates that form:
// compatibility characters are what they stand for, and an international domain is in ASCII (RFC 5891). What is before
// the @ must be ASCII, since few mail servers take anything else (RFC 6531).
func checkEmail(email string) (clean, key string, err error) {
	clean = strings.TrimSpace(email)
	if r := strings.IndexFunc(clean, isInvisible); r >= 0 {
		c, _ := utf8.DecodeRuneInString(clean[r:])
		return "", "", fault.Invalidf("email", "has an invisible character (%U) at place %d: type it anew", c,
			utf8.RuneCountInString(clean[:r])+1)
	}
	clean = norm.NFKC.String(clean)
	key = CanonicalName(clean)
	wrong := fault.Invalidf("email", "must be one e-mail address such as ana@example.com")
	local, domain, found := strings.Cut(clean, "@")
	if len(key) > 254 || !utf8.ValidString(clean) || !found || strings.Contains(domain, "@") ||
		strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", "", wrong
	}
	if !isASCII(local) {
		return "", "", fault.Invalidf("email", "must have ASCII characters only before the @, such as "+
			"ana@example.com: most mail servers deliver no others")
	}
	if !isASCII(domain) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", "", fault.Invalidf("email", "has characters outside ASCII behind the @ that are no domain")
		}
	}
	clean = local + "@" + domain
	if key = strings.ToLower(clean); local == "" || len(local) > 64 || !isDomain(strings.ToLower(domain)) ||
		len(key) > 254 {
		return "", "", wrong
	}
	if a, err := mail.ParseAddress(key); err != nil || a.Address != key || a.Name != "" {
		return "", "", wrong
	}
	return clean, key, nil
}

// CheckAddress brings an e-mail address into the form under which addresses are compared, and refuses what is none.
func CheckAddress(email string) (key string, err error) {
	_, key, err = checkEmail(email)
	return key, err
}

// isInvisible finds characters that nobody sees, so that two addresses look the same: format characters, those that
// join or select forms, and fillers.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// isDomain accepts a dotted name in ASCII; an internationalised domain comes in its xn-- form.
func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	if len(domain) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || l[0] == '-' ||
			l[len(l)-1] == '-' {
			return false
		}
	}
	return true
}

// checkUsername accepts the user's own e-mail address, as it is stored, or a plain name. A name with an @ could pass
// for someone else's address.
func checkUsername(username, email string) (clean, key string, err error) {
	clean = norm.NFKC.String(strings.TrimSpace(username))
	key = CanonicalName(clean)
	if key == CanonicalName(email) {
		return email, key, nil
	}
	n := utf8.RuneCountInString(key)
	if n < 2 || n > 100 || strings.ContainsFunc(key, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	}) {
		return "", "", fault.Invalidf("username", "must be the e-mail address or have 2 to 100 letters, digits, "+
			"dots, hyphens and underscores")
	}
	return clean, key, nil
}

func checkText(field, s string, least, most int) (string, error) {
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n < least || n > most || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, unicode.IsControl) {
		return "", fault.Invalidf(field, "must have %d to %d characters and no control characters", least, most)
	}
	return s, nil
}

// Package organization owns the tenants: their slugs, states and settings. It knows nothing of users or credentials;
// whoever joins a principal asks it whether the organization is active.
package organization

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // machines without zone files know the zones too
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
)

// State of an organization.
type State string

// Suspended stops every credential until resumed; Deleted is for good.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Deleted   State = "deleted"
)

// Organization is a tenant. Exactly one is the platform: the home of its operators.
type Organization struct {
	ID                id.Organization
	Slug              string
	AccountNumber     string // digits; other systems name the account by it. Empty: none
	Name              string
	Platform          bool
	State             State
	MachineCredential MachineCredential
	Profile           Profile
	Settings          Settings
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// MachineCredential is the one kind of credential with which an organization's systems speak ServiceBroker. Those of
// the other kind rest: they are refused everywhere, and work again when the organization changes back.
type MachineCredential string

// The kinds.
const (
	SystemTokens MachineCredential = "system_token"
	OAuth2       MachineCredential = "oauth2"
)

// Profile is how others know an organization. It decides nothing.
type Profile struct {
	Email       string `json:"email,omitzero"`
	ExternalID  string `json:"externalId,omitzero"` // in the system that provisioned it
	Description string `json:"description,omitzero"`
	SID         string `json:"sid,omitzero"`    // its identifier there; the slug unless something else was given
	Domain      string `json:"domain,omitzero"` // of its addresses on the internet
}

var accountPattern = regexp.MustCompile(`^[0-9]{3,20}$`)

// check validates what others know the organization by.
func (o *Organization) check() error {
	var w faults
	if o.Profile.SID = strings.TrimSpace(o.Profile.SID); o.Profile.SID == "" {
		o.Profile.SID = o.Slug
	}
	if o.AccountNumber != "" && !accountPattern.MatchString(o.AccountNumber) {
		w.add("accountNumber", "must have 3 to 20 digits")
	}
	if o.MachineCredential != SystemTokens && o.MachineCredential != OAuth2 {
		w.add("machineCredential", "must be system_token or oauth2")
	}
	o.Profile.check(&w)
	return w.err()
}

// check trims and bounds what people and other systems write.
func (p *Profile) check(w *faults) {
	for _, f := range []struct {
		name string
		text *string
		most int
	}{
		{"profile.email", &p.Email, 254}, {"profile.externalId", &p.ExternalID, 200},
		{"profile.description", &p.Description, 1000}, {"profile.sid", &p.SID, 100}, {"profile.domain", &p.Domain, 253},
	} {
		*f.text = strings.TrimSpace(*f.text)
		if utf8.RuneCountInString(*f.text) > f.most || !utf8.ValidString(*f.text) ||
			strings.ContainsFunc(*f.text, unicode.IsControl) {
			w.add(f.name, "must have at most %d characters and no control characters", f.most)
		}
	}
	if p.Email == "" {
		return
	}
	if a, err := mail.ParseAddress(p.Email); err != nil || a.Address != p.Email {
		w.add("profile.email", "must be one e-mail address such as ana@example.com")
	}
}

// faults collects wrong fields.
type faults []fault.Field

func (w *faults) add(field, format string, args ...any) {
	*w = append(*w, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// seconds holds a time to its bounds. zero says what 0 means; empty: nothing, and it is not allowed.
func (w *faults) seconds(field string, n int64, least, most time.Duration, zero string) {
	low, high := int64(least/time.Second), int64(most/time.Second)
	if (n != 0 || zero == "") && (n < low || n > high) {
		w.add(field, "must be %sfrom %d to %d", zero, low, high)
	}
}

func (w faults) err() error {
	if len(w) == 0 {
		return nil
	}
	return fault.InvalidFields(w)
}

// CheckOrigin accepts a web origin as browsers write it: scheme and host, with a port unless it is the scheme's own.
// Plain http is for loopback only.
func CheckOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || len(o) > 300 || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme+"://"+u.Host != o || o != strings.ToLower(o) {
		return fmt.Errorf("must be an origin such as https://app.example.com: lower case, without path")
	}
	if err := checkHost(u.Hostname()); err != nil {
		return err
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); strings.HasSuffix(u.Host, ":") ||
		u.Port() != "" && (err != nil || n == 0 || u.Port()[0] == '0') {
		return fmt.Errorf("must have a port from 1 to 65535, or none")
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return fmt.Errorf("must be https unless it is loopback")
	}
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		return fmt.Errorf("must leave out the scheme's own port, as browsers do")
	}
	return nil
}

// ownScheme is a private-use scheme: its name is a domain turned round (RFC 8252 §7.1).
var ownScheme = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+$`)

// CheckRedirect accepts an address to which a browser may be led back with a code: https, plain http on loopback, or a
// native application's own scheme; without a fragment (RFC 6749 §3.1.2). It is compared byte by byte, never by pattern.
func CheckRedirect(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > 1000 || u.Fragment != "" || strings.HasSuffix(uri, "#") || u.User != nil ||
		u.Opaque != "" || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return fmt.Errorf("must be an absolute address such as https://app.example.com/callback, without fragment")
	}
	switch host := u.Hostname(); {
	case u.Scheme == "https" && host != "":
		return nil
	case u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1"):
		return nil
	case ownScheme.MatchString(u.Scheme):
		return nil
	}
	return fmt.Errorf("must be https, http on loopback, or an application's own scheme such as com.example.app")
}

// checkHost accepts a host as browsers write it (WHATWG URL §3.5): what is another spelling to them never matches.
func checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		want := a.String()
		if a.Is4In6() {
			b := a.As16()
			want = fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]))
		}
		if host != want {
			return fmt.Errorf("must have the address as browsers write it: %s", want)
		}
		return nil
	}
	if !hostPattern.MatchString(host) {
		return fmt.Errorf("must name one host, in ASCII")
	}
	if last := host[strings.LastIndex(host, ".")+1:]; numberPattern.MatchString(last) {
		return fmt.Errorf("must name one host: browsers read one that ends in a number as an address, and this is none")
	}
	if strings.Contains(host, "xn--") {
		if ascii, err := idna.Lookup.ToASCII(host); err != nil || ascii != host {
			return fmt.Errorf("must name one host: its xn-- form stands for no name")
		}
	}
	return nil
}

// numberPattern is what makes browsers read a host as an IPv4 address.
var numberPattern = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// hostPattern is a name as browsers send it: in another script in its ASCII form, and with an underscore where somebody
// named a host so (RFC 1123 §2.1 has none).
var hostPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

var slugPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)

// CheckSlug accepts 3–63 lower-case letters, digits and hyphens, as a DNS label.
func CheckSlug(slug string) error {
	if !slugPattern.MatchString(slug) || strings.Contains(slug, "--") {
		return fault.Invalidf("slug", "must have 3 to 63 lower-case letters, digits and single hyphens, begin with a "+
			"letter and not end with a hyphen")
	}
	return nil
}

package organization

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/faulttest"
)

// D6: what others know an organization by is bounded, field by field.
func TestD6_Profile(t *testing.T) {
	t.Parallel()
	const ok = faulttest.OK
	invalid := faulttest.Invalid
	for _, c := range []struct {
		name   string
		change func(o *Organization)
		want   string
	}{
		{"nothing said", func(*Organization) {}, ok},

		{"the shortest account number", func(o *Organization) { o.AccountNumber = "007" }, ok},
		{"the longest account number", func(o *Organization) { o.AccountNumber = strings.Repeat("9", 20) }, ok},
		{"a shorter account number", func(o *Organization) { o.AccountNumber = "42" }, invalid("accountNumber")},
		{"a longer account number", func(o *Organization) { o.AccountNumber = strings.Repeat("9", 21) },
			invalid("accountNumber")},
		{"an account number with a letter", func(o *Organization) { o.AccountNumber = "50004a" },
			invalid("accountNumber")},
		{"an account number with a sign", func(o *Organization) { o.AccountNumber = "-5000" },
			invalid("accountNumber")},
		{"an account number of other digits", func(o *Organization) { o.AccountNumber = "٥٠٠٠" },
			invalid("accountNumber")},
		{"an account number with a line break", func(o *Organization) { o.AccountNumber = "5000\n" },
			invalid("accountNumber")},

		{"OAuth", func(o *Organization) { o.MachineCredential = OAuth2 }, ok},
		{"no machine credential", func(o *Organization) { o.MachineCredential = "" }, invalid("machineCredential")},
		{"another machine credential", func(o *Organization) { o.MachineCredential = "OAuth2" },
			invalid("machineCredential")},

		{"an address", func(o *Organization) { o.Profile.Email = "desk@acme-corp.example" }, ok},
		{"the longest address", func(o *Organization) {
			o.Profile.Email = strings.Repeat("a", 254-len("@acme-corp.example")) + "@acme-corp.example"
		}, ok},
		{"a longer address", func(o *Organization) {
			o.Profile.Email = strings.Repeat("a", 255-len("@acme-corp.example")) + "@acme-corp.example"
		}, invalid("profile.email")},
		{"no address", func(o *Organization) { o.Profile.Email = "acme-corp.example" }, invalid("profile.email")},
		{"an address with a name", func(o *Organization) { o.Profile.Email = "Desk <desk@acme-corp.example>" },
			invalid("profile.email")},
		{"an address in brackets", func(o *Organization) { o.Profile.Email = "<desk@acme-corp.example>" },
			invalid("profile.email")},
		{"two addresses", func(o *Organization) { o.Profile.Email = "a@acme-corp.example, b@acme-corp.example" },
			invalid("profile.email")},
		{"an address with a header", func(o *Organization) {
			o.Profile.Email = "a@acme-corp.example\r\nBcc: b@b.example"
		}, invalid("profile.email", "profile.email")},

		{"the longest external id", func(o *Organization) { o.Profile.ExternalID = strings.Repeat("é", 200) }, ok},
		{"a longer external id", func(o *Organization) { o.Profile.ExternalID = strings.Repeat("é", 201) },
			invalid("profile.externalId")},
		{"the longest description", func(o *Organization) { o.Profile.Description = strings.Repeat("é", 1000) }, ok},
		{"a longer description", func(o *Organization) { o.Profile.Description = strings.Repeat("é", 1001) },
			invalid("profile.description")},
		{"the longest SID", func(o *Organization) { o.Profile.SID = strings.Repeat("é", 100) }, ok},
		{"a longer SID", func(o *Organization) { o.Profile.SID = strings.Repeat("é", 101) }, invalid("profile.sid")},
		{"the longest domain", func(o *Organization) { o.Profile.Domain = strings.Repeat("a", 253) }, ok},
		{"a longer domain", func(o *Organization) { o.Profile.Domain = strings.Repeat("a", 254) },
			invalid("profile.domain")},
		{"control characters", func(o *Organization) {
			o.Profile.ExternalID, o.Profile.Description, o.Profile.SID, o.Profile.Domain = "a\x00b", "a\nb", "a\tb",
				"a\x7fb"
		}, invalid("profile.description", "profile.domain", "profile.externalId", "profile.sid")},
		{"no UTF-8", func(o *Organization) { o.Profile.Description = "\xff" }, invalid("profile.description")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Organization{Slug: "acme-corp", MachineCredential: SystemTokens}
			c.change(&o)
			faulttest.Check(t, o.check(), c.want)
		})
	}
}

// D6: the space around a text is not part of it, and an organization without a SID has its slug for one.
func TestD6_Trimmed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, want Profile }{
		{Profile{}, Profile{SID: "acme-corp"}},
		{Profile{SID: " \t"}, Profile{SID: "acme-corp"}},
		{Profile{SID: " S-1 "}, Profile{SID: "S-1"}},
		{Profile{" a@acme-corp.example ", " x ", " d ", " s ", " acme-corp.example "},
			Profile{"a@acme-corp.example", "x", "d", "s", "acme-corp.example"}},
	} {
		o := Organization{Slug: "acme-corp", MachineCredential: SystemTokens, Profile: c.given}
		if err := o.check(); err != nil || o.Profile != c.want {
			t.Errorf("%+v becomes %+v, %v", c.given, o.Profile, err)
		}
	}
}

// An organization has a name of 1 to 200 characters.
func TestName(t *testing.T) {
	t.Parallel()
	wrong := faulttest.Invalid("name")
	for _, c := range []struct{ title, name, clean, want string }{
		{"a name", "acme-corp", "acme-corp", faulttest.OK},
		{"space around", "\t acme corp ", "acme corp", faulttest.OK},
		{"the shortest", "a", "a", faulttest.OK},
		{"the longest", strings.Repeat("é", 200), strings.Repeat("é", 200), faulttest.OK},
		{"longer", strings.Repeat("a", 201), "", wrong},
		{"empty", "", "", wrong},
		{"only space", " \n ", "", wrong},
		{"a line break within", "acme\ncorp", "", wrong},
		{"no UTF-8", "acme\xffcorp", "", wrong},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			clean, err := checkName(c.name)
			faulttest.Check(t, err, c.want)
			if clean != c.clean {
				t.Errorf("%q becomes %q, want %q", c.name, clean, c.clean)
			}
		})
	}
}

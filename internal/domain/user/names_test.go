package user

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/test/faulttest"
)

// ATK17, ATK46: an address is brought into one form first, and what is compared is what was validated.
func TestATK17_Email(t *testing.T) {
	t.Parallel()
	wrong := invalid("email")
	label := strings.Repeat("b", 63)
	domain := label + "." + label + "." + label // 191
	for _, c := range []struct{ name, email, key, want string }{
		{"plain", "ana@acme-corp.example", "ana@acme-corp.example", ok},
		{"space around", " ana@acme-corp.example\n", "ana@acme-corp.example", ok},
		{"upper case", "Ana@ACME-Corp.example", "ana@acme-corp.example", ok},
		{"full width", "ａｎａ@acme-corp.example", "ana@acme-corp.example", ok},
		{"full-width domain", "ana@ａcme-corp.example", "ana@acme-corp.example", ok},
		{"a ligature", "ﬁn@acme-corp.example", "fin@acme-corp.example", ok},
		{"a full-width @", "ana＠acme-corp.example", "ana@acme-corp.example", ok},
		{"another script", "ana@münchen.example", "ana@xn--mnchen-3ya.example", ok},
		{"another script in upper case", "ana@MÜNCHEN.example", "ana@xn--mnchen-3ya.example", ok},
		{"another script, decomposed", "ana@mu\u0308nchen.example", "ana@xn--mnchen-3ya.example", ok},
		{"a sharp s", "ana@straße.example", "ana@xn--strae-oqa.example", ok},
		{"Cyrillic", "ana@пример.example", "ana@xn--e1afmkfd.example", ok},
		{"another dot", "ana@acme-corp。example", "ana@acme-corp.example", ok},
		{"a tag", "ana+desk@acme-corp.example", "ana+desk@acme-corp.example", ok},
		{"an apostrophe", "o'ana@acme-corp.example", "o'ana@acme-corp.example", ok},
		{"punycode", "ana@xn--mnchen-3ya.example", "ana@xn--mnchen-3ya.example", ok},
		{"the longest local part", strings.Repeat("a", 64) + "@acme-corp.example",
			strings.Repeat("a", 64) + "@acme-corp.example", ok},
		{"a longer local part", strings.Repeat("a", 65) + "@acme-corp.example", "", wrong},
		{"the longest label", "ana@" + label + ".example", "ana@" + label + ".example", ok},
		{"a longer label", "ana@b" + label + ".example", "", wrong},
		{"the longest", strings.Repeat("a", 62) + "@" + domain, strings.Repeat("a", 62) + "@" + domain, ok},
		{"longer", strings.Repeat("a", 63) + "@" + domain, "", wrong},

		{"empty", "", "", wrong},
		{"no @", "acme-corp.example", "", wrong},
		{"no local part", "@acme-corp.example", "", wrong},
		{"no domain", "ana@", "", wrong},
		{"two @", "ana@b@acme-corp.example", "", wrong},
		{"a second, full-width @", "ana＠b.example@acme-corp.example", "", wrong},
		{"a quoted @", `"ana@b.example"@acme-corp.example`, "", wrong},
		{"quotes", `"ana"@acme-corp.example`, "", wrong},
		{"a name", "Ana <ana@acme-corp.example>", "", wrong},
		{"brackets", "<ana@acme-corp.example>", "", wrong},
		{"a comment", "ana(x)@acme-corp.example", "", wrong},
		{"two addresses", "ana@acme-corp.example,b@acme-corp.example", "", wrong},
		{"a header", "ana@acme-corp.example\r\nBcc: b@b.example", "", wrong},
		{"a space within", "an a@acme-corp.example", "", wrong},
		{"a wide space within", "an\u3000a@acme-corp.example", "", wrong},
		{"a space of another script", "an\u1680a@acme-corp.example", "", wrong},
		{"a NUL", "ana\x00@acme-corp.example", "", wrong},
		{"no UTF-8", "an\xffa@acme-corp.example", "", wrong},
		{"a dot first", ".ana@acme-corp.example", "", wrong},
		{"a dot last", "ana.@acme-corp.example", "", wrong},
		{"two dots", "an..a@acme-corp.example", "", wrong},
		{"a domain of one label", "ana@localhost", "", wrong},
		{"a dot behind", "ana@acme-corp.example.", "", wrong},
		{"a dot before the domain", "ana@.acme-corp.example", "", wrong},
		{"a hyphen first", "ana@-acme.example", "", wrong},
		{"a hyphen last", "ana@acme-.example", "", wrong},
		{"an underscore", "ana@acme_corp.example", "", wrong},
		{"a composed letter", "anäis@acme-corp.example", "", wrong},
		{"a decomposed letter", "ana\u0308is@acme-corp.example", "", wrong},
		{"a letter of another script that looks the same", "аna@acme-corp.example", "", wrong},
		{"no domain of another script", "ana@-ü.example", "", wrong},
		{"two directions", "ana@aא.example", "", wrong},
		{"a zero-width space", "an\u200ba@acme-corp.example", "", wrong},
		{"a zero-width space in the domain", "ana@acme\u200b-corp.example", "", wrong},
		{"a soft hyphen", "ana@acme\u00ad-corp.example", "", wrong},
		{"a joiner", "an\u200da@acme-corp.example", "", wrong},
		{"a mark of byte order before", "\ufeffana@acme-corp.example", "", wrong},
		{"a mark of byte order behind", "ana@acme-corp.example\ufeff", "", wrong},
		{"what turns the line", "an\u202ea@acme-corp.example", "", wrong},
		{"a variation selector", "ana\ufe0f@acme-corp.example", "", wrong},
		{"a filler", "an\u3164a@acme-corp.example", "", wrong},
		{"a tag character", "ana\U000e0061@acme-corp.example", "", wrong},
		{"an address of a machine", "ana@[192.0.2.7]", "", wrong},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clean, key, err := checkEmail(c.email)
			faulttest.Check(t, err, c.want)
			if key != c.key || err == nil && strings.ToLower(clean) != key { // stored as it was validated
				t.Errorf("%q becomes %q and is compared as %q, want %q", c.email, clean, key, c.key)
			}
		})
	}
}

// ATK17: a refused address is told why.
func TestATK17_WhyAnAddressIsRefused(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{
		"anäis@acme-corp.example":      "ASCII characters only before the @",
		"ana@-ü.example":               "outside ASCII behind the @",
		"an\u200ba@acme-corp.example":  "an invisible character (U+200B) at place 3",
		"ana@acme\u00ad-corp.example":  "an invisible character (U+00AD) at place 9",
		"ana":                          "must be one e-mail address such as",
		"ana＠b.example@acme-corp.test": "must be one e-mail address such as",
	} {
		if _, _, err := checkEmail(email); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", email, err, want)
		}
	}
}

// ATK46, ATK17: however the domain of an address is written, it is one name.
func TestATK46_DomainsInEveryForm(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ana@münchen.example", "Ana@MÜNCHEN.example", "ana＠mu\u0308nchen.example",
		" ana@xn--mnchen-3ya.example", "ana@XN--MNCHEN-3YA.example", "ana@münchen。example"} {
		if got := CanonicalName(name); got != "ana@xn--mnchen-3ya.example" {
			t.Errorf("%q is compared as %q", name, got)
		}
	}
}

// ATK56: a user name is one's own address or a name that is nobody's address.
func TestATK56_Username(t *testing.T) {
	t.Parallel()
	wrong := invalid("username")
	for _, c := range []struct{ title, name, key, want string }{
		{"one's own address", "ana@acme-corp.example", "ana@acme-corp.example", ok},
		{"one's own address, spelt otherwise", " ANA@acme-corp.example", "ana@acme-corp.example", ok},
		{"another's address", "b@acme-corp.example", "", wrong},
		{"something with an @", "@ana", "", wrong},
		{"something with a full-width @", "＠ana", "", wrong},
		{"the shortest", "an", "an", ok},
		{"shorter", "a", "", wrong},
		{"the longest", strings.Repeat("é", 100), strings.Repeat("é", 100), ok},
		{"longer", strings.Repeat("a", 101), "", wrong},
		{"signs", "a.n-a_1", "a.n-a_1", ok},
		{"upper case", "ANA", "ana", ok},
		{"full width", "ａｎａ", "ana", ok},
		{"a small number", "ana²", "ana2", ok},
		{"another script", "анна", "анна", ok},
		{"empty", "", "", wrong},
		{"only space", "  ", "", wrong},
		{"a space within", "an a", "", wrong},
		{"a slash", "an/a", "", wrong},
		{"a colon", "an:a", "", wrong},
		{"an invisible character", "an\u200ba", "", wrong},
		{"a character that turns the line", "an\u202ea", "", wrong},
		{"a line break", "an\na", "", wrong},
		{"no UTF-8", "an\xffa", "", wrong},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			_, key, err := checkUsername(c.name, "ana@acme-corp.example")
			faulttest.Check(t, err, c.want)
			if key != c.key {
				t.Errorf("%q is compared as %q, want %q", c.name, key, c.key)
			}
		})
	}
}

// A55: the texts of users and teams are bounded in characters.
func TestA55_Texts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		team        Team
		want        string
		description string
	}{
		{"the least", Team{Name: " a "}, ok, ""},
		{"the most", Team{Name: strings.Repeat("é", 100), Description: strings.Repeat("é", 500)}, ok,
			strings.Repeat("é", 500)},
		{"no name", Team{Name: "\t"}, invalid("name"), ""},
		{"a longer name", Team{Name: strings.Repeat("a", 101)}, invalid("name"), ""},
		{"a longer description", Team{Name: "a", Description: strings.Repeat("a", 501)}, invalid("description"), ""},
		{"a name of two lines", Team{Name: "a\nb"}, invalid("name"), ""},
		{"a description that is no UTF-8", Team{Name: "a", Description: "\xff"}, invalid("description"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			team := c.team
			faulttest.Check(t, team.check(), c.want)
			if team.Description != c.description {
				t.Errorf("the description %q", team.Description)
			}
		})
	}
}

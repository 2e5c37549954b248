package organization_test

import (
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

// A4: an origin is written as browsers write it. Any other spelling would never match, or match more than meant.
func TestA4_Origin(t *testing.T) {
	t.Parallel()
	long := "b" + strings.Repeat("abcdefghi.", 28)
	const form, plain, port, host, number = "must be an origin", "must be https", "must leave out",
		"must name one host", "must have a port"
	const address = "must have the address as browsers write it"
	for _, c := range []struct{ name, origin, want string }{
		{"a host", "https://app.example.com", ""},
		{"a host of one label", "https://app", ""},
		{"a port", "https://app.example.com:8443", ""},
		{"the other scheme's port", "https://app.example.com:80", ""},
		{"punycode", "https://xn--mnchen-3ya.example", ""},
		{"an address", "https://192.0.2.7", ""},
		{"an IPv6 address", "https://[2001:db8::7]:8443", ""},
		{"loopback by name", "http://localhost:3000", ""},
		{"loopback by address", "http://127.0.0.1:3000", ""},
		{"loopback by IPv6 address", "http://[::1]:3000", ""},
		{"an underscore", "https://my_app.example.com", ""},
		{"the longest", "https://" + long + "example.com", ""},

		{"longer", "https://a" + long + "example.com", form},
		{"empty", "", form},
		{"null", "null", form},
		{"any", "*", form},
		{"no scheme", "app.example.com", form},
		{"no scheme but slashes", "//app.example.com", form},
		{"no host", "https://", form},
		{"a slash behind", "https://app.example.com/", form},
		{"a path", "https://app.example.com/a", form},
		{"a query", "https://app.example.com?a=b", form},
		{"an empty query", "https://app.example.com?", form},
		{"a fragment", "https://app.example.com#a", form},
		{"an empty fragment", "https://app.example.com#", form},
		{"a user", "https://user@app.example.com", form},
		{"an empty user", "https://@app.example.com", form},
		{"upper case", "https://App.example.com", form},
		{"an upper-case scheme", "HTTPS://app.example.com", form},
		{"an escape", "https://%61pp.example.com", form},
		{"a space before", " https://app.example.com", form},
		{"a space behind", "https://app.example.com ", form},
		{"a line break", "https://app.example.com\n", form},
		{"a port that is no number", "https://app.example.com:http", form},
		{"another scheme", "ftp://app.example.com", form},
		{"a script", "javascript://app.example.com", form},
		{"an extension", "chrome-extension://abc", form},
		{"a file", "file://localhost", form},

		{"a wildcard", "https://*.example.com", host},
		{"markup", `https://"><script>`, host},
		{"a semicolon", "https://app.example.com;", host},
		{"a dot alone", "https://.", host},
		{"a dot behind", "https://app.example.com.", host},
		{"two underscores in front", "https://__.example.com", host},
		{"another script", "https://müller.example", host},
		{"an empty port", "https://app.example.com:", number},
		{"a port with a zero before", "https://app.example.com:0443", number},
		{"a port too far", "https://app.example.com:99999", number},
		{"port 0", "https://app.example.com:0", number},

		{"an IPv6 address of many zeros", "https://[0:0:0:0:0:0:0:7]", address},
		{"an IPv6 address with zeros before", "https://[2001:0db8::7]", address},
		{"an IPv4 address in IPv6", "https://[::ffff:192.0.2.7]", address},
		{"an IPv4 address in IPv6, as browsers write it", "https://[::ffff:c000:207]", ""},
		{"an address in short", "https://127.1", host},
		{"an address as a number", "https://2130706433", host},
		{"an address in hexadecimal", "https://0x7f.0.0.1", host},
		{"an address in octal", "https://0177.0.0.01", host},
		{"an address out of range", "https://256.0.2.7", host},
		{"a name that ends in a number", "https://app.example.7", host},
		{"a name that ends in a hexadecimal number", "https://app.0x7", host},
		{"punycode of nothing", "https://xn--99999999999.example", host},
		{"punycode of what is ASCII", "https://xn--app-.example", host},

		{"plain http", "http://app.example.com", plain},
		{"plain http to a name that begins as loopback", "http://localhost.example.com", plain},
		{"plain http to another loopback address", "http://127.0.0.2", plain},
		{"the scheme's own port", "https://app.example.com:443", port},
		{"plain http's own port", "http://localhost:80", port},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := organization.CheckOrigin(c.origin); err != nil {
				got = err.Error()
			}
			if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
				t.Errorf("%q: got %q, want %q", c.origin, got, c.want)
			}
		})
	}
}

// A42: a slug is one label of a host name.
func TestA42_Slug(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, slug, want string }{
		{"the shortest", "abc", ok},
		{"the longest", "a" + strings.Repeat("b", 62), ok},
		{"digits", "a12", ok},
		{"hyphens", "acme-corp-2", ok},
		{"too short", "ab", invalid("slug")},
		{"too long", "a" + strings.Repeat("b", 63), invalid("slug")},
		{"empty", "", invalid("slug")},
		{"a digit first", "1abc", invalid("slug")},
		{"a hyphen first", "-abc", invalid("slug")},
		{"a hyphen last", "abc-", invalid("slug")},
		{"two hyphens", "acme--corp", invalid("slug")},
		{"punycode", "xn--acme-corp", invalid("slug")},
		{"upper case", "Acme", invalid("slug")},
		{"an underscore", "acme_corp", invalid("slug")},
		{"a dot", "acme.corp", invalid("slug")},
		{"an accent", "acmé-corp", invalid("slug")},
		{"a look-alike", "асме-corp", invalid("slug")}, // Cyrillic
		{"a space", "acme corp", invalid("slug")},
		{"a line break behind", "acme\n", invalid("slug")},
		{"a NUL behind", "acme\x00", invalid("slug")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faulttest.Check(t, organization.CheckSlug(c.slug), c.want)
		})
	}
}

// D6: an organization that is provisioned under a name gets a slug from it, whatever the name.
func TestD6_SlugOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, want string }{
		{"acme corp", "acme-corp"},
		{"  ACME   Corp!  ", "acme-corp"},
		{"acme--corp", "acme-corp"},
		{"Straße 7", "strasse-7"},
		{"Señor Crème Brûlée", "senor-creme-brulee"},
		{"Ørsted Łódź", "orsted-lodz"},
		{"ﬁne", "fine"},
		{"7 days", "org-7-days"},
		{"a", "a-org"},
		{"ab", "ab-org"},
		{"abc", "abc"},
		{"", "org"},
		{"!!!", "org"},
		{"株式会社", "org"},
		{"東京 office", "office"},
		{"x\u0301\u0301", "x-org"},
		{strings.Repeat("a", 60), strings.Repeat("a", 50)},
		{strings.Repeat("a", 49) + " b", strings.Repeat("a", 49)},
		{strings.Repeat("1", 60), "org-" + strings.Repeat("1", 46)},
		{"\xff\xfe", "org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := organization.SlugOf(c.name)
			if got != c.want {
				t.Errorf("%q gives %q, want %q", c.name, got, c.want)
			}
			if err := organization.CheckSlug(got); err != nil {
				t.Errorf("%q gives %q: %v", c.name, got, err)
			}
		})
	}
}

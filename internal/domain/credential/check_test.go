package credential

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/test/faulttest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// networks reads a list of networks.
func networks(t *testing.T, list ...string) []netip.Prefix {
	t.Helper()
	out, err := ParseAddresses(list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A14, A16, C4, D1: what does not depend on who asks: each field's smallest and largest value and one past each.
func TestA14_Check(t *testing.T) {
	t.Parallel()
	const century = 100 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name   string
		kind   Kind
		change func(c *Credential)
		want   string
	}{
		{"an API key", APIKey, func(*Credential) {}, ok},
		{"the longest name", APIKey, func(c *Credential) { c.Name = strings.Repeat("é", 200) }, ok},
		{"a longer name", APIKey, func(c *Credential) { c.Name = strings.Repeat("a", 201) }, invalid("name")},
		{"no name", APIKey, func(c *Credential) { c.Name = " \t" }, invalid("name")},
		{"a name of two lines", APIKey, func(c *Credential) { c.Name = "a\nb" }, invalid("name")},
		{"a name that is no UTF-8", APIKey, func(c *Credential) { c.Name = "\xff" }, invalid("name")},
		{"the longest purpose", APIKey, func(c *Credential) { c.Purpose = strings.Repeat("é", 500) }, ok},
		{"a longer purpose", APIKey, func(c *Credential) { c.Purpose = strings.Repeat("a", 501) }, invalid("purpose")},

		{"the smallest rate", APIKey, func(c *Credential) { c.RateLimit = 1 }, ok},
		{"the largest rate", APIKey, func(c *Credential) { c.RateLimit = 100_000 }, ok},
		{"no rate", APIKey, func(c *Credential) { c.RateLimit = 0 }, invalid("rateLimitPerMinute")},
		{"a larger rate", APIKey, func(c *Credential) { c.RateLimit = 100_001 }, invalid("rateLimitPerMinute")},
		{"a negative rate", APIKey, func(c *Credential) { c.RateLimit = -1 }, invalid("rateLimitPerMinute")},
		{"no rate of another kind", SystemToken, func(c *Credential) { c.RateLimit = 0 }, ok},
		{"a negative rate of another kind", SystemToken, func(c *Credential) { c.RateLimit = -1 },
			invalid("rateLimitPerMinute")},

		{"the latest end", APIKey, func(c *Credential) { c.ExpiresAt = noon.Add(century) }, ok},
		{"a later end", APIKey, func(c *Credential) { c.ExpiresAt = noon.Add(century + 1) }, invalid("expiresAt")},
		{"an end of an access token", AccessToken, func(c *Credential) { c.ExpiresAt = noon.Add(1) }, ok},
		{"an end of a secret", ClientSecret, func(c *Credential) { c.ExpiresAt = noon.Add(1) }, ok},
		{"an end of a system token", SystemToken, func(c *Credential) { c.ExpiresAt = noon.Add(1) },
			invalid("expiresAt")},
		{"an end of an application token", ApplicationToken, func(c *Credential) { c.ExpiresAt = noon.Add(1) },
			invalid("expiresAt")},

		{"the most addresses", APIKey, func(c *Credential) { c.Addresses = make([]netip.Prefix, 100) }, ok},
		{"one address too many", APIKey, func(c *Credential) { c.Addresses = make([]netip.Prefix, 101) },
			invalid("allowedAddresses")},

		{"the most resources", AccessToken, func(c *Credential) { c.Resources = same(50, "tickets") }, ok},
		{"one resource too many", AccessToken, func(c *Credential) { c.Resources = same(51, "tickets") },
			invalid("resources")},
		{"a resource that is none", AccessToken, func(c *Credential) { c.Resources = []string{"tickets", "nothing"} },
			invalid("resources[1]")},
		{"a resource of another case", AccessToken, func(c *Credential) { c.Resources = []string{"Tickets"} },
			invalid("resources[0]")},
		{"resources of an API key", APIKey, func(c *Credential) { c.Resources = []string{"tickets"} },
			invalid("resources")},
		{"resources of a system token", SystemToken, func(c *Credential) { c.Resources = []string{"tickets"} },
			invalid("resources")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &Service{now: func() time.Time { return noon }}
			cr := Credential{Kind: c.kind, Name: " a name ", RateLimit: table[c.kind].Rate}
			c.change(&cr)
			given := cr.Purpose
			faulttest.Check(t, s.check(&cr), c.want)
			if c.want == ok && given == "" && (cr.Purpose != cr.Name || cr.Name != strings.TrimSpace(cr.Name)) {
				t.Errorf("the name %q, the purpose %q", cr.Name, cr.Purpose)
			}
		})
	}
}

// ATK31, G12: which machine may make which kind. All others make nothing.
func TestG12_MayMint(t *testing.T) {
	t.Parallel()
	kinds := []principal.Kind{principal.User, principal.APIKey, principal.AccessToken, principal.SystemToken,
		principal.ApplicationToken, principal.Client, principal.System}
	may := map[string]bool{
		"api_key with api_keys:manage:own makes api_key":                true,
		"api_key with api_keys:manage:all makes api_key":                true,
		"system_token with system_tokens:create:all makes system_token": true,
		"system_token with system_tokens:manage:all makes system_token": true,
	}
	met := 0
	for _, by := range kinds {
		for _, held := range []string{"api_keys:manage:own", "api_keys:manage:all", "api_keys:create:all",
			"system_tokens:create:all", "system_tokens:manage:all", "system_tokens:update:all", "clients:manage:all"} {
			for _, kind := range Kinds {
				name := fmt.Sprintf("%s with %s makes %s", by, held, kind)
				p := principal.Principal{Kind: by, Permissions: permission.ParseKnown([]string{held})}
				if got := mayMint(p, kind); got != may[name] {
					t.Errorf("%s: %v", name, got)
				}
				if may[name] {
					met++
				}
			}
		}
	}
	if met != len(may) {
		t.Errorf("%d of %d combinations were met", met, len(may))
	}
}

// ATK31: what a machine gets the value of is bounded as the machine itself, at least.
func TestATK31_WithinBounds(t *testing.T) {
	t.Parallel()
	narrow, wide := networks(t, "192.0.2.7"), networks(t, "192.0.2.0/24")
	const ends, rate, places = "FORBIDDEN: What a credential makes, rotates or gives more to expires no later",
		"FORBIDDEN: What a credential makes, rotates or gives more to has no higher limit",
		"FORBIDDEN: What a credential makes, rotates or gives more to works from no other"
	for _, c := range []struct {
		name  string
		c, by Credential
		want  string
	}{
		{"no bounds", Credential{}, Credential{}, ok},
		{"ends sooner", Credential{ExpiresAt: noon}, Credential{ExpiresAt: noon.Add(1)}, ok},
		{"ends with it", Credential{ExpiresAt: noon}, Credential{ExpiresAt: noon}, ok},
		{"ends later", Credential{ExpiresAt: noon.Add(1)}, Credential{ExpiresAt: noon}, ends},
		{"ends never", Credential{}, Credential{ExpiresAt: noon}, ends},
		{"ends, of one that does not", Credential{ExpiresAt: noon}, Credential{}, ok},
		{"a lower rate", Credential{RateLimit: 9}, Credential{RateLimit: 10}, ok},
		{"the same rate", Credential{RateLimit: 10}, Credential{RateLimit: 10}, ok},
		{"a higher rate", Credential{RateLimit: 11}, Credential{RateLimit: 10}, rate},
		{"no rate", Credential{}, Credential{RateLimit: 10}, rate},
		{"a rate, of one without", Credential{RateLimit: 10}, Credential{}, ok},
		{"narrower", Credential{Addresses: narrow}, Credential{Addresses: wide}, ok},
		{"the same network", Credential{Addresses: wide}, Credential{Addresses: wide}, ok},
		{"wider", Credential{Addresses: wide}, Credential{Addresses: narrow}, places},
		{"everywhere", Credential{}, Credential{Addresses: narrow}, places},
		{"somewhere, of one from everywhere", Credential{Addresses: narrow}, Credential{}, ok},
		{"one address more", Credential{Addresses: networks(t, "192.0.2.7", "192.0.2.8")},
			Credential{Addresses: narrow}, places},
		{"each in one of several", Credential{Addresses: networks(t, "192.0.2.7", "2001:db8::7")},
			Credential{Addresses: networks(t, "2001:db8::/32", "192.0.2.0/24")}, ok},
		{"another family", Credential{Addresses: networks(t, "::/0")}, Credential{Addresses: networks(t, "0.0.0.0/0")},
			places},
		{"a mapped address is the plain one", Credential{Addresses: networks(t, "::ffff:192.0.2.7")},
			Credential{Addresses: wide}, ok},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faulttest.Check(t, withinBounds(c.c, c.by), c.want)
		})
	}
}

// A15, A17, C5: when a credential works, and which of its values.
func TestA17_Live(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		c    Credential
		want bool
	}{
		{"without an end", Credential{State: Active}, true},
		{"before its end", Credential{State: Active, ExpiresAt: noon.Add(1)}, true},
		{"at its end", Credential{State: Active, ExpiresAt: noon}, false},
		{"after its end", Credential{State: Active, ExpiresAt: noon.Add(-1)}, false},
		{"off", Credential{State: Off}, false},
		{"revoked", Credential{State: Revoked}, false},
		{"in no state", Credential{}, false},
	} {
		if got := c.c.Live(noon); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	c := Credential{digest: "now", previous: "before", OverlapUntil: noon}
	for _, o := range []struct {
		name, digest string
		at           time.Time
		want         bool
	}{
		{"the value", "now", noon, true},
		{"the former value in time", "before", noon.Add(-1), true},
		{"the former value at the end", "before", noon, false},
		{"another value", "other", noon.Add(-1), false},
		{"no value", "", noon.Add(-1), false},
	} {
		if got := c.opens(o.digest, o.at); got != o.want {
			t.Errorf("%s: %v", o.name, got)
		}
	}
	if (Credential{digest: "now", OverlapUntil: noon}).opens("", noon.Add(-1)) {
		t.Error("one that was never rotated is opened by no value")
	}
}

// A15, ATK32: for whom one may make a credential, and whose it is if nothing is said.
func TestATK32_Owner(t *testing.T) {
	t.Parallel()
	const acme, abroad = id.Organization("org_acme"), id.Organization("org_platform")
	me, you := &Owner{OwnedByUser, "usr_me"}, &Owner{OwnedByUser, "usr_you"}
	whole := &Owner{OwnedByOrganization, string(acme)}
	const forOthers, lost = "FORBIDDEN: You may make these for yourself only.", "FORBIDDEN: This needs "
	for _, c := range []struct {
		name string
		held string
		from id.Organization // empty: acme
		by   principal.Kind  // empty: a user
		kind Kind
		ask  *Owner
		got  *Owner
		want string
	}{
		{name: "a key is one's own", held: "api_keys:create:own", kind: APIKey, got: me},
		{name: "a key for oneself", held: "api_keys:create:own", kind: APIKey, ask: me, got: me},
		{name: "a key for another", held: "api_keys:create:own", kind: APIKey, ask: you, want: forOthers},
		{name: "a key for all", held: "api_keys:create:own", kind: APIKey, ask: whole, want: forOthers},
		{name: "a key for another by right", held: "api_keys:create:all", kind: APIKey, ask: you, got: you},
		{name: "a key for all by right", held: "api_keys:manage:all", kind: APIKey, ask: whole, got: whole},
		{name: "a key without the right", held: "access_tokens:manage:all", kind: APIKey, ask: me, want: lost},
		{name: "a key with the right to read", held: "api_keys:read:all", kind: APIKey, ask: me, want: lost},
		{name: "an id like mine of another kind", held: "api_keys:create:own", kind: APIKey,
			ask: &Owner{OwnedByOrganization, "usr_me"}, want: forOthers},
		{name: "a system token is the organization's", held: "system_tokens:create:all", kind: SystemToken, got: whole},
		{name: "a system token without the right", held: "api_keys:manage:all", kind: SystemToken, want: forOthers},
		{name: "a secret is a client's", held: "clients:update:all", kind: ClientSecret,
			want: invalid("owner")},
		{name: "a secret of a client", held: "clients:update:all", kind: ClientSecret,
			ask: &Owner{OwnedByClient, "cli_1"}, got: &Owner{OwnedByClient, "cli_1"}},
		{name: "a secret with the right to make clients", held: "clients:create:all", kind: ClientSecret,
			ask: &Owner{OwnedByClient, "cli_1"}, want: forOthers},
		{name: "an operator's key abroad is no operator's", held: "api_keys:create:all", from: abroad, kind: APIKey,
			got: whole},
		{name: "an operator is nobody abroad", held: "api_keys:create:own", from: abroad, kind: APIKey, ask: me,
			want: forOthers},
		{name: "an operator's access token abroad", held: "access_tokens:create:all", from: abroad, kind: AccessToken,
			want: invalid("owner")},
		{name: "a machine's key is its owner's", held: "api_keys:manage:own", by: principal.APIKey, kind: APIKey,
			got: me},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := principal.Principal{Kind: principal.User, ID: "usr_me", Home: acme, Organization: acme,
				Permissions: permission.ParseKnown([]string{c.held})}
			if c.from != "" {
				p.Home = c.from
			}
			if c.by != "" {
				p.Kind, p.ID, p.Owner = c.by, "key_1", "usr_me"
			}
			got, err := (&Service{}).ownerOf(p, Request{Kind: c.kind, Owner: c.ask})
			if c.got == nil {
				faulttest.Check(t, err, c.want)
			} else if err != nil || got != *c.got {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A51, ATK59: own is the user who asks or to whom the machine that asks belongs, at home.
func TestATK59_Self(t *testing.T) {
	t.Parallel()
	const acme = id.Organization("org_acme")
	mine := Owner{OwnedByUser, "usr_me"}
	for _, c := range []struct {
		name string
		p    principal.Principal
		o    Owner
		want bool
	}{
		{"a person", principal.Principal{Kind: principal.User, ID: "usr_me", Home: acme}, mine, true},
		{"another", principal.Principal{Kind: principal.User, ID: "usr_you", Home: acme}, mine, false},
		{"a machine of theirs", principal.Principal{Kind: principal.APIKey, ID: "key_1", Owner: "usr_me", Home: acme},
			mine, true},
		{"a machine of nobody", principal.Principal{Kind: principal.APIKey, ID: "key_1", Home: acme},
			Owner{OwnedByUser, ""}, false},
		{"a machine with such an id", principal.Principal{Kind: principal.Client, ID: "usr_me", Home: acme}, mine,
			false},
		{"an operator abroad", principal.Principal{Kind: principal.User, ID: "usr_me", Home: "org_platform"}, mine,
			false},
		{"an organization with such an id", principal.Principal{Kind: principal.User, ID: "usr_me", Home: acme},
			Owner{OwnedByOrganization, "usr_me"}, false},
	} {
		c.p.Organization = acme
		if got := isSelf(c.p, c.o); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

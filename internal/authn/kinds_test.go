package authn

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
)

// G12: where each kind works, and what holds it: the table of the documentation, written a second time.
func TestG12_Kinds(t *testing.T) {
	t.Parallel()
	const management, desk, alone, enters = "management", "desk", "alone", "enters"
	for name, want := range map[Kind]struct {
		works  []string
		bounds bool // a limit of requests and a list of addresses
		device bool // a fingerprint, where the session has one
		stamps bool // its use is noted
	}{
		SessionToken:      {works: []string{management, desk, alone, enters}, device: true, stamps: true},
		APIKey:            {works: []string{management, desk, alone}, bounds: true, stamps: true},
		AccessToken:       {works: []string{desk, alone}, bounds: true, stamps: true},
		SystemToken:       {works: []string{desk, alone}, bounds: true, stamps: true},
		ApplicationToken:  {works: []string{desk, alone}, bounds: true, stamps: true},
		ClientToken:       {works: []string{desk, alone}, bounds: true, stamps: true},
		BrokerToken:       {works: []string{desk, alone}, bounds: true, stamps: true},
		SecuriThingsToken: {works: []string{desk, alone}, bounds: true, stamps: true},
		ItemPathToken:     {works: []string{alone}, device: true, stamps: true},
		ItemPathRefresh:   {device: true, stamps: true},
		WaitingSignIn:     {},
		SetupLink:         {bounds: true},
		Password:          {},
		ClientSecret:      {},
	} {
		k := byName[name]
		if k == nil {
			t.Errorf("%s has no row", name)
			continue
		}
		var works []string
		for word, is := range map[string]bool{management: k.management, desk: k.desk, alone: k.alone,
			enters: k.enters} {
			if is {
				works = append(works, word)
			}
		}
		slices.Sort(works)
		slices.Sort(want.works)
		if !slices.Equal(works, want.works) || (k.bounds != nil) != want.bounds || (k.device != nil) != want.device ||
			(k.stamp != nil) != want.stamps || k.join == nil {
			t.Errorf("%s works at %v, bounds %t, device %t, stamp %t", name, works, k.bounds != nil, k.device != nil,
				k.stamp != nil)
		}
	}
	if len(kinds) != len(byName) || len(byName) != 14 {
		t.Errorf("%d rows, %d names: teach this test the new ones", len(kinds), len(byName))
	}
}

// Every kind is told in one way that no other shares: by its prefix, by the type and door of a JWT, or by its header.
func TestKindsAreToldApart(t *testing.T) {
	t.Parallel()
	seen := make(map[string]Kind)
	for _, k := range kinds {
		ways := 0
		for _, way := range []string{"prefix " + k.prefix, "typ " + k.typ + " " + string(k.door)} {
			if strings.HasSuffix(way, "prefix ") || strings.HasPrefix(way, "typ  ") {
				continue
			}
			ways++
			if other, taken := seen[way]; taken {
				t.Errorf("%s and %s are both told by %q", k.name, other, way)
			}
			seen[way] = k.name
		}
		if ways != 1 && k.name != Password {
			t.Errorf("%s is told in %d ways", k.name, ways)
		}
		for _, other := range kinds {
			if k.name != other.name && k.prefix != "" && strings.HasPrefix(other.prefix, k.prefix) {
				t.Errorf("the prefix of %s begins that of %s", k.name, other.name)
			}
		}
	}
	for _, c := range credential.Kinds {
		if !slices.ContainsFunc(kinds, func(k kind) bool { return k.stored == c }) {
			t.Errorf("nothing is known of %s", c)
		}
	}
	for _, typ := range []string{"", "JWT", "id+jwt", jwt.TypeForwarded, jwt.TypeIntrospection} {
		if isStored(typ) || ofToken(typ, "") != nil {
			t.Errorf("a JWT of the type %q is a credential", typ)
		}
	}
	if ofToken(jwt.TypeAccess, token.Door("unknown")) != nil {
		t.Error("a token of an unknown door is a credential")
	}
}

// D7: the kind of machine credential that an organization does not use rests; every other works in both.
func TestD7_Resting(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		inTokens, inOAuth := true, true
		if k.rests != nil {
			inTokens = !k.rests(organization.Organization{MachineCredential: organization.SystemTokens})
			inOAuth = !k.rests(organization.Organization{MachineCredential: organization.OAuth2})
		}
		if wantTokens, wantOAuth := k.name != BrokerToken, k.name != SystemToken; inTokens != wantTokens ||
			inOAuth != wantOAuth {
			t.Errorf("%s works with system tokens %t, with OAuth %t", k.name, inTokens, inOAuth)
		}
	}
}

// G1: a request brings exactly one credential; its kind is told by header and form before anything is asked.
func TestG1_Read(t *testing.T) {
	t.Parallel()
	h := func(pairs ...string) http.Header {
		header := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			header.Add(pairs[i], pairs[i+1])
		}
		return header
	}
	for name, c := range map[string]struct {
		header http.Header
		kind   Kind
		code   string // of the refusal; empty: it is read
	}{
		"nothing":            {h(), None, ""},
		"a JWT":              {h("Authorization", "Bearer eyJ.e.s"), jsonWebToken, ""},
		"another case":       {h("Authorization", "bearer eyJ.e.s"), jsonWebToken, ""},
		"an access token":    {h("Authorization", "Bearer gth_at_0"), AccessToken, ""},
		"a client secret":    {h("Authorization", "Bearer gth_cs_0"), ClientSecret, ""},
		"a waiting sign-in":  {h("Authorization", "Bearer mfa_0"), WaitingSignIn, ""},
		"a set-up link":      {h("Authorization", "Bearer gth_sl_0"), SetupLink, ""},
		"an API key":         {h("X-API-Key", "tnt_0"), APIKey, ""},
		"any X-API-Key":      {h("X-API-Key", "eyJ.e.s"), APIKey, ""},
		"a password":         {h("Authorization", "Basic dTpw"), Password, ""},
		"a cookie":           {h("Cookie", CookieName+"=eyJ.e.s"), jsonWebToken, ""},
		"a cookie and a key": {h("Cookie", CookieName+"=eyJ.e.s", "X-API-Key", "tnt_0"), APIKey, ""},

		"a key as a bearer":   {h("Authorization", "Bearer tnt_0"), "", fault.CodeInvalidToken},
		"two headers":         {h("Authorization", "Bearer x", "X-API-Key", "y"), "", fault.CodeValidation},
		"one twice":           {h("Authorization", "Bearer x", "Authorization", "Bearer y"), "", fault.CodeValidation},
		"a key twice":         {h("X-API-Key", "x", "X-API-Key", "x"), "", fault.CodeValidation},
		"no value":            {h("Authorization", "Bearer "), "", fault.CodeUnauthorized},
		"two values":          {h("Authorization", "Bearer a b"), "", fault.CodeUnauthorized},
		"a tab":               {h("Authorization", "Bearer a\tb"), "", fault.CodeUnauthorized},
		"another scheme":      {h("Authorization", "Digest x"), "", fault.CodeUnauthorized},
		"the cookie twice":    {h("Cookie", CookieName+"=a; "+CookieName+"=b"), "", fault.CodeInvalidToken},
		"a look-alike cookie": {h("Cookie", strings.ToUpper(CookieName)+"=a"), "", fault.CodeInvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Read(&http.Request{Header: c.header})
			switch {
			case c.code == "" && (err != nil || got.Kind != c.kind):
				t.Errorf("%s, %v", got.Kind, err)
			case c.code != "" && (err == nil || fault.Of(err).Code != c.code):
				t.Errorf("%s, %v, want %s", got.Kind, err, c.code)
			}
			if err == nil && got.FromCookie != (name == "a cookie") {
				t.Errorf("from a cookie: %t", got.FromCookie)
			}
		})
	}
}

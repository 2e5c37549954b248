package upstream

import "testing"

// SSO38: metadata that leads people to another host is held, by whichever binding it does so.
func TestSSO38_AnotherHost(t *testing.T) {
	t.Parallel()
	keys := []Key{{Fingerprint: "k"}}
	at := func(redirect, post string) *Metadata {
		return &Metadata{EntityID: "idp", Keys: keys, Redirect: redirect, Post: post}
	}
	const good, bad = "https://idp.example.com/", "https://evil.example/"
	for name, c := range map[string]struct {
		former, now *Metadata
		held        bool
	}{
		"the same":                        {at(good, ""), at(good, ""), false},
		"another binding, the same host":  {at(good, ""), at("", good+"post"), false},
		"one more, the same host":         {at(good, ""), at(good, good+"post"), false},
		"another binding, another host":   {at(good, ""), at("", bad), true},
		"a redirect beside, another host": {at("", good), at(bad, good), true},
		"another host":                    {at(good, good), at(good, bad), true},
	} {
		if got := c.now.Suspicious(c.former); (got != "") != c.held {
			t.Errorf("%s: held %q", name, got)
		}
	}
}

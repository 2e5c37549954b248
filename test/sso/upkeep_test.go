package sso

import (
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

func (h *house) lookAfter() {
	h.t.Helper()
	h.Clock.Advance(25 * time.Hour)
	if _, err := h.Connections.LookAfter(h.t.Context(), 100, h.SSO.Refresh); err != nil {
		h.t.Fatal(err)
	}
	h.admin = h.As(h.t, servertest.Admin)
}

// SSO38: metadata is read again each day. A new key beside the old one is taken over; another entityID, only new keys
// or another host wait for a person; what cannot be read leaves the last good copy.
func TestSSO38_Metadata(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		year := time.Now().AddDate(1, 0, 0)
		first, second := idptest.NewSAMLKey(t, idptest.RSA(0), year), idptest.NewSAMLKey(t, idptest.RSA(1), year)
		third := idptest.NewSAMLKey(t, idptest.RSA(2), year)
		idp, c := h.goSAML(nil, first)
		get := func() servertest.Response {
			t.Helper()
			return h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200)
		}
		keys := func() int { return strings.Count(string(get().Body), `"fingerprint"`) }
		idp.SignWith(second, first) // a rollover
		h.lookAfter()
		if r := get(); keys() != 2 || r.String("upkeep.metadataReadAt") == "" || r.String("upkeep.held") != "" {
			t.Errorf("%s", r.Body)
		}
		idp.SignWith(second)
		h.lookAfter()
		if keys() != 1 {
			t.Errorf("%s", get().Body)
		}
		idp.SignWith(third) // nothing in common
		h.lookAfter()
		if r := get(); keys() != 1 || !strings.Contains(r.String("upkeep.held"), "keys") {
			t.Errorf("%s", r.Body)
		}
		idp.SignWith(second)
		entity := idp.EntityID
		idp.EntityID = "https://evil.example/entity"
		h.lookAfter()
		if r := get(); r.String("saml.entityId") != entity || !strings.Contains(r.String("upkeep.held"), "entityID") {
			t.Errorf("%s", r.Body)
		}
		events := h.Do(t, "GET", "/v1/audit-events?act=connection.metadata_held", nil, h.admin).Want(t, 200)
		if strings.Count(string(events.Body), c) < 2 {
			t.Errorf("%s", events.Body)
		}
		if m := h.Mail(t, servertest.Admin, "needs attention", 2); !strings.Contains(m.Text, "entityID") {
			t.Errorf("%s", m.Text)
		}
		// a person takes it over
		h.Do(t, "PATCH", "/v1/connections/"+c, object{"saml": object{"metadataUrl": idp.URL + "/metadata"}}, h.admin).
			Want(t, 200)
		if r := get(); r.String("saml.entityId") != "https://evil.example/entity" {
			t.Errorf("%s", r.Body)
		}
		// it cannot be read, for three days
		idp.Describe("<<<")
		for range 4 {
			h.lookAfter()
		}
		if r := get(); r.String("upkeep.failingSince") == "" ||
			!strings.Contains(string(r.Body), `"metadata","at"`) ||
			r.String("saml.entityId") != "https://evil.example/entity" {
			t.Errorf("%s", r.Body)
		}
	})
}

// SSO45: 60, 30 and 7 days before a certificate or a client secret runs out that is told, once each.
func TestSSO45_Warnings(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, saml := h.goSAML(nil, idptest.NewSAMLKey(t, idptest.RSA(0), time.Now().AddDate(0, 0, 45)))
		oidc := h.provider(func(b object) {
			b["openId"].(object)["clientSecretExpires"] = time.Now().AddDate(0, 0, 20).Format(time.DateOnly)
		})
		days := func(c string) string {
			t.Helper()
			r := h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200)
			_, rest, _ := strings.Cut(string(r.Body), `"days":`)
			n, _, _ := strings.Cut(rest, "}")
			return n
		}
		h.lookAfter()
		if days(saml) != "60" || days(oidc) != "30" {
			t.Errorf("%s and %s days", days(saml), days(oidc))
		}
		h.Mail(t, servertest.Admin, "needs attention", 2)
		h.lookAfter()
		for range 16 {
			h.lookAfter()
		}
		if days(saml) != "30" || days(oidc) != "7" {
			t.Errorf("%s and %s days", days(saml), days(oidc))
		}
		events := h.Do(t, "GET", "/v1/audit-events?act=connection.warning", nil, h.admin).Want(t, 200)
		if n := strings.Count(string(events.Body), `"evt_`); n != 4 {
			t.Errorf("%d warnings: %s", n, events.Body)
		}
	})
}

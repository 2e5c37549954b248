package sso

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

func (h *house) lookAfter() {
	h.t.Helper()
	h.Clock.Advance(25 * time.Hour)
	if err := h.Connections.LookAfter(h.t.Context(), 100, h.SSO.Refresh); err != nil {
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
		keys := func() int {
			theirs, _, _ := strings.Cut(string(get().Body), `"serviceProviderKeys"`)
			return strings.Count(theirs, `"fingerprint"`)
		}
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
		said := ""
		for _, d := range admin.Doctor(t.Context(), h.Config, slog.New(slog.DiscardHandler)) {
			if d.Check == "company sign-in" {
				said = string(d.Verdict) + " " + d.Finding
			}
		}
		if !strings.HasPrefix(said, "warn 2 ") || !strings.Contains(said, saml) || !strings.Contains(said, oidc) {
			t.Errorf("doctor: %s", said)
		}
		events := h.Do(t, "GET", "/v1/audit-events?act=connection.warning", nil, h.admin).Want(t, 200)
		if n := strings.Count(string(events.Body), `"evt_`); n != 4 {
			t.Errorf("%d warnings: %s", n, events.Body)
		}
	})
}

// SSO38: metadata that says until when it is good is read again before that; that it lasts longer is no change.
func TestSSO38_ValidUntil(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		idp, c := h.goSAML(nil)
		get := func() servertest.Response {
			t.Helper()
			return h.Do(t, "GET", "/v1/connections/"+c, nil, h.admin).Want(t, 200)
		}
		good := func(d time.Duration) {
			idp.Describe(fmt.Sprintf(`validUntil="%s"`, h.Now().Add(d).UTC().Format(time.RFC3339)))
		}
		after := func(d time.Duration) string {
			t.Helper()
			h.Clock.Advance(d)
			if err := h.Connections.LookAfter(t.Context(), 100, h.SSO.Refresh); err != nil {
				t.Fatal(err)
			}
			h.admin = h.As(t, servertest.Admin)
			return get().String("upkeep.metadataReadAt")
		}
		good((25 + 8) * time.Hour)
		h.lookAfter()
		first := get()
		if first.String("saml.validUntil") == "" {
			t.Errorf("%s", first.Body)
		}
		if again := after(time.Hour); again != first.String("upkeep.metadataReadAt") {
			t.Errorf("read at %s, and at %s", first.String("upkeep.metadataReadAt"), again)
		}
		good(8 * time.Hour)
		if again := after(4 * time.Hour); again == first.String("upkeep.metadataReadAt") {
			t.Error("not read again")
		}
		if r := get(); r.String("saml.validUntil") == first.String("saml.validUntil") ||
			r.String("updatedAt") != first.String("updatedAt") {
			t.Errorf("%s", r.Body)
		}
		// what cannot be read is tried again soon
		idp.Describe("<<<")
		h.lookAfter()
		if get().String("upkeep.failingSince") == "" {
			t.Errorf("%s", get().Body)
		}
		good(8 * time.Hour)
		if now := after(time.Hour + time.Second); now == "" || get().String("upkeep.failingSince") != "" {
			t.Errorf("%s", get().Body)
		}
	})
}

// A19: a connection that cannot be looked after keeps no other from it.
func TestA19_BrokenConnection(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, broken := h.goSAML(nil)
		_, fine := h.goSAML(nil)
		err := h.DB.PlatformTx(t.Context(), "a test", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE connections SET secrets = 'x' WHERE id = $1`, broken)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		h.Clock.Advance(25 * time.Hour)
		failed := 0
		for range 3 {
			if h.Connections.LookAfter(t.Context(), 1, h.SSO.Refresh) != nil {
				failed++
			}
		}
		h.admin = h.As(t, servertest.Admin)
		r := h.Do(t, "GET", "/v1/connections/"+fine, nil, h.admin).Want(t, 200)
		if failed != 1 || r.String("upkeep.metadataReadAt") == "" {
			t.Errorf("%d failed: %s", failed, r.Body)
		}
	})
}

package sso

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/idptest"
	"github.com/itsm-automation/gatehouse/test/servertest"
)

// SSO50: beside 5,000 connections of others a node starts and signs in as beside none, and what it would keep of each
// in its memory is small. That no statement of theirs scans is TestPlansOfLists'.
func TestSSO50_ManyConnections(t *testing.T) {
	const many = 5000
	each(t, func(t *testing.T, h *house) {
		h.verify(domain)
		idp, c := h.goSAML(nil)
		idp.Answer(func(p *idptest.Parts) { p.Attributes = mailAttribute(servertest.Agent) })
		measure := func() (start, round time.Duration) {
			t.Helper()
			began := time.Now()
			node := servertest.Join(t, h.Config.Database.Reveal(), reaching)
			start, began = time.Since(began), time.Now()
			b := idptest.NewBrowser(t, node)
			p := h.post(b, b.Open(idptest.Start("saml", "organization", "acme-corp")), nil)
			if p.Get("code") == "" {
				t.Fatalf("%d %s %s", p.Status, p.URL, p.Body)
			}
			return start, time.Since(began)
		}
		start, round := measure()
		var size int
		err := h.DB.PlatformTx(t.Context(), "a test", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO connections (organization_id, id, kind, name, state, issuer,
				settings, secrets, ceiling, created_by, created_at, updated_at, checked_at)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $3)
				SELECT $2, 'con_00000000000000000000' || (100000 + i), c.kind, 'Copy ' || i, 'active',
				c.issuer || i, c.settings, c.secrets, c.ceiling, c.created_by, c.created_at, c.updated_at, $4
				FROM connections c, n WHERE c.id = $1`, c, h.Organization("second-tenant"), many,
				h.Now().UnixMilli())
			if err != nil {
				return err
			}
			return tx.QueryRow(t.Context(), `SELECT max(length(settings)) FROM connections`).Scan(&size)
		})
		if err != nil {
			t.Fatal(err)
		}
		startBeside, roundBeside := measure()
		t.Logf("a node starts in %v, and in %v beside %d connections; a round takes %v, and %v; at most %d bytes each",
			start, startBeside, many, round, roundBeside, size)
		if size > 4<<10 {
			t.Errorf("the settings of a connection have %d bytes", size)
		}
	})
}

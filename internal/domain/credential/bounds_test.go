package credential

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// ATK31: a machine that gives another credential more than it had holds that to its own bounds: else one that ends in a
// minute, or works from one address, hands all it may do to one that does not.
func TestATK31_GrowthStaysInBounds(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		all := []string{"api_keys:manage:all", "tickets:manage:all", "reports:read:all"}
		soon := w.now().Add(time.Minute)
		key := func(n Request) principal.Principal {
			n.Kind, n.Owner, n.Permissions = APIKey, w.ofAcme(), all
			return w.with(w.issue(n).Credential)
		}
		free, ending := key(Request{}), key(Request{ExpiresAt: soon})
		placed := key(Request{Addresses: networks(t, "192.0.2.0/24")})
		rate := 10
		slow := key(Request{RateLimit: &rate})
		const refused = "FORBIDDEN: What a credential makes, rotates or gives more to "
		for _, c := range []struct {
			name string
			p    principal.Principal
			to   Request
			list []string
			want string
		}{
			{"without bounds", free, Request{}, all, ok},
			{"the same end", ending, Request{ExpiresAt: soon}, all, ok},
			{"no end", ending, Request{}, all, refused + "expires"},
			{"a later end", ending, Request{ExpiresAt: soon.Add(time.Hour)}, all, refused + "expires"},
			{"no end, and no more than it had", ending, Request{}, []string{"reports:read:all"}, ok},
			{"every address", placed, Request{}, all, refused + "works from"},
			{"one of the addresses", placed, Request{Addresses: networks(t, "192.0.2.7")}, all, ok},
			{"a higher limit", slow, Request{}, all, refused + "has no higher limit"},
			{"a person", w.as(w.admin), Request{}, all, ok},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.to.Kind, c.to.Owner = APIKey, w.ofAcme()
				c.to.Permissions = []string{"tickets:read:all", "reports:read:all"}
				to := w.issue(c.to).Credential
				_, err := w.edit(c.p, to, func(ch *Change) { ch.PermissionList = c.list })
				faulttest.Check(t, err, c.want)
			})
		}
	})
}

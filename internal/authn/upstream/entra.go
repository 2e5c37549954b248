package upstream

import (
	"encoding/base64"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

func encodeThumbprint(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// entra holds a token of Entra ID to its tenant. Who somebody is are tid and oid: sub differs for each application, and
// every other name can be written by administrators of any tenant. An address counts only if Entra says that its domain
// was verified by the tenant (xms_edov), as a boolean or the number 1.
func entra(a *Answer, r *report, c connection.Connection, told claims) {
	tenant, _ := told["tid"].(string)
	r.want("tenant", tenant == c.OpenID.TenantID && tenant != "", told["tid"], "The person must be of the tenant "+
		c.OpenID.TenantID+" (tenantId).")
	object, _ := told["oid"].(string)
	if !isName(object) {
		object = ""
	}
	r.want("object_id", object != "", told["oid"], "The token must have oid: the scope profile must be asked for.")
	a.Subject = tenant + ":" + object
	verified, _ := told["xms_edov"].(bool)
	number, isNumber := told.number("xms_edov")
	a.EmailVerified = (verified || isNumber && number == 1) && spoken(c.Mapping)
	if overage(told) {
		a.Groups, a.GroupsKnown = nil, false // too many to be told: never "none"
	}
}

// overage tells whether a token leaves its groups out, in each of the three ways Entra says so.
func overage(told claims) bool {
	names, _ := told["_claim_names"].(map[string]any)
	_, elsewhere := names["groups"]
	has, _ := told["hasgroups"].(bool)
	text, _ := told["hasgroups"].(string)
	_, link := told["http://schemas.microsoft.com/claims/groups.link"]
	return elsewhere || has || text == "true" || link
}

package upstream

import (
	"slices"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// google holds a token of Google to the company's Workspace domains: hd is there for Workspace accounts only, and an
// address outside of one is nobody's word.
func google(a *Answer, r *report, c connection.Connection, told claims) {
	hosted, _ := told["hd"].(string)
	r.want("hosted_domain", hosted != "" && slices.Contains(c.OpenID.HostedDomains, hosted), told["hd"],
		"The person must be of one of the Workspace domains in hostedDomains; private Google accounts are of none.")
	verified, _ := told["email_verified"].(bool)
	r.want("email_verified", verified, told["email_verified"], "Google must say that the address is verified.")
	a.EmailVerified = verified
}

package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/domain/connection"
)

// JudgeAccess judges an access token of Entra ID that a front end got for itself (MSAL) and posts: for our API alone,
// by a front end on the connection's list, for a person, issued a moment ago. What it is marked with when it is used
// comes with it. Unlike an ID token of our own round it is bound to nothing; so nothing else is taken: ID tokens say
// who somebody is to the front end, and tokens for Graph are Graph's.
func (o *OpenID) JudgeAccess(ctx context.Context, c connection.Connection, raw string) (a Answer, mark string,
	err error) {
	m := c.OpenID.MSAL
	r := &report{}
	if !r.want("msal", c.Kind == connection.Entra && m != nil, "not set up", "Set openId.msal.") {
		return a, "", r.err()
	}
	payload, err := keys{o.Providers, c}.VerifySignature(ctx, raw)
	if !r.want("signature", err == nil, err, "The token must be signed by one of the tenant's published keys.") {
		return Answer{Checks: r.checks}, "", r.err()
	}
	var told claims
	if err := json.Unmarshal(payload, &told); !r.want("claims", err == nil && told != nil, "no JSON object", "") {
		return Answer{Checks: r.checks}, "", r.err()
	}
	issuer, client := c.OpenID.Issuer, told.text("azp")
	version, _ := told["ver"].(string)
	if version == "1.0" {
		issuer, client = o.groups.places.Legacy[c.OpenID.Authority]+"/"+c.OpenID.TenantID+"/", told.text("appid")
	}
	r.want("version", version == "1.0" || version == "2.0", told["ver"], "The token must be one of Entra ID's.")
	r.want("issuer", told["iss"] == issuer, told["iss"], "The token must come from the connection's tenant.")
	r.want("audience", told["aud"] == m.Audience && m.Audience != "", told["aud"], "The token must be for this "+
		"server's API registration (openId.msal.audience): the front end asks for a scope of it.")
	r.want("client", slices.Contains(m.ClientIDs, client) && client != "", client, "The front end must be on the "+
		"list (openId.msal.clientIds).")
	scopes, _ := told["scp"].(string)
	r.want("scope", slices.Contains(strings.Fields(scopes), m.Scope) && m.Scope != "", told["scp"],
		"The token must have the scope "+m.Scope+" (openId.msal.scope). ID tokens and tokens of programs have none.")
	r.want("person", told["idtyp"] != "app", told["idtyp"], "The token must be a person's.")
	o.checkTimes(r, told)
	a = o.person(c, r, told)
	a.Claims, a.Checks = told, r.checks
	if err := r.err(); err != nil {
		return a, "", err
	}
	if mark, _ = told["uti"].(string); mark == "" {
		sum := sha256.Sum256([]byte(raw))
		mark = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return a, mark, nil
}

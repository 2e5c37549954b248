package servicebroker

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/itsm-automation/gatehouse/internal/authn/clientauth"
	"github.com/itsm-automation/gatehouse/internal/authn/grant"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

const grantClientCredentials = "ClientCredentials"

// maxSeconds is as far as a lifetime is looked at; what is allowed is far less.
const maxSeconds = 1 << 30

// seconds reads a whole number of at least 1, however JSON writes it.
func seconds(v jsontext.Value) (time.Duration, error) {
	n, err := strconv.ParseFloat(string(v), 64)
	if v.Kind() != '0' || err != nil && !math.IsInf(n, 1) || n < 1 || n != math.Trunc(n) {
		return 0, fault.Invalidf("ExpiresInSeconds", "must be a whole number of at least 1")
	}
	return time.Duration(min(n, maxSeconds)) * time.Second, nil
}

func (s Deps) accessToken(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		ClientID     string         `json:"ClientId"`
		ClientSecret string         `json:"ClientSecret"`
		GrantType    string         `json:"GrantType"`
		ExpiresIn    jsontext.Value `json:"ExpiresInSeconds"`
	}
	if err := web.ReadExactly(r, &in); err != nil { // what was meant to narrow the token must not be dropped
		return err
	}
	switch {
	case in.GrantType != grantClientCredentials:
		return fault.Invalidf("GrantType", "must be %s", grantClientCredentials)
	case in.ClientID == "" || in.ClientSecret == "":
		return fault.Invalidf("ClientId", "and ClientSecret are needed")
	}
	lifetime, err := seconds(in.ExpiresIn)
	if err != nil {
		return err
	}
	pair, limit, err := grant.New(s.Clients, s.Tokens).Answer(r.Context(), clientauth.Door{Door: token.ServiceBroker},
		clientauth.WithSecret(in.ClientID, in.ClientSecret), grant.Request{Type: grant.ClientCredentials,
			Lifetime: lifetime, Source: web.InfoOf(r.Context()).Source})
	web.WriteLimit(w.Header(), limit)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}{pair.Access, "bearer", int64(pair.ExpiresIn / time.Second)})
	return nil
}

// userInfo tells who the caller is. The address of an entity is what somebody wrote, so it is never called verified.
func (s Deps) userInfo(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	o, err := s.Organizations.Get(r.Context(), p.Organization)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, struct {
		Subject       string `json:"sub"`
		SID           string `json:"sid"`
		Name          string `json:"name"`
		Email         string `json:"email,omitzero"`
		EmailVerified bool   `json:"email_verified"`
		EntityID      string `json:"entity_id"`
		EntityName    string `json:"entity_name"`
		Scope         string `json:"scope"`
	}{p.ID, o.Profile.SID, p.Name, o.Profile.Email, false, entityID(o.ID), o.Name, p.Permissions.Line()})
	return nil
}

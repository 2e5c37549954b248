package servicebroker

import (
	"net/http"
	"slices"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// entityToken is a system access token. Its value is in the answer to its creation and nowhere else.
type entityToken struct {
	EntityID string `json:"EntityId"`
	ID       string `json:"Id"`
	Name     string `json:"Name"`
	JWT      string `json:"JWT,omitzero"`
	Active   bool   `json:"Active"`
}

func showToken(c credential.Credential) entityToken {
	return entityToken{EntityID: entityID(c.Organization), ID: string(c.ID), Name: c.Name,
		Active: c.State == credential.Active}
}

// tokenPage is how many tokens are read at once.
const tokenPage = 500

// listTokens gives all that are not deleted, in the order in which they were made.
func (s Deps) listTokens(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	out := []entityToken{}
	for _, state := range []credential.State{credential.Active, credential.Off} {
		for after := id.Credential(""); ; {
			page, err := s.Credentials.List(r.Context(), p, credential.SystemToken,
				credential.Filter{State: state, Past: after, Limit: tokenPage})
			if err != nil {
				return err
			}
			for _, c := range page {
				after = c.ID
				out = append(out, showToken(c))
			}
			if len(page) < tokenPage {
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b entityToken) int { return strings.Compare(a.ID, b.ID) })
	web.WriteJSON(w, http.StatusOK, out)
	return nil
}

// tokenBody is what a caller says of a token. The ids, if they are there, must be the token's own.
type tokenBody struct {
	EntityID *string `json:"EntityId"`
	ID       *string `json:"Id"`
	Name     *string `json:"Name"`
	Active   *bool   `json:"Active"`
	JWT      *string `json:"JWT"` // not looked at, so that an answer can be sent back
}

func readToken(r *http.Request, p principal.Principal) (b tokenBody, err error) {
	if err = web.ReadExactly(r, &b); err != nil {
		return b, err
	}
	if b.EntityID != nil {
		if org, err := parseEntityID(*b.EntityID); err != nil || org != p.Organization {
			return b, fault.Invalidf("EntityId", "is not the caller's own")
		}
	}
	return b, nil
}

func (s Deps) createToken(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	b, err := readToken(r, p)
	if err != nil {
		return err
	}
	if b.Name == nil {
		return fault.Invalidf("Name", "is missing")
	}
	if b.Active != nil && !*b.Active {
		return fault.Invalidf("Active", "must be true, or left out: a token begins active")
	}
	issued, err := s.Credentials.Issue(r.Context(), p, credential.Request{Kind: credential.SystemToken, Name: *b.Name})
	if err != nil {
		return err
	}
	t := showToken(issued.Credential)
	t.JWT = issued.Value.Reveal()
	web.WriteJSON(w, http.StatusOK, t)
	return nil
}

func tokenID(r *http.Request) (id.Credential, error) {
	c, err := credential.SystemToken.ParseID(r.PathValue("id"))
	if err != nil {
		return "", fault.NotFoundf("There is no such credential.")
	}
	return c, nil
}

func (s Deps) updateToken(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	c, err := tokenID(r)
	if err != nil {
		return err
	}
	b, err := readToken(r, p)
	if err != nil {
		return err
	}
	if b.ID != nil && *b.ID != string(c) {
		return fault.Invalidf("Id", "is not the one in the path")
	}
	if b.Name == nil && b.Active == nil {
		return fault.Invalidf("Name", "and Active are missing: say at least one")
	}
	changed, err := s.Credentials.Update(r.Context(), p, credential.SystemToken, c, func(ch *credential.Change) error {
		if b.Name != nil {
			ch.Name = *b.Name
		}
		if b.Active != nil {
			ch.State = credential.Off
			if *b.Active {
				ch.State = credential.Active
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, showToken(changed))
	return nil
}

// deleteToken ends a token for good; deleting it again says that there is none.
func (s Deps) deleteToken(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	c, err := tokenID(r)
	if err != nil {
		return err
	}
	if found, err := s.Credentials.Get(r.Context(), p, credential.SystemToken, c); err != nil {
		return err
	} else if found.State == credential.Revoked {
		return fault.NotFoundf("There is no such credential.")
	}
	if err := s.Credentials.Revoke(r.Context(), p, credential.SystemToken, c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

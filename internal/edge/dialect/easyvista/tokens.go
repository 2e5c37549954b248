package easyvista

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// tokenRecord is an access token without its value. The expiry date is the last day of the account's calendar on which
// it works; expires_at is the exact instant.
type tokenRecord struct {
	HREF       string   `json:"HREF"`
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	User       string   `json:"user"`
	Resources  []string `json:"resources"`
	ExpiryDate *string  `json:"expiry_date"`
	ExpiresAt  *string  `json:"expires_at"`
	LastUsedAt *string  `json:"last_used_at"`
	CreatedAt  *string  `json:"created_at"`
	Revoked    bool     `json:"revoked"`
}

// zone is the account's time zone.
func (s Deps) zone(r *http.Request, p principal.Principal) (*time.Location, error) {
	org, err := s.Organizations.Facts(r.Context(), p.Organization)
	if err != nil {
		return nil, err
	}
	return org.Settings.Location(), nil
}

func (s Deps) show(r *http.Request, zone *time.Location, c credential.Credential) (tokenRecord, error) {
	t := tokenRecord{HREF: s.href(r, "tokens", string(c.ID)), ID: string(c.ID), Name: c.Name, Resources: c.Resources,
		ExpiresAt: moment(c.ExpiresAt), LastUsedAt: moment(c.LastUsedAt),
		CreatedAt: moment(c.CreatedAt), Revoked: c.State == credential.Revoked}
	if !c.ExpiresAt.IsZero() {
		day := credential.DateOf(c.ExpiresAt.Add(-time.Millisecond), zone).String()
		t.ExpiryDate = &day
	}
	u, err := s.Users.Facts(r.Context(), c.Organization, id.User(c.Owner.ID))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return t, err
	}
	t.User = u.Username
	return t, nil
}

// tokenFields: a user is named as where a token is made. One who does not exist has no tokens, as one whose tokens the
// caller may not see.
var tokenFields = searchable{"user": func(string) error { return nil }}

func (s Deps) listTokens(w http.ResponseWriter, r *http.Request) error {
	ctx, p := r.Context(), web.InfoOf(r.Context()).Principal
	a, err1 := s.read(r, "tokens", false, tokenFields)
	zone, err2 := s.zone(r, p)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	f := credential.Filter{NewestFirst: a.newest, Past: id.Credential(a.position), Offset: a.offset, Limit: a.rows + 1}
	if name := a.fields["user"]; name != "" {
		owner, err := s.owner(r, p, name)
		if err != nil {
			return err
		}
		if f.Owner = owner.ID; f.Owner == "" {
			f.Owner = name // nobody's id
		}
	}
	found, err := s.Credentials.List(ctx, p, credential.AccessToken, f)
	if err != nil {
		return err
	}
	total, err := s.Credentials.Count(ctx, p, credential.AccessToken, f.Owner)
	if err != nil {
		return err
	}
	return writeList(s, w, r, a, found, total, func(c credential.Credential) string { return string(c.ID) },
		func(c credential.Credential) (tokenRecord, error) { return s.show(r, zone, c) })
}

// expiry is how a body says until when a token works: by a date, by a period of days, or by neither.
type expiry struct {
	Date   jsontext.Value `json:"expiry_date"`
	Period jsontext.Value `json:"period"`
}

// read gives the instant, and whether anything was said. null is said, and never.
func (e expiry) read(now time.Time, zone *time.Location) (at time.Time, said bool, err error) {
	date, period := len(e.Date) > 0, len(e.Period) > 0
	switch {
	case date && period && string(e.Date) != "null" && string(e.Period) != "null":
		return at, true, fault.Invalidf("period", "and expiry_date are two ways to say the same; give one")
	case period && string(e.Period) != "null":
		var days int
		if err := json.Unmarshal(e.Period, &days); err != nil {
			return at, true, fault.Invalidf("period", "must be 30, 90 or 365 days")
		}
		day, err := credential.InDays(now, days, zone)
		return day.Closing(zone), true, err
	case date && string(e.Date) != "null":
		var text string
		if err := json.Unmarshal(e.Date, &text); err != nil {
			return at, true, fault.Invalidf("expiry_date", "must be a date such as 2026-12-31, or null for none")
		}
		day, err := credential.ParseDate(text)
		return day.Closing(zone), true, err
	}
	return at, date || period, nil
}

func (s Deps) createToken(w http.ResponseWriter, r *http.Request) error {
	ctx, p := r.Context(), web.InfoOf(r.Context()).Principal
	var in struct {
		expiry
		Name      string   `json:"name"`
		User      string   `json:"user"`
		Resources []string `json:"resources"`
	}
	if err := web.ReadExactly(r, &in); err != nil {
		return err
	}
	if in.Resources != nil && len(in.Resources) == 0 {
		return fault.Invalidf("resources", "names none; leave it out for all")
	}
	zone, err := s.zone(r, p)
	if err != nil {
		return err
	}
	q := credential.Request{Kind: credential.AccessToken, Name: in.Name, Resources: in.Resources}
	if q.ExpiresAt, _, err = in.expiry.read(s.Now(), zone); err != nil {
		return err
	}
	if q.Owner, err = s.owner(r, p, in.User); err != nil {
		return err
	}
	issued, err := s.Credentials.Issue(ctx, p, q)
	if err != nil {
		return err
	}
	href := s.href(r, "tokens", string(issued.ID))
	w.Header().Set("Location", href)
	web.WriteJSON(w, http.StatusCreated, struct {
		HREF      string  `json:"HREF"`
		ID        string  `json:"id"`
		Token     string  `json:"token"`
		ExpiresAt *string `json:"expires_at"`
	}{href, string(issued.ID), issued.Value.Reveal(), moment(issued.ExpiresAt)})
	return nil
}

// owner finds the user that a body names by id, user name or e-mail address; nobody is the caller. One that does not
// exist is left to the service to refuse, which says so only to those who may make tokens for anyone.
func (s Deps) owner(r *http.Request, p principal.Principal, name string) (*credential.Owner, error) {
	if name == "" {
		return nil, nil
	}
	o := &credential.Owner{Kind: credential.OwnedByUser}
	if u, err := id.Parse[id.User](name); err == nil {
		o.ID = string(u)
		return o, nil
	}
	u, found, err := s.Users.ForSignIn(r.Context(), p.Organization, name)
	if found {
		o.ID = string(u.ID)
	}
	return o, err
}

func (s Deps) find(r *http.Request) (id.Credential, error) {
	c, err := credential.AccessToken.ParseID(r.PathValue("id"))
	if err != nil {
		return "", fault.NotFoundf("There is no such credential.")
	}
	return c, nil
}

func (s Deps) getToken(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	c, err := s.find(r)
	if err != nil {
		return err
	}
	found, err := s.Credentials.Get(r.Context(), p, credential.AccessToken, c)
	if err != nil {
		return err
	}
	return s.write(w, r, p, found)
}

func (s Deps) write(w http.ResponseWriter, r *http.Request, p principal.Principal, c credential.Credential) error {
	zone, err := s.zone(r, p)
	if err != nil {
		return err
	}
	record, err := s.show(r, zone, c)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, record)
	return nil
}

func (s Deps) updateToken(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	c, err := s.find(r)
	if err != nil {
		return err
	}
	var in expiry
	if err := web.ReadExactly(r, &in); err != nil {
		return err
	}
	zone, err := s.zone(r, p)
	if err != nil {
		return err
	}
	at, said, err := in.read(s.Now(), zone)
	if err != nil {
		return err
	}
	if !said {
		return fault.Invalidf("expiry_date", "is missing: a date such as 2026-12-31, or null for none")
	}
	changed, err := s.Credentials.Update(r.Context(), p, credential.AccessToken, c, func(ch *credential.Change) error {
		ch.ExpiresAt = at
		return nil
	})
	if err != nil {
		return err
	}
	return s.write(w, r, p, changed)
}

func (s Deps) revokeToken(w http.ResponseWriter, r *http.Request) error {
	c, err := s.find(r)
	if err != nil {
		return err
	}
	if err := s.Credentials.Revoke(r.Context(), web.InfoOf(r.Context()).Principal, credential.AccessToken,
		c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

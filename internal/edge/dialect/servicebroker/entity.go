package servicebroker

import (
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// The two kinds of authentication, in this dialect's words.
const (
	authSystemToken = "SystemAccessToken"
	authOAuth2      = "OAuth2"
)

var (
	authTypes = map[organization.MachineCredential]string{organization.SystemTokens: authSystemToken,
		organization.OAuth2: authOAuth2}
	machines = map[string]organization.MachineCredential{authSystemToken: organization.SystemTokens,
		authOAuth2: organization.OAuth2}
)

// entity is an organization. The last three are told once, when it is made.
type entity struct {
	EntityID  string `json:"EntityId"`
	Name      string `json:"Name"`
	Email     string `json:"Email"`
	ExtSysID  string `json:"ExtSysId"`
	Desc      string `json:"Desc"`
	Active    bool   `json:"Active"`
	SID       string `json:"SID"`
	Domain    string `json:"Domain"`
	CreatedAt string `json:"CreatedAt"`
	AuthType  string `json:"AuthType"`

	JWT          string `json:"JWT,omitzero"`
	ClientID     string `json:"ClientId,omitzero"`
	ClientSecret string `json:"ClientSecret,omitzero"`
}

func show(o organization.Organization) entity {
	p := o.Profile
	return entity{EntityID: entityID(o.ID), Name: o.Name, Email: p.Email, ExtSysID: p.ExternalID, Desc: p.Description,
		Active: o.State == organization.Active, SID: p.SID, Domain: p.Domain,
		CreatedAt: o.CreatedAt.UTC().Format(time.RFC3339), AuthType: authTypes[o.MachineCredential]}
}

func showProvisioned(v credential.Provisioned) entity {
	e := show(v.Organization)
	e.JWT, e.ClientID, e.ClientSecret = v.Token.Reveal(), string(v.Client), v.ClientSecret.Reveal()
	return e
}

// entityBody is what a caller says of an entity; what is left out stays. CreatedAt is read and not looked at, so that
// an answer can be sent back.
type entityBody struct {
	EntityID  *string `json:"EntityId"`
	Name      *string `json:"Name"`
	Email     *string `json:"Email"`
	ExtSysID  *string `json:"ExtSysId"`
	Desc      *string `json:"Desc"`
	Active    *bool   `json:"Active"`
	SID       *string `json:"SID"`
	Domain    *string `json:"Domain"`
	CreatedAt *string `json:"CreatedAt"`
	AuthType  *string `json:"AuthType"`
}

func (b entityBody) machine() (organization.MachineCredential, error) {
	if b.AuthType == nil {
		return "", nil
	}
	m, ok := machines[*b.AuthType]
	if !ok {
		return "", fault.Invalidf("AuthType", "must be %s or %s", authSystemToken, authOAuth2)
	}
	return m, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (b entityBody) profile(p *organization.Profile) {
	set(&p.Email, b.Email)
	set(&p.ExternalID, b.ExtSysID)
	set(&p.Description, b.Desc)
	set(&p.SID, b.SID)
	set(&p.Domain, b.Domain)
}

func (s Deps) createEntity(w http.ResponseWriter, r *http.Request) error {
	var b entityBody
	if err := web.ReadExactly(r, &b); err != nil {
		return err
	}
	if b.EntityID != nil {
		return fault.Invalidf("EntityId", "is given by the server; leave it out")
	}
	if b.Name == nil {
		return fault.Invalidf("Name", "is missing")
	}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	n := organization.NewOrganization{Name: *b.Name, MachineCredential: machine,
		Suspended: b.Active != nil && !*b.Active}
	b.profile(&n.Profile)
	made, err := s.Credentials.Provision(r.Context(), web.InfoOf(r.Context()).Principal, n)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, showProvisioned(made))
	return nil
}

// target is the entity that a request is about: named in the path, the query or the body, or the caller's own. Two
// names must agree.
func target(r *http.Request, p principal.Principal, inBody *string) (id.Organization, error) {
	org := id.Organization("")
	names := []string{r.PathValue("id"), r.URL.Query().Get("EntityId")}
	if inBody != nil {
		names = append(names, *inBody)
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		named, err := parseEntityID(name)
		if err != nil {
			return "", err
		}
		if org != "" && org != named {
			return "", fault.Invalidf("EntityId", "names two different entities")
		}
		org = named
	}
	if org == "" {
		org = p.Organization
	}
	return org, nil
}

func (s Deps) getEntity(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	org, err := target(r, p, nil)
	if err != nil {
		return err
	}
	o, err := s.Organizations.GetEntity(r.Context(), p, org)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, show(o))
	return nil
}

// updateEntity changes what the body names. It makes no credential: what opens a tenant is handed out when the tenant
// is made, and by its own people.
func (s Deps) updateEntity(w http.ResponseWriter, r *http.Request) error {
	ctx, p := r.Context(), web.InfoOf(r.Context()).Principal
	var b entityBody
	if err := web.ReadExactly(r, &b); err != nil {
		return err
	}
	org, err := target(r, p, b.EntityID)
	if err != nil {
		return err
	}
	if b == (entityBody{EntityID: b.EntityID, CreatedAt: b.CreatedAt}) {
		return fault.Invalidf("body", "names nothing to change")
	}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	o, err := s.Organizations.UpdateEntity(ctx, p, org, func(o *organization.Organization) error {
		set(&o.Name, b.Name)
		b.profile(&o.Profile)
		if b.Active != nil {
			o.State = organization.Suspended
			if *b.Active {
				o.State = organization.Active
			}
		}
		if machine != "" {
			o.MachineCredential = machine
		}
		return nil
	})
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, show(o))
	return nil
}

func (s Deps) deleteEntity(w http.ResponseWriter, r *http.Request) error {
	p := web.InfoOf(r.Context()).Principal
	if r.PathValue("id") == "" && r.URL.Query().Get("EntityId") == "" {
		return fault.Invalidf("EntityId", "is missing: name the entity in the path")
	}
	org, err := target(r, p, nil)
	if err != nil {
		return err
	}
	if err := s.Organizations.Delete(r.Context(), p, org); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// SessionLimits are the exceptions of one role.
type SessionLimits struct {
	IdleSeconds     int64 `json:"idleSeconds,omitempty" doc:"How long a session lives unused; 0: as the organization has it"`
	LifetimeSeconds int64 `json:"lifetimeSeconds,omitempty" doc:"Absolute lifetime; 0: as the organization has it"`
}

type settingsBody struct {
	AllowedOrigins          []string        `json:"allowedOrigins" nullable:"false" doc:"Exact origins of your browser applications"`
	RedirectURIs            []string        `json:"redirectUris" nullable:"false" doc:"Exact addresses to which a company sign-in leads back"`
	SessionLifetimeSeconds  int64           `json:"sessionLifetimeSeconds" doc:"Absolute lifetime of a session; 0: no limit"`
	RefreshOverlapSeconds   int64           `json:"refreshOverlapSeconds" doc:"0 to 30: how long the last refresh token gets the same successor again"`
	SlidingExpiration       bool            `json:"slidingExpiration" doc:"Each request extends the session"`
	SlidingExpirationByRole map[string]bool `json:"slidingExpirationByRole" doc:"Exceptions, by role"`
	RoleChangesApplyAtOnce  bool            `json:"roleChangesApplyAtOnce" doc:"Else they wait for the next access token, 15 minutes at most"`
	TimeZone                string          `json:"timeZone" doc:"IANA name" example:"Europe/Madrid"`
	BasicAuthentication     bool            `json:"basicAuthentication" doc:"Whether the EasyVista dialect takes user name and password with each request"`
	RequestedTokenSeconds   int64           `json:"requestedTokenSeconds" doc:"The longest lifetime that a token request of the ServiceBroker dialect may ask for; more is cut to it"`

	SessionIdleSeconds  int64                    `json:"sessionIdleSeconds" doc:"How long a session lives unused"`
	SessionsPerUser     int64                    `json:"sessionsPerUser" doc:"At once; a further sign-in ends the oldest. 0: no limit"`
	SessionLimitsByRole map[string]SessionLimits `json:"sessionLimitsByRole" doc:"Exceptions, by role"`

	MFA                  string   `json:"mfa" enum:"optional,administrators,required" doc:"Who must have a second factor: nobody, whoever administers, or everybody"`
	PasskeySignIn        bool     `json:"passkeySignIn" doc:"A passkey that verifies its user is enough to sign in"`
	StepUpSeconds        int64    `json:"stepUpSeconds" doc:"How long ago the last proof of a person may be where factors, passwords, API keys or these settings are changed"`
	PasswordMinLength    int64    `json:"passwordMinLength" doc:"In characters; fewer than 15 only where mfa is required"`
	PasswordBlockedWords []string `json:"passwordBlockedWords" nullable:"false" doc:"Words that a password must not be made of, beside the names of user and organization"`

	AuditRetentionDays int64 `json:"auditRetentionDays" doc:"How long events of the audit log are kept, 30 days at least; 0: as long as the installation keeps them"`
}

func showSettings(s organization.Settings) settingsBody {
	limits := make(map[string]SessionLimits, len(s.SessionLimitsByRole))
	for name, l := range s.SessionLimitsByRole {
		limits[name] = SessionLimits(l)
	}
	return settingsBody{s.AllowedOrigins, s.RedirectURIs, s.SessionLifetimeSeconds, s.RefreshOverlapSeconds,
		s.SlidingExpiration,
		s.SlidingByRole, s.RoleChangesApplyAtOnce, s.TimeZone,
		s.BasicAuthentication, s.RequestedTokenSeconds, s.SessionIdleSeconds, s.SessionsPerUser, limits,
		string(s.MFA), s.PasskeySignIn, s.StepUpSeconds, s.PasswordMinLength, s.PasswordBlockedWords,
		s.AuditRetentionDays}
}

type profileBody struct {
	Email       string `json:"email"`
	ExternalID  string `json:"externalId" doc:"What the system that provisioned it calls it"`
	Description string `json:"description"`
	SID         string `json:"sid" doc:"Its identifier there; the slug unless something else was given. Operators change it"`
	Domain      string `json:"domain"`
}

type organizationBody struct {
	ID       string `json:"id"`
	Slug     string `json:"slug"`
	Name     string `json:"name"`
	State    string `json:"state" enum:"active,suspended"`
	Platform bool   `json:"platform" doc:"The home of the platform's operators"`

	AccountNumber     string      `json:"accountNumber" doc:"Another name of it in paths of the EasyVista dialect: digits; empty: none. Operators change it"`
	MachineCredential string      `json:"machineCredential" enum:"system_token,oauth2" doc:"Which of the two kinds of ServiceBroker credential works; those of the other kind rest. Operators change it"`
	Profile           profileBody `json:"profile" doc:"How others know it; decides nothing"`

	Settings  settingsBody `json:"settings"`
	CreatedAt time.Time    `json:"createdAt"`
	UpdatedAt time.Time    `json:"updatedAt"`
}

func showOrganization(o organization.Organization) organizationBody {
	p := o.Profile
	return organizationBody{ID: string(o.ID), Slug: o.Slug, Name: o.Name, State: string(o.State), Platform: o.Platform,
		AccountNumber: o.AccountNumber, MachineCredential: string(o.MachineCredential),
		Profile:  profileBody{p.Email, p.ExternalID, p.Description, p.SID, p.Domain},
		Settings: showSettings(o.Settings), CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt}
}

// settingsChange has every setting optional.
type settingsChange struct {
	AllowedOrigins          *[]string        `json:"allowedOrigins,omitempty" maxItems:"50"`
	RedirectURIs            *[]string        `json:"redirectUris,omitempty" maxItems:"100"`
	SessionLifetimeSeconds  *int64           `json:"sessionLifetimeSeconds,omitempty"`
	RefreshOverlapSeconds   *int64           `json:"refreshOverlapSeconds,omitempty"`
	SlidingExpiration       *bool            `json:"slidingExpiration,omitempty"`
	SlidingExpirationByRole *map[string]bool `json:"slidingExpirationByRole,omitempty"`
	RoleChangesApplyAtOnce  *bool            `json:"roleChangesApplyAtOnce,omitempty"`
	TimeZone                *string          `json:"timeZone,omitempty" maxLength:"64"`
	BasicAuthentication     *bool            `json:"basicAuthentication,omitempty"`
	RequestedTokenSeconds   *int64           `json:"requestedTokenSeconds,omitempty" minimum:"60" maximum:"86400"`

	SessionIdleSeconds  *int64                    `json:"sessionIdleSeconds,omitempty"`
	SessionsPerUser     *int64                    `json:"sessionsPerUser,omitempty"`
	SessionLimitsByRole *map[string]SessionLimits `json:"sessionLimitsByRole,omitempty"`

	MFA                  *string   `json:"mfa,omitempty" enum:"optional,administrators,required"`
	PasskeySignIn        *bool     `json:"passkeySignIn,omitempty"`
	StepUpSeconds        *int64    `json:"stepUpSeconds,omitempty"`
	PasswordMinLength    *int64    `json:"passwordMinLength,omitempty"`
	PasswordBlockedWords *[]string `json:"passwordBlockedWords,omitempty" maxItems:"200"`

	AuditRetentionDays *int64 `json:"auditRetentionDays,omitempty" minimum:"0" maximum:"36500"`
}

// ProfileChange is what an organization changes about itself.
type ProfileChange struct {
	Email       *string `json:"email,omitempty" maxLength:"254"`
	ExternalID  *string `json:"externalId,omitempty" maxLength:"200"`
	Description *string `json:"description,omitempty" maxLength:"1000"`
	Domain      *string `json:"domain,omitempty" maxLength:"253"`
}

func (c *ProfileChange) apply(p *organization.Profile) {
	if c == nil {
		return
	}
	v1.Set(&p.Email, c.Email)
	v1.Set(&p.ExternalID, c.ExternalID)
	v1.Set(&p.Description, c.Description)
	v1.Set(&p.Domain, c.Domain)
}

// operatorProfileChange is what operators change besides.
type operatorProfileChange struct {
	ProfileChange
	SID *string `json:"sid,omitempty" maxLength:"100"`
}

func (c *operatorProfileChange) apply(p *organization.Profile) {
	if c == nil {
		return
	}
	c.ProfileChange.apply(p)
	v1.Set(&p.SID, c.SID)
}

// OperatorFields are what only operators decide.
type OperatorFields struct {
	AccountNumber     *string                `json:"accountNumber,omitempty" maxLength:"20" doc:"3 to 20 digits; empty: none"`
	MachineCredential *string                `json:"machineCredential,omitempty" enum:"system_token,oauth2"`
	Profile           *operatorProfileChange `json:"profile,omitempty"`
}

func (f OperatorFields) apply(number *string, machine *organization.MachineCredential, p *organization.Profile) {
	v1.Set(number, f.AccountNumber)
	if f.MachineCredential != nil {
		*machine = organization.MachineCredential(*f.MachineCredential)
	}
	f.Profile.apply(p)
}

func (c *settingsChange) apply(s *organization.Settings) {
	if c == nil {
		return
	}
	v1.Set(&s.AllowedOrigins, c.AllowedOrigins)
	v1.Set(&s.RedirectURIs, c.RedirectURIs)
	v1.Set(&s.SessionLifetimeSeconds, c.SessionLifetimeSeconds)
	v1.Set(&s.RefreshOverlapSeconds, c.RefreshOverlapSeconds)
	v1.Set(&s.SlidingExpiration, c.SlidingExpiration)
	v1.Set(&s.SlidingByRole, c.SlidingExpirationByRole)
	v1.Set(&s.RoleChangesApplyAtOnce, c.RoleChangesApplyAtOnce)
	v1.Set(&s.TimeZone, c.TimeZone)
	v1.Set(&s.BasicAuthentication, c.BasicAuthentication)
	v1.Set(&s.RequestedTokenSeconds, c.RequestedTokenSeconds)
	v1.Set(&s.SessionIdleSeconds, c.SessionIdleSeconds)
	v1.Set(&s.SessionsPerUser, c.SessionsPerUser)
	if c.MFA != nil {
		s.MFA = organization.MFAPolicy(*c.MFA)
	}
	v1.Set(&s.PasskeySignIn, c.PasskeySignIn)
	v1.Set(&s.StepUpSeconds, c.StepUpSeconds)
	v1.Set(&s.PasswordMinLength, c.PasswordMinLength)
	v1.Set(&s.PasswordBlockedWords, c.PasswordBlockedWords)
	v1.Set(&s.AuditRetentionDays, c.AuditRetentionDays)
	if c.SessionLimitsByRole != nil {
		s.SessionLimitsByRole = make(map[string]organization.SessionLimits, len(*c.SessionLimitsByRole))
		for name, l := range *c.SessionLimitsByRole {
			s.SessionLimitsByRole[name] = organization.SessionLimits(l)
		}
	}
}

func (a *routes) registerOrganizations() {
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/organization", "organization:read"),
		v1.Op("My organization and its settings"),
		a.getMyOrganization)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/organization", "organization:update")),
		v1.Op("Change my organization's settings"), a.updateMyOrganization)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/organizations", "organizations:read"),
		v1.Op("List organizations (operators)"),
		a.listOrganizations)
	v1.Register(a.API, v1.Managed(http.MethodPost, "/v1/organizations", "organizations:create"),
		v1.Created("Create an organization (operators)"), a.createOrganization)
	v1.Register(a.API, v1.Managed(http.MethodGet, "/v1/organizations/{id}", "organizations:read"),
		v1.Op("Get an organization (operators)"), a.getOrganization)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodPatch, "/v1/organizations/{id}", "organizations:update")),
		v1.Op("Change, suspend or resume an organization (operators)", http.StatusConflict), a.updateOrganization)
	v1.Register(a.API, v1.StepUp(v1.Managed(http.MethodDelete, "/v1/organizations/{id}", "organizations:delete")),
		v1.Deleted("Delete an organization (operators)", http.StatusConflict), a.deleteOrganization)
}

func (a *routes) getMyOrganization(ctx context.Context, c v1.Call, _ *v1.Nothing) (*v1.Output[organizationBody],
	error) {
	o, err := a.Organizations.Get(ctx, c.Organization)
	if err != nil {
		return nil, err
	}
	return v1.Out(showOrganization(o)), nil
}

type organizationChange struct {
	Body struct {
		Name     *string         `json:"name,omitempty" maxLength:"200"`
		Profile  *ProfileChange  `json:"profile,omitempty"`
		Settings *settingsChange `json:"settings,omitempty"`
	}
}

func (a *routes) updateMyOrganization(ctx context.Context, c v1.Call,
	in *organizationChange) (*v1.Output[organizationBody],
	error) {
	if in.Body.Settings != nil && in.Body.Settings.RedirectURIs != nil {
		if err := a.Connections.CheckLeading(ctx, c.Principal); err != nil {
			return nil, err
		}
	}
	o, err := a.Organizations.Update(ctx, c.Principal, c.Organization, func(o *organization.Organization) error {
		v1.Set(&o.Name, in.Body.Name)
		in.Body.Profile.apply(&o.Profile)
		in.Body.Settings.apply(&o.Settings)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(showOrganization(o)), nil
}

type listOrganizationsInput struct {
	v1.Page
	v1.Search
	State string `query:"state" enum:"active,suspended"`
}

func (a *routes) listOrganizations(ctx context.Context, c v1.Call,
	in *listOrganizationsInput) (*v1.ListOutput[organizationBody], error) {
	state := organization.State(in.State)
	return v1.Searched(a.API, in.Search, in.Page, c, "organizations", []string{in.State},
		func(after string) ([]organization.Organization, error) {
			return a.Organizations.List(ctx, c.Principal, state, id.Organization(after), in.Limit+1)
		},
		func(q search.Query, after string) ([]search.Hit[organization.Organization], error) {
			return a.Organizations.Search(ctx, c.Principal, q, state, id.Organization(after), in.Limit+1)
		},
		func(o organization.Organization) string { return string(o.ID) }, showOrganization)
}

type createOrganizationInput struct {
	Body struct {
		Slug     string          `json:"slug" maxLength:"63" doc:"3 to 63 lower-case letters, digits and hyphens; does not change"`
		Name     string          `json:"name" maxLength:"200"`
		Settings *settingsChange `json:"settings,omitempty"`
		OperatorFields
	}
}

func (a *routes) createOrganization(ctx context.Context, c v1.Call,
	in *createOrganizationInput) (*v1.CreatedOutput[organizationBody], error) {
	settings := a.Organizations.NewSettings()
	in.Body.Settings.apply(&settings)
	n := organization.NewOrganization{Slug: in.Body.Slug, Name: in.Body.Name, Settings: &settings}
	in.Body.OperatorFields.apply(&n.AccountNumber, &n.MachineCredential, &n.Profile)
	o, err := a.Organizations.Create(ctx, c.Principal, n)
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/organizations/"+string(o.ID), showOrganization(o)), nil
}

func (a *routes) getOrganization(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Output[organizationBody], error) {
	org, err := v1.PathID[id.Organization](in.ID)
	if err != nil {
		return nil, err
	}
	o, err := a.Organizations.Get(ctx, org)
	if err != nil {
		return nil, err
	}
	return v1.Out(showOrganization(o)), nil
}

type updateOrganizationInput struct {
	v1.IDInput
	Body struct {
		Name     *string         `json:"name,omitempty" maxLength:"200"`
		State    *string         `json:"state,omitempty" enum:"active,suspended"`
		Settings *settingsChange `json:"settings,omitempty"`
		OperatorFields
	}
}

func (a *routes) updateOrganization(ctx context.Context, c v1.Call,
	in *updateOrganizationInput) (*v1.Output[organizationBody],
	error) {
	org, err := v1.PathID[id.Organization](in.ID)
	if err != nil {
		return nil, err
	}
	o, err := a.Organizations.Update(ctx, c.Principal, org, func(o *organization.Organization) error {
		v1.Set(&o.Name, in.Body.Name)
		in.Body.Settings.apply(&o.Settings)
		in.Body.OperatorFields.apply(&o.AccountNumber, &o.MachineCredential, &o.Profile)
		if in.Body.State != nil {
			o.State = organization.State(*in.Body.State)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(showOrganization(o)), nil
}

func (a *routes) deleteOrganization(ctx context.Context, c v1.Call, in *v1.IDInput) (*v1.Nothing, error) {
	org, err := v1.PathID[id.Organization](in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Organizations.Delete(ctx, c.Principal, org)
}

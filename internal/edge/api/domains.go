package api

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

// DomainBody is a domain that an organization says is its own.
type DomainBody struct {
	Name         string     `json:"name"`
	State        string     `json:"state" enum:"pending,verified,lapsed"`
	RecordName   string     `json:"recordName" doc:"Where the TXT record must stand"`
	RecordValue  string     `json:"recordValue" doc:"What it must say"`
	ConnectionID *string    `json:"connectionId" doc:"Where the domain's people sign in; null: nowhere in particular"`
	Enforced     bool       `json:"enforced" doc:"They sign in there alone: passwords and passkeys do not work for them, but for break-glass accounts"`
	VerifiedAt   *time.Time `json:"verifiedAt"`
	CheckedAt    *time.Time `json:"checkedAt"`
	MissingSince *time.Time `json:"missingSince" doc:"Since when the record is not found; after seven days the domain lapses"`
	CreatedAt    time.Time  `json:"createdAt"`
	UpdatedAt    time.Time  `json:"updatedAt"`
}

func showDomain(d connection.Domain) DomainBody {
	return DomainBody{d.Name, string(d.State), d.Host(), d.Challenge, v1.Text(d.Connection), d.Enforced,
		v1.Moment(d.VerifiedAt), v1.Moment(d.CheckedAt), v1.Moment(d.MissingSince), d.CreatedAt, d.UpdatedAt}
}

// DomainInput names a domain.
type DomainInput struct {
	Name string `path:"name" maxLength:"253"`
}

func (a *routes) listDomains(ctx context.Context, c v1.Call, in *pageInput) (*v1.ListOutput[DomainBody], error) {
	after, err := a.Position(in.Page, c, "domains")
	if err != nil {
		return nil, err
	}
	rows, err := a.Connections.ListDomains(ctx, c.Principal, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return v1.Paged(a.API, in.Page, c, "domains", nil, rows, func(d connection.Domain) string { return d.Name },
		showDomain), nil
}

type addDomainInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"253" example:"example.com"`
	}
}

func (a *routes) addDomain(ctx context.Context, c v1.Call, in *addDomainInput) (*v1.CreatedOutput[DomainBody], error) {
	d, err := a.Connections.AddDomain(ctx, c.Principal, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return v1.CreatedAt("/v1/domains/"+d.Name, showDomain(d)), nil
}

func (a *routes) getDomain(ctx context.Context, c v1.Call, in *DomainInput) (*v1.Output[DomainBody], error) {
	return shownDomain(a.Connections.GetDomain(ctx, c.Principal, in.Name))
}

func shownDomain(d connection.Domain, err error) (*v1.Output[DomainBody], error) {
	if err != nil {
		return nil, err
	}
	return v1.Out(showDomain(d)), nil
}

func (a *routes) verifyDomain(ctx context.Context, c v1.Call, in *DomainInput) (*v1.Output[DomainBody], error) {
	return shownDomain(a.Connections.VerifyDomain(ctx, c.Principal, in.Name))
}

type updateDomainInput struct {
	DomainInput
	Body struct {
		ConnectionID v1.Nullable[string] `json:"connectionId,omitempty"`
		Enforced     *bool               `json:"enforced,omitempty"`
	}
}

func (a *routes) updateDomain(ctx context.Context, c v1.Call, in *updateDomainInput) (*v1.Output[DomainBody], error) {
	change := connection.DomainChange{Enforced: in.Body.Enforced}
	if in.Body.ConnectionID.Set {
		to := id.Connection("")
		if v := in.Body.ConnectionID.Value; v != nil {
			var err error
			if to, err = v1.OptionalID[id.Connection]("connectionId", *v); err != nil {
				return nil, err
			}
		}
		change.Connection = &to
	}
	return shownDomain(a.Connections.UpdateDomain(ctx, c.Principal, in.Name, change,
		func(i id.Connection) (bool, error) {
			found, err := a.Connections.Get(ctx, c.Principal, i)
			if err != nil {
				return false, err
			}
			return a.SSO.Tested(ctx, c.Principal, found)
		}))
}

func (a *routes) deleteDomain(ctx context.Context, c v1.Call, in *DomainInput) (*v1.Nothing, error) {
	return nil, a.Connections.DeleteDomain(ctx, c.Principal, in.Name)
}

package api

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerLinks() {
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/links/inspect", "the link is the credential"),
		v1.Op("Look at a link without using it up", http.StatusUnauthorized, http.StatusForbidden,
			http.StatusConflict, http.StatusTooManyRequests), a.inspectLink)
}

// inspectLinkInput has the token in the body: what stands in an address is logged and remembered.
type inspectLinkInput struct {
	Body struct {
		Page  string `json:"page" enum:"set-password,reset-password,accept-invitation,setup" doc:"The page that the link leads to"`
		Token string `json:"token" minLength:"1" maxLength:"200" doc:"From the link"`
	}
}

// LinkBody says whom a link is for.
type LinkBody struct {
	Organization      string   `json:"organization" doc:"Its name"`
	Email             string   `json:"email" doc:"Of the account; empty at setup, where it is chosen"`
	Name              string   `json:"name"`
	PasswordMinLength int      `json:"passwordMinLength"`
	Applications      []string `json:"applications" nullable:"false" doc:"The organization's allowedOrigins, where its people go on"`
}

func (a *routes) inspectLink(ctx context.Context, c v1.Call, in *inspectLinkInput) (*v1.Output[LinkBody], error) {
	var l user.Link
	err := a.Kit.TryLink(ctx, func() (err error) {
		token := secret.New(in.Body.Token)
		if in.Body.Page != "setup" {
			l, err = a.Users.AtLink(ctx, in.Body.Page, token)
			return err
		}
		var org organization.Organization
		org, err = a.Setup.AtSetup(ctx, token)
		l = user.Link{Organization: org, MinLength: int(org.Settings.PasswordMinLength)}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(LinkBody{l.Organization.Name, l.Email, l.Name, l.MinLength,
		append([]string{}, l.Organization.Settings.AllowedOrigins...)}), nil
}

package signin

import (
	"context"
	"net/http"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
	v1 "github.com/itsm-automation/gatehouse/internal/edge/web/v1"
)

func (a *routes) registerPasswords() {
	change := v1.Self(http.MethodPut, "/v1/auth/password", "the caller's own password, proven by the current one")
	change.StepUp = true
	v1.Register(a.API, change, v1.Op("Change my password", http.StatusTooManyRequests), a.changePassword)
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/password/set", "the link is the credential"),
		v1.Op("Choose a password at a link", http.StatusUnauthorized, http.StatusForbidden,
			http.StatusTooManyRequests), a.setPassword)
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/password/forgot",
		"who forgot their password has no credential"),
		v1.Accepted("Ask for a mail with a link to choose another password (503 where no mail server is configured)",
			http.StatusTooManyRequests), a.forgotPassword)
	v1.Register(a.API, v1.Public(http.MethodPost, "/v1/auth/password/reset", "the mailed link is the credential"),
		v1.Op("Choose another password at a mailed link", http.StatusUnauthorized, http.StatusForbidden,
			http.StatusTooManyRequests), a.resetPassword)
}

type changePasswordInput struct {
	Body struct {
		CurrentPassword string `json:"currentPassword" minLength:"1" maxLength:"1024"`
		NewPassword     string `json:"newPassword" minLength:"1" maxLength:"1024" doc:"As long as the organization wants it (15 characters unless it says otherwise), 256 at most; none of the common ones"`
		DeviceToken     string `json:"deviceToken,omitempty" maxLength:"200" doc:"From an earlier sign-in on this device"`
	}
}

type passwordChanged struct {
	SessionsTerminated int `json:"sessionsTerminated" doc:"Other sessions that were ended"`
}

func (a *routes) changePassword(ctx context.Context, c v1.Call, in *changePasswordInput) (*v1.Output[passwordChanged],
	error) {
	ended, err := a.Login.ChangePassword(ctx, c.Principal, web.KnownDevice(c.Info.Request, in.Body.DeviceToken),
		in.Body.CurrentPassword, in.Body.NewPassword)
	if err != nil {
		return nil, err
	}
	return v1.Out(passwordChanged{ended}), nil
}

type setPasswordInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the link"`
		Password string `json:"password" minLength:"1" maxLength:"1024"`
	}
}

func (a *routes) setPassword(ctx context.Context, c v1.Call, in *setPasswordInput) (*v1.Output[v1.UserBody], error) {
	var u user.User
	err := a.Kit.TryLink(ctx, func() (err error) {
		u, err = a.Login.SetPassword(ctx, c.Info.Source, secret.New(in.Body.Token), in.Body.Password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(v1.ShowUser(u)), nil
}

// resetPassword signs nobody in, and tells nothing but that it is done.
func (a *routes) resetPassword(ctx context.Context, c v1.Call, in *setPasswordInput) (*v1.Output[passwordReset],
	error) {
	err := a.Kit.TryLink(ctx, func() error {
		_, err := a.Login.ResetPassword(ctx, c.Info.Source, secret.New(in.Body.Token), in.Body.Password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v1.Out(passwordReset{true}), nil
}

type passwordReset struct {
	Reset bool `json:"reset"`
}

type forgotPasswordInput struct {
	Body struct {
		Email        string `json:"email" minLength:"1" maxLength:"320" doc:"One address; where the organization is named, the user name will do"`
		Organization string `json:"organization,omitempty" maxLength:"63" doc:"The slug, if the e-mail address is known in several"`
		DeviceToken  string `json:"deviceToken,omitempty" maxLength:"200" doc:"From an earlier sign-in on this device"`
	}
}

type mailPromised struct {
	Message string `json:"message"`
}

// forgotPassword answers the same whether there is such an account or not.
func (a *routes) forgotPassword(ctx context.Context, c v1.Call, in *forgotPasswordInput) (*v1.Output[mailPromised],
	error) {
	tenant, err := a.Kit.SignInTenant(c.Info.Request, in.Body.Organization, "")
	if err != nil {
		return nil, err
	}
	f := login.Forgot{Name: in.Body.Email, Tenant: tenant, Device: web.KnownDevice(c.Info.Request, in.Body.DeviceToken),
		Source: c.Info.Source}
	if err := a.Login.Forgotten(ctx, f); err != nil {
		return nil, err
	}
	return v1.Out(
		mailPromised{"If there is such an account, a mail with a link is on its way. The link works once and " +
			"for 30 minutes."}), nil
}

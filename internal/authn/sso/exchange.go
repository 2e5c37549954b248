package sso

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Exchange is a front end that has an access token of Entra ID for our API (B10).
type Exchange struct {
	Tenant      login.Tenant
	Token       string
	Fingerprint string
	Source      principal.Source
}

// maxUpstreamToken bounds what is looked at.
const maxUpstreamToken = 16 << 10

// tokenKept is how long a token is remembered that was exchanged: longer than it could be exchanged again.
const tokenKept = time.Hour

// Exchange turns such a token into an ItemPath session: once, with the same rules for accounts and second factors as
// every other company sign-in. Whatever is wrong has the answer of wrong credentials.
func (s *Service) Exchange(ctx context.Context, in Exchange) (login.Result, error) {
	if in.Tenant.ID == "" || in.Tenant.Unknown || in.Tenant.Closed || len(in.Token) > maxUpstreamToken {
		return login.Result{}, login.ErrCredentials()
	}
	org, err := s.Organizations.Facts(ctx, in.Tenant.ID)
	if err != nil {
		return login.Result{}, err
	}
	c, err := s.Connections.OnlyActive(ctx, org.ID, connection.Entra)
	if fault.Is(err, fault.NotFound) || err == nil && (org.State != organization.Active || c.OpenID.MSAL == nil) {
		return login.Result{}, login.ErrCredentials()
	}
	if err != nil {
		return login.Result{}, err
	}
	if err := s.admit(ctx, c, in.Source); err != nil {
		return login.Result{}, err
	}
	a, mark, err := s.OpenID.JudgeAccess(ctx, c, in.Token)
	if err != nil {
		return login.Result{}, s.refuseExchange(ctx, c, in.Source, a, err)
	}
	now := s.Now()
	fresh, err := s.OneTime.Mark(ctx, org.ID, "msal_token", string(c.ID), mark, now, now.Add(tokenKept))
	if err != nil {
		return login.Result{}, err
	}
	if !fresh {
		return login.Result{}, s.refuseExchange(ctx, c, in.Source, a, &upstream.Failure{Checks: []upstream.Check{{
			Name: "replay", Found: "used before"}}})
	}
	r, err := s.enter(ctx, org, c, a, in)
	if changed := new(login.Changed); errors.As(err, &changed) { // by another sign-in of the same person
		r, err = s.enter(ctx, org, c, a, in)
	}
	return r, err
}

// enter finds or makes the account of who was proven and begins a session.
func (s *Service) enter(ctx context.Context, org organization.Organization, c connection.Connection, a upstream.Answer,
	in Exchange) (login.Result, error) {
	o, err := s.admitted(ctx, connection.Attempt{Connection: c, Person: a.Person, Source: in.Source})
	if err != nil {
		return login.Result{}, s.refuseExchange(ctx, c, in.Source, a, err)
	}
	amr := []string{session.Federated}
	if proves(c.Trust, a) {
		amr = append(amr, session.MFA)
	}
	r, err := s.Login.SignIn(ctx, login.First{User: o.User, Organization: org, AMR: amr, Fingerprint: in.Fingerprint,
		Door: login.ItemPath, Source: in.Source, Connection: c.ID, UpstreamSession: a.Session,
		Provider: string(c.Kind), Proven: s.Now()})
	if err == nil && r.Waiting != nil {
		err = login.ErrCredentials()
	}
	return r, err
}

// refuseExchange gives the one answer; what was wrong is in the audit log.
func (s *Service) refuseExchange(ctx context.Context, c connection.Connection, source principal.Source,
	a upstream.Answer, err error) error {
	check := "account"
	var failed *upstream.Failure
	var unreachable *upstream.Unreachable
	switch f := fault.Of(err); {
	case errors.As(err, &failed):
		check = failed.First()
	case errors.As(err, &unreachable):
		return told(err)
	case !slices.Contains([]fault.Kind{fault.Forbidden, fault.Conflict, fault.NotFound}, f.Kind):
		return err
	}
	p := principal.NewSystem("connection "+string(c.ID), c.Organization)
	p.Source = source
	e := s.DB.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		return audit.RecordIn(ctx, tx, s.Now(), c.Organization, p, audit.Entry{Act: "identity.refused",
			Outcome: audit.Failure, TargetKind: "connection", TargetID: string(c.ID),
			Details: map[string]string{"check": check, "subject": a.Subject, "door": login.ItemPath}})
	})
	if e != nil {
		return e
	}
	return login.ErrCredentials()
}

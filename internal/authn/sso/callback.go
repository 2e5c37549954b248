package sso

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/authn/login"
	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Return is a browser that comes back from a provider.
type Return struct {
	Address string // of ours at which it arrived, without the query
	State   secret.Secret
	Browser secret.Secret
	Code    upstream.CodeResponse
	SAML    *upstream.Response // instead of Code
	Error   string             // what the provider says went wrong (RFC 6749 §4.1.2.1)
	Detail  string             // in its own words: for the log alone
	Source  principal.Source
}

// Landing is where a browser goes on: back to the application, with a code or an error.
type Landing struct {
	URL  string
	Test *TestResult // a test sign-in ends on a page of ours
}

// errRound is the one answer to a round that never was, is over, or is another browser's.
func errRound() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
		"This sign-in has expired, was finished already, or was begun in another browser. Begin again.")
}

// Finish ends a round: once, in the browser that began it, at the address that it was begun with. Whatever is wrong
// after that leads back to the application with an error of RFC 6749 and no word of the provider's.
func (s *Service) Finish(ctx context.Context, in Return) (Landing, error) {
	found, err := s.OneTime.Look(ctx, purposeRound, in.State, s.Now())
	if fault.Is(err, fault.Unauthenticated) {
		return Landing{}, errRound()
	}
	if err != nil {
		return Landing{}, err
	}
	var f flow
	if err := json.Unmarshal([]byte(found.Payload), &f); err != nil {
		return Landing{}, fmt.Errorf("state of a sign-in: %w", err)
	}
	if !equal(f.Browser, digestOf(in.Browser)) || f.Round.Callback != in.Address {
		return Landing{}, errRound()
	}
	err = s.DB.Tx(ctx, found.Organization, func(tx *sqldb.Tx) error {
		_, err := s.OneTime.Consume(ctx, tx, found.Organization, purposeRound, in.State, s.Now())
		return err
	})
	if fault.Is(err, fault.Unauthenticated) {
		return Landing{}, errRound()
	}
	if err != nil {
		return Landing{}, err
	}
	f.Round.State, f.Round.Request = in.State.Reveal(), upstream.RequestID(in.State.Reveal())
	r := round{s, f, in, found.Organization, id.Connection(found.Subject)}
	if f.Test != "" {
		return r.test(ctx)
	}
	return r.finish(ctx)
}

// round is one that was consumed.
type round struct {
	*Service
	flow
	in         Return
	org        id.Organization
	connection id.Connection
}

func (r round) finish(ctx context.Context) (Landing, error) {
	c, err := r.standing(ctx)
	if err != nil {
		return r.refuse(ctx, c, upstream.Answer{}, err)
	}
	answer, err := r.answer(ctx, c)
	if err != nil {
		return r.refuse(ctx, c, answer, err)
	}
	// a link is made when the code is redeemed, by whoever began this: they alone have the verifier
	var code secret.Secret
	issue := func(tx *sqldb.Tx, o connection.Outcome) (err error) {
		code, err = r.issue(ctx, tx, c, o, answer)
		return err
	}
	attempt := connection.Attempt{Connection: c, Person: answer.Person, Holder: r.Holder, Source: r.in.Source,
		DryRun: r.Holder != "", Within: issue}
	o, err := r.admitted(ctx, attempt)
	if err != nil {
		return r.refuse(ctx, c, answer, err)
	}
	if attempt.DryRun {
		err = r.DB.Tx(ctx, r.org, func(tx *sqldb.Tx) error { return issue(tx, o) })
	}
	if err != nil {
		return Landing{}, err
	}
	return Landing{URL: back(r.Redirect, "code", code.Reveal(), r.State)}, nil
}

// admitted finds or makes an account. Whoever was made or linked at the same moment is found at the second look.
func (s *Service) admitted(ctx context.Context, a connection.Attempt) (connection.Outcome, error) {
	o, err := s.Connections.Admit(ctx, a)
	if fault.Is(err, fault.Conflict) {
		o, err = s.Connections.Admit(ctx, a)
	}
	return o, err
}

// standing gives the connection, if it and its organization are as they must be at this moment.
func (r round) standing(ctx context.Context) (connection.Connection, error) {
	org, err := r.Organizations.Facts(ctx, r.org)
	if err != nil {
		return connection.Connection{}, err
	}
	c, err := r.Connections.Facts(ctx, r.org, r.connection)
	if fault.Is(err, fault.NotFound) {
		return connection.Connection{ID: r.connection, Organization: r.org, Kind: r.Kind}, errOff()
	}
	if err != nil {
		return c, err
	}
	open := c.State == connection.Active || r.Test != ""
	if org.State != organization.Active || !open || c.Kind != r.Kind || r.Callback(c) != r.Round.Callback {
		return c, errOff()
	}
	return c, nil
}

func errOff() error { return fault.Forbiddenf("This company sign-in was switched off.") }

// providerError is what the provider said went wrong.
type providerError struct{ code, detail string }

func (e *providerError) Error() string { return e.code + ": " + e.detail }

// answer has the provider's answer judged.
func (r round) answer(ctx context.Context, c connection.Connection) (upstream.Answer, error) {
	if r.in.Error != "" {
		return upstream.Answer{}, &providerError{r.in.Error, r.in.Detail}
	}
	if (c.Kind == connection.SAML) != (r.in.SAML != nil) {
		return upstream.Answer{}, errOff() // the answer of another protocol
	}
	if r.in.SAML == nil {
		return r.OpenID.Finish(ctx, c, r.Round, r.in.Code)
	}
	return r.SAML.Finish(c, r.Round, *r.in.SAML, func(id string, until time.Time) (bool, error) {
		return r.OneTime.Mark(ctx, r.org, "saml_assertion", string(c.ID), id, r.Now(), until)
	})
}

// handover is what a code stands for.
type handover struct {
	Connection      id.Connection   `json:"connection"`
	Kind            connection.Kind `json:"kind"`
	Redirect        string          `json:"redirect"`
	Challenge       string          `json:"challenge"`
	Cookie          bool            `json:"cookie,omitempty"`
	AMR             []string        `json:"amr"`
	AuthTime        int64           `json:"authTime"` // milliseconds
	UpstreamSession string          `json:"upstreamSession,omitempty"`
	At              int64           `json:"at"` // when the provider answered, milliseconds

	// of a sign-in that links: who was proven, and the session of whom it is linked to
	Person  *connection.Person `json:"person,omitempty"`
	Session id.Session         `json:"session,omitempty"`
}

// issue makes the code that hands the proof over to the application.
func (r round) issue(ctx context.Context, tx *sqldb.Tx, c connection.Connection, o connection.Outcome,
	a upstream.Answer) (code secret.Secret, err error) {
	now := r.Now()
	h := handover{Connection: c.ID, Kind: c.Kind, Redirect: r.Redirect, Challenge: r.Challenge, Cookie: r.Cookie,
		AMR: []string{session.Federated}, AuthTime: now.UnixMilli(), UpstreamSession: a.Session, At: now.UnixMilli()}
	if proves(c.Trust, a) {
		h.AMR = append(h.AMR, session.MFA)
	}
	if c.Trust.AuthTime && !a.AuthTime.IsZero() && a.AuthTime.Before(now) {
		h.AuthTime = a.AuthTime.UnixMilli()
	}
	if r.Holder != "" {
		h.Person, h.Session = &a.Person, r.Session
	}
	payload, err := json.Marshal(h)
	if err != nil {
		return code, fmt.Errorf("code of a sign-in: %w", err)
	}
	code, err = r.OneTime.Begin(ctx, tx, r.org, login.PurposeCode, "", string(o.User.ID), string(payload), now,
		now.Add(CodeLifetime))
	if err != nil {
		return code, err
	}
	p := principal.Principal{Kind: principal.User, ID: string(o.User.ID), Home: r.org, Organization: r.org,
		Source: r.in.Source}
	details := map[string]string{"connection": string(c.ID), "subject": a.Subject, "how": o.How}
	if o.Decision.Role != "" {
		details["role"], details["why"] = o.Decision.Role, o.Decision.Why
	}
	return code, audit.RecordIn(ctx, tx, now, r.org, p, audit.Entry{Act: "identity.proven", TargetKind: "user",
		TargetID: string(o.User.ID), Details: details})
}

// proves tells whether an answer proves a second factor in a way that the connection is trusted for. A claim without
// that trust proves nothing, and neither does the trust without the claim.
func proves(t connection.Trust, a upstream.Answer) bool {
	return slices.ContainsFunc(a.AMR, func(m string) bool { return slices.Contains(t.AMR, m) }) ||
		a.ACR != "" && slices.Contains(t.ACR, a.ACR)
}

// passedOn are the provider's errors that an application can do something with (RFC 6749 §4.1.2.1, OpenID Connect Core
// §3.1.2.6).
var passedOn = []string{"access_denied", "login_required", "interaction_required", "consent_required",
	"account_selection_required", "temporarily_unavailable"}

// refuse leads back with an error. What was wrong is in the audit log.
func (r round) refuse(ctx context.Context, c connection.Connection, a upstream.Answer, err error) (Landing, error) {
	code := "access_denied"
	var check, why string
	var failed *upstream.Failure
	var unreachable *upstream.Unreachable
	var said *providerError
	switch f := fault.Of(err); {
	case errors.As(err, &failed):
		check, why = failed.First(), failed.Error()
	case errors.As(err, &said):
		if check, why = "provider", said.Error(); slices.Contains(passedOn, said.code) {
			code = said.code
		} else {
			code = "server_error"
		}
	case errors.As(err, &unreachable):
		code, check, why = "temporarily_unavailable", "reachable", unreachable.Error()
	case f.Kind == fault.Forbidden || f.Kind == fault.Conflict || f.Kind == fault.NotFound:
		check, why = "account", f.Message
	case f.Kind == fault.Unavailable:
		code, check, why = "temporarily_unavailable", "account", f.Message
	default:
		return Landing{}, err
	}
	r.Log.InfoContext(ctx, "a company sign-in was refused", "requestId", r.in.Source.Request, "connection", c.ID,
		"check", check, "why", why)
	p := principal.NewSystem("connection "+string(c.ID), r.org)
	p.Source = r.in.Source
	e := r.DB.Tx(ctx, r.org, func(tx *sqldb.Tx) error {
		return audit.RecordIn(ctx, tx, r.Now(), r.org, p, audit.Entry{Act: "identity.refused", Outcome: audit.Failure,
			TargetKind: "connection", TargetID: string(c.ID),
			Details: map[string]string{"check": check, "subject": a.Subject}})
	})
	return Landing{URL: back(r.Redirect, "error", code, r.State)}, e
}

// back makes the address to which the browser goes, with what was asked to be returned.
func back(redirect, name, value, state string) string {
	u, err := url.Parse(redirect)
	if err != nil {
		return "/" // it was parsed when it was registered
	}
	q := u.Query()
	q.Set(name, value)
	if state != "" {
		q.Set("state", state)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Redeem is an application that has a code (A23).
type Redeem struct {
	Kind        connection.Kind // empty: any
	Door        string          // empty: that of /v1
	Tenant      login.Tenant
	Code        secret.Secret
	Verifier    string
	RedirectURI string
	Fingerprint string
	Remember    bool
	Source      principal.Source
}

func errCode() error {
	return fault.New(fault.Unauthenticated, fault.CodeInvalidToken,
		"The code is not valid: it was used, is older than a minute, or belongs to another sign-in.")
}

// Redeem turns a code into a session, or into the token of a sign-in that waits for its second factor. A code is good
// once, for a minute, with everything it was issued for: kind, redirect_uri, verifier, organization. Shown a second
// time it ends what began with it. cookie tells whether the round asked for cookies.
func (s *Service) Redeem(ctx context.Context, in Redeem) (r login.Result, cookie bool, err error) {
	if n := len(in.Verifier); n < 32 || n > 128 || !unreserved(in.Verifier) {
		return r, false, fault.Invalidf("codeVerifier", "must have 32 to 128 of the characters A-Z a-z 0-9 - . _ ~")
	}
	now := s.Now()
	found, err := s.OneTime.Look(ctx, login.PurposeCode, in.Code, now)
	if fault.Is(err, fault.Unauthenticated) {
		if err := s.Login.EndReplayed(ctx, in.Code, in.Source); err != nil {
			return r, false, err
		}
		return r, false, errCode()
	}
	if err != nil {
		return r, false, err
	}
	var h handover
	if err := json.Unmarshal([]byte(found.Payload), &h); err != nil {
		return r, false, fmt.Errorf("code of a sign-in: %w", err)
	}
	tenant := in.Tenant == (login.Tenant{}) || in.Tenant.ID == found.Organization
	if !equal(h.Challenge, oauth2Challenge(in.Verifier)) || h.Redirect != in.RedirectURI ||
		in.Kind != "" && h.Kind != in.Kind ||
		!tenant {
		return r, false, errCode()
	}
	org, err := s.Organizations.Facts(ctx, found.Organization)
	if err != nil {
		return r, false, err
	}
	u, err := s.Users.Read(ctx, found.Organization, id.User(found.Subject))
	if err != nil {
		return r, false, err
	}
	holds, err := s.Connections.Holds(ctx, found.Organization, h.Connection, u.Role, time.UnixMilli(h.At))
	if err != nil {
		return r, false, err
	}
	if !holds || org.State != organization.Active || !isActive(u) {
		return r, false, errCode()
	}
	if h.Person != nil {
		if _, err := s.Sessions.Standing(ctx, found.Organization, u.ID, h.Session); err != nil {
			if fault.Is(err, fault.Unauthenticated) {
				err = errCode()
			}
			return r, false, err
		}
		if err := s.link(ctx, found.Organization, u.ID, h, in.Source); err != nil {
			return r, false, err
		}
		if u, err = s.Users.Read(ctx, found.Organization, u.ID); err != nil {
			return r, false, err
		}
	}
	first := login.First{User: u, Organization: org, AMR: h.AMR, Fingerprint: in.Fingerprint,
		Door: cmp.Or(in.Door, login.Company), Remember: in.Remember, Source: in.Source, Connection: h.Connection,
		UpstreamSession: h.UpstreamSession, Provider: string(h.Kind), AuthTime: time.UnixMilli(h.AuthTime).UTC(),
		Proven: time.UnixMilli(h.At), Code: in.Code}
	r, err = s.Login.SignIn(ctx, first)
	if changed := new(login.Changed); errors.As(err, &changed) {
		// by another sign-in of the same person, or by an administrator: who they are now must come in by it too
		if first.User, err = s.Users.Read(ctx, found.Organization, u.ID); err != nil {
			return r, false, err
		}
		holds, err = s.Connections.Holds(ctx, found.Organization, h.Connection, first.User.Role, time.UnixMilli(h.At))
		if err != nil {
			return r, false, err
		}
		if !holds || !isActive(first.User) {
			return r, false, errCode()
		}
		r, err = s.Login.SignIn(ctx, first)
	}
	if f := fault.Of(err); err != nil && f.Kind == fault.Unauthenticated {
		// used a moment ago, or the account changed since it was read
		if err := s.Login.EndReplayed(ctx, in.Code, in.Source); err != nil {
			return r, false, err
		}
		return login.Result{}, false, errCode()
	}
	return r, h.Cookie, err
}

package sso

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// errLogout is the one answer to a message that ends nothing. What was wrong is in the log and the audit log.
func errLogout(c connection.Connection) error {
	field := "logout_token"
	if c.Kind == connection.SAML {
		field = "SAMLRequest"
	}
	return fault.Invalidf(field, "is not one that this connection's provider made just now for this server")
}

// EndByToken ends the sessions that a provider names in a logout token (OpenID Connect Back-Channel Logout 1.0), and no
// others. Sessions that are over already are as asked.
func (s *Service) EndByToken(ctx context.Context, i id.Connection, token string, source principal.Source) error {
	c, err := s.listening(ctx, i)
	if err != nil {
		return err
	}
	if c.Kind == connection.SAML {
		return errUnknown()
	}
	l, err := s.OpenID.JudgeLogout(ctx, c, token)
	if err != nil {
		return s.refuseLogout(ctx, c, source, err)
	}
	return s.endNamed(ctx, c, l, source)
}

// EndByRequest ends the sessions that a SAML provider names in a signed LogoutRequest, and no others, and gives the
// answer that the browser takes back; a zero value: the provider wants none.
func (s *Service) EndByRequest(ctx context.Context, i id.Connection, r *http.Request, relay string,
	source principal.Source) (upstream.Sent, error) {
	c, err := s.listening(ctx, i)
	if err != nil {
		return upstream.Sent{}, err
	}
	if c.Kind != connection.SAML {
		return upstream.Sent{}, errUnknown()
	}
	end, err := s.SAML.JudgeEnd(c, s.Callback(c), r)
	if err != nil {
		return upstream.Sent{}, s.refuseLogout(ctx, c, source, err)
	}
	if err := s.endNamed(ctx, c, end.Logout, source); err != nil {
		return upstream.Sent{}, err
	}
	return end.Answer(relay)
}

// listening is a connection whose provider is heard: also one that is off, whose sessions are over in any case.
func (s *Service) listening(ctx context.Context, i id.Connection) (connection.Connection, error) {
	c, err := s.Connections.Find(ctx, i)
	if err == nil && c.State == connection.Draft {
		err = errUnknown()
	}
	return c, unknown(err)
}

// endNamed ends what a provider named: its sessions by name, of one person if it says whose, else all of that person's.
// Nobody whom it may name is anybody's of another connection.
func (s *Service) endNamed(ctx context.Context, c connection.Connection, l upstream.Logout,
	source principal.Source) error {
	var u id.User
	if l.Subject != "" {
		var err error
		u, err = s.Connections.WhoIs(ctx, c.Organization, c.ID, l.Subject)
		if fault.Is(err, fault.NotFound) {
			return nil // somebody who never came here
		}
		if err != nil {
			return err
		}
	}
	now, again := s.Now(), false
	err := s.DB.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		fresh, err := s.OneTime.MarkIn(ctx, tx, c.Organization, "sso_logout", string(c.ID), l.ID, now, l.Until)
		if again = !fresh; err != nil || again {
			return err
		}
		// first what would begin a session that has ended there, then sessions: else one slips through between
		if err := s.Login.UpstreamEnded(ctx, tx, c.Organization, c.ID, u, l.Sessions); err != nil {
			return err
		}
		const reason = "ended_at_provider"
		ended, names := 0, l.Sessions
		if len(names) == 0 {
			names = []string{""} // all of the person's
		}
		for _, name := range names {
			var n int
			if u == "" {
				n, err = s.Sessions.EndNamed(ctx, tx, c.Organization, c.ID, name, reason)
			} else {
				n, err = s.Sessions.EndUpstream(ctx, tx, c.Organization, c.ID, u, name, reason)
			}
			if err != nil {
				return err
			}
			ended += n
		}
		p := principal.NewSystem("connection "+string(c.ID), c.Organization)
		p.Source = source
		return audit.RecordIn(ctx, tx, now, c.Organization, p, audit.Entry{Act: "identity.logged_out",
			TargetKind: "connection", TargetID: string(c.ID), Details: map[string]string{"subject": l.Subject,
				"sessions": strconv.Itoa(ended)}})
	})
	if err == nil && again {
		err = s.refuseLogout(ctx, c, source, &upstream.Failure{Checks: []upstream.Check{{Name: "replay",
			Found: "used before"}}})
	}
	return err
}

// unsigned are the checks of a message that may be anybody's.
var unsigned = []string{"gate", "signature", "form"}

// refuseLogout notes what was wrong and gives the one answer.
func (s *Service) refuseLogout(ctx context.Context, c connection.Connection, source principal.Source, err error) error {
	var failed *upstream.Failure
	if !errors.As(err, &failed) {
		return told(err)
	}
	s.Log.InfoContext(ctx, "a provider's request to end sessions was refused", "requestId", source.Request,
		"connection", c.ID, "why", failed.Error())
	if slices.Contains(unsigned, failed.First()) {
		return errLogout(c) // anybody can send it: it is not worth a row
	}
	p := principal.NewSystem("connection "+string(c.ID), c.Organization)
	p.Source = source
	if e := s.DB.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		return audit.RecordIn(ctx, tx, s.Now(), c.Organization, p, audit.Entry{Act: "identity.logout_refused",
			Outcome: audit.Failure, TargetKind: "connection", TargetID: string(c.ID),
			Details: map[string]string{"check": failed.First()}})
	}); e != nil {
		return e
	}
	return errLogout(c)
}

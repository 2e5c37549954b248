package session

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/session/sessiondb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// EndNamed ends the sessions that began through a connection and that its provider calls by a name, whosever they are.
func (s *Service) EndNamed(ctx context.Context, tx *sqldb.Tx, org id.Organization, c id.Connection, upstream,
	reason string) (int, error) {
	ended, err := sessiondb.New(tx).EndNamed(ctx, sessiondb.EndNamedParams{Reason: reason, Now: sqldb.MillisOf(s.now()),
		OrganizationID: org, ConnectionID: c, UpstreamSession: upstream})
	if err != nil {
		return 0, fmt.Errorf("session: end named: %w", err)
	}
	return s.announceEnded(tx, org, ended), nil
}

// EndUpstream ends the sessions of a user that began through a connection: those that the provider calls by a name, or
// all of them, in the caller's transaction.
func (s *Service) EndUpstream(ctx context.Context, tx *sqldb.Tx, org id.Organization, c id.Connection, u id.User,
	upstream, reason string) (int, error) {
	ended, err := sessiondb.New(tx).EndOfConnection(ctx, sessiondb.EndOfConnectionParams{Reason: reason,
		Now: sqldb.MillisOf(s.now()), OrganizationID: org, ConnectionID: c, UserID: u, UpstreamSession: upstream})
	if err != nil {
		return 0, fmt.Errorf("session: end upstream: %w", err)
	}
	return s.announceEnded(tx, org, ended), nil
}

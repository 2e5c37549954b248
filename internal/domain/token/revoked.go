package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/jwt"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/token/tokendb"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// isRevoked tells whether one token was revoked before its time. An organization's list is one fact: it is short, since
// a token leaves it when it expires.
func (s *Service) isRevoked(ctx context.Context, org id.Organization, jti string) (bool, error) {
	list, err := s.revoked.Get(ctx, invalidation.Key{Organization: org},
		func(ctx context.Context) (map[string]time.Time, error) {
			rows, err := tokendb.New(s.db.Tenant(org)).RevokedTokens(ctx, org, sqldb.MillisOf(s.now()))
			if err != nil {
				return nil, fmt.Errorf("token: revoked: %w", err)
			}
			list := make(map[string]time.Time, len(rows))
			for _, r := range rows {
				list[r.Jti] = r.ExpiresAt.Time()
			}
			return list, nil
		})
	_, found := list[jti]
	return found, err
}

// maxRevoked bounds what one session or client adds to its organization's list, which is read whole.
const maxRevoked = 500

// Revoke ends one access token before its time (RFC 7009).
func (s *Service) Revoke(ctx context.Context, p principal.Principal, a *Access) error {
	r, org, target := a.Registered(), a.Organization(), ""
	if a.Client != nil {
		target = a.Client.ClientID
	} else {
		target = a.Session.SessionID
	}
	now := s.now()
	return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		q := tokendb.New(tx)
		n, err := q.RevokeToken(ctx, tokendb.RevokeTokenParams{OrganizationID: org, Jti: r.ID, Subject: target,
			CreatedAt: sqldb.MillisOf(now), ExpiresAt: sqldb.MillisOf(time.Unix(r.Expires, 0))})
		if err != nil {
			return fmt.Errorf("token: revoke: %w", err)
		}
		if n == 0 {
			return nil
		}
		if total, err := q.CountRevoked(ctx, org, target, sqldb.MillisOf(now)); err != nil {
			return fmt.Errorf("token: revoke: %w", err)
		} else if total > maxRevoked {
			return fault.Limitedf(fault.CodeRateLimited, time.Minute, "%d tokens of the same session or client are "+
				"revoked and have not expired. End the session, the client or its secret instead.", maxRevoked)
		}
		tx.Announce(s.revoked.Message(invalidation.Key{Organization: org}))
		return audit.RecordIn(ctx, tx, now, org, p,
			audit.Entry{Act: "token.revoked", TargetKind: "token", TargetID: r.ID,
				Details: map[string]string{"of": target}})
	})
}

// Refresh is a refresh token whose signature was verified.
type Refresh struct {
	Organization id.Organization
	Subject      string
	Session      id.Session // of a session's token
	Family       id.Family
	Client       id.Client // of a client's token
	Door         Door
	JTI          string
	IssuedAt     time.Time
	ExpiresAt    time.Time
}

// VerifyRefresh reads a refresh token of any sort. Whether it is the one in force is Current's to say.
func (s *Service) VerifyRefresh(token string) (Refresh, error) {
	payload, err := s.verify(token, jwt.TypeRefresh)
	if err != nil {
		return Refresh{}, err
	}
	var c struct {
		RefreshClaims
		ClientID string `json:"client_id"`
	}
	if err := jwt.Decode(payload, &c); err != nil {
		return Refresh{}, errInvalid()
	}
	door, ofClient := clientDoor(s.issuer, c.Audience, true)
	switch {
	case c.Audience == ReusableRefreshAudience(s.issuer):
		door = ItemPath
	case c.Audience != RefreshAudience(s.issuer) && !ofClient, ofClient != (c.ClientID != ""):
		return Refresh{}, errInvalid()
	}
	if err := s.judge(c.Registered, s.now(), c.Audience); err != nil {
		return Refresh{}, err
	}
	return Refresh{Organization: id.Organization(c.OrganizationID), Subject: c.Subject,
		Session: id.Session(c.SessionID), Family: id.Family(c.Family), Client: id.Client(c.ClientID),
		Door: door, JTI: c.ID, IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(c.Expires, 0).UTC()}, nil
}

// Current tells whether a verified refresh token is the one in force of a live family. It looks at the database: an
// answer about a refresh token is not worth a cache.
func (s *Service) Current(ctx context.Context, r Refresh) (bool, error) {
	q := tokendb.New(s.db.Tenant(r.Organization))
	if r.Client != "" {
		g, err := s.grant(q.GetGrant(ctx, r.Organization, r.Family))
		if fault.Is(err, fault.NotFound) {
			return false, nil
		}
		if err != nil || !g.Live(s.now()) || g.Client != r.Client || g.jti != r.JTI {
			return false, err
		}
		return s.secretLive(ctx, r.Organization, g.Credential)
	}
	if r.Door == ItemPath { // its session decides
		revoked, err := s.isRevoked(ctx, r.Organization, r.JTI)
		return !revoked, err
	}
	row, err := q.GetFamily(ctx, r.Organization, r.Family)
	if errors.Is(err, sqldb.ErrNoRows) {
		return false, nil
	}
	return err == nil && row.State == "active" && row.CurrentJti == r.JTI, err
}

// purgeAfter keeps what has expired for a while: clocks differ.
const purgeAfter = time.Hour

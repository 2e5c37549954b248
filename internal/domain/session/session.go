// Package session owns sign-in sessions: who signed in, from what device, until when. It decides when a session ends;
// tokens refer to it and are worthless without it. Use is stamped in batches; ending is a row and an announcement.
package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/urgent"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/session/sessiondb"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

// Session is one sign-in of one user.
type Session struct {
	ID           id.Session
	Organization id.Organization
	User         id.User
	Active       bool
	EndReason    string
	Sliding      bool
	AuthTime     time.Time
	CreatedAt    time.Time
	LastUsedAt   time.Time
	ExpiresAt    time.Time
	Absolute     time.Time // zero: no limit
	Device       string    // the user agent of the sign-in
	Fingerprint  string
	Address      string   // of the last use
	AMR          []string // how it was proven (RFC 8176)

	// Of a sign-in through a company's own provider: through which connection, and what the provider calls the session.
	Connection      id.Connection
	UpstreamSession string

	idle time.Duration // how long it lives unused: the organization's, for the role its user has now
}

// Live tells whether the session may be used at a moment.
func (s Session) Live(now time.Time) bool { return s.Active && now.Before(s.ExpiresAt) }

// The values of amr (RFC 8176 §2), and mfa's companion: how sure the sign-in is, as acr.
const (
	Password = "pwd"
	OTP      = "otp"  // a code of an app, or a backup code
	Hardware = "hwk"  // a key that does not leave its authenticator
	Software = "swk"  // a passkey that is kept in several places
	Presence = "user" // somebody touched the authenticator
	MFA      = "mfa"

	// Federated is a proof at the company's own provider. RFC 8176 has no word for it; this is the field's.
	Federated = "fed"

	SingleFactor = "aal1"
	TwoFactors   = "aal2"
)

// MultiFactor tells whether two factors were proven, or one authenticator that is two.
func (s Session) MultiFactor() bool { return slices.Contains(s.AMR, MFA) }

// ACR is how sure the sign-in is.
func (s Session) ACR() string {
	if s.MultiFactor() {
		return TwoFactors
	}
	return SingleFactor
}

// Waiting tells whether the session ended because another device used it: its user must sign in again (A47).
func (s Session) Waiting() bool { return !s.Active && s.EndReason == reasonDevice }

// within holds a session to the limits of its organization and role as they are now: who tightens them means the
// sessions that are there, too.
func (s Session) within(org organization.Settings, role string) Session {
	s.idle = org.SessionIdle(role)
	if l := org.SessionLifetime(role); l > 0 && (s.Absolute.IsZero() || s.Absolute.After(s.CreatedAt.Add(l))) {
		s.Absolute = s.CreatedAt.Add(l)
	}
	if !s.Absolute.IsZero() {
		s.ExpiresAt = earlier(s.ExpiresAt, s.Absolute)
	}
	if s.Sliding {
		s.ExpiresAt = earlier(s.ExpiresAt, s.LastUsedAt.Add(s.idle))
	}
	return s
}

// Deadline is when the session would end if it were used at now and never again.
func (s Session) Deadline(now time.Time) time.Time {
	if !s.Sliding {
		return s.ExpiresAt
	}
	d := now.Add(s.idle)
	if !s.Absolute.IsZero() {
		d = earlier(d, s.Absolute)
	}
	return d
}

func fromRow(r sessiondb.Session) Session {
	return Session{ID: r.ID, Organization: r.OrganizationID, User: r.UserID, Active: r.State == "active",
		EndReason: r.EndReason, Sliding: r.Sliding,
		AuthTime: r.AuthTime.Time(), CreatedAt: r.CreatedAt.Time(), LastUsedAt: r.LastUsedAt.Time(),
		ExpiresAt: r.ExpiresAt.Time(), Absolute: r.AbsoluteExpiresAt.Time(),
		Device: r.Device, Fingerprint: r.Fingerprint, Address: r.Address, AMR: strings.Fields(r.Amr),
		Connection: r.ConnectionID, UpstreamSession: r.UpstreamSession}
}

// Service owns the sessions.
type Service struct {
	db            *sqldb.DB
	now           func() time.Time
	organizations *organization.Service
	users         *user.Service
	keys          *signingkey.Service
	connections   Connections
	facts         *cache.Cache[Session]
	uses          *stamp.Batch[use]
}

// Connections tell whether what a connection let somebody of a role in for at a moment goes on.
type Connections interface {
	Holds(ctx context.Context, org id.Organization, c id.Connection, role string, since time.Time) (bool, error)
}

// UseConnections names who does.
func (s *Service) UseConnections(c Connections) { s.connections = c }

// Deps are what the service builds on.
type Deps struct {
	DB            *sqldb.DB
	Now           func() time.Time
	Caches        *cache.Group
	Organizations *organization.Service
	Users         *user.Service
	Keys          *signingkey.Service
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{db: d.DB, now: d.Now, organizations: d.Organizations, users: d.Users, keys: d.Keys,
		facts: cache.NewShared(d.Caches, "session", 500_000, cache.Plain[Session]()), uses: stamp.New[use](stampEvery)}
}

func key(org id.Organization, session id.Session) invalidation.Key {
	return invalidation.Key{Organization: org, ID: string(session)}
}

func one(r sessiondb.Session, err error) (Session, error) {
	if errors.Is(err, sqldb.ErrNoRows) {
		return Session{}, fault.NotFoundf("There is no such session.")
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: load: %w", err)
	}
	return fromRow(r), nil
}

// Facts gives a session from the cache, held to what its organization and its user's role allow now. One that seems
// expired is read again: its use may have been stamped since, by this node or another.
func (s *Service) Facts(ctx context.Context, org organization.Organization, role string, session id.Session) (Session,
	error) {
	k := key(org.ID, session)
	load := func(ctx context.Context) (Session, error) {
		return one(sessiondb.New(s.db.Tenant(org.ID)).Get(ctx, org.ID, session))
	}
	f, err := s.facts.Get(ctx, k, load)
	if err != nil {
		return f, err
	}
	if f = f.within(org.Settings, role); f.Active && f.Sliding && !s.now().Before(f.ExpiresAt) {
		s.facts.Drop(k)
		if f, err = s.facts.Get(ctx, k, load); err != nil {
			return f, err
		}
		if used, ok := s.uses.Pending(k); ok && f.Active {
			f.LastUsedAt, f.ExpiresAt = later(f.LastUsedAt, used.at), later(f.ExpiresAt, used.expires)
		}
		f = f.within(org.Settings, role)
	}
	return f, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Begin says how a session begins.
type Begin struct {
	Door        string // of the sign-in, for the audit log
	AMR         []string
	AuthTime    time.Time // when the first factor was proven
	Fingerprint string
	// of a sign-in through a company's own provider
	Connection      id.Connection
	UpstreamSession string
	Fixed           time.Duration // how long it lives whatever use is made of it; 0: by the organization's settings
}

// Start begins a session, in the transaction of the sign-in.
func (s *Service) Start(ctx context.Context, tx *sqldb.Tx, org organization.Organization, u user.User, how Begin,
	p principal.Principal) (Session, error) {
	now := s.now()
	f := Session{ID: id.New[id.Session](), Organization: org.ID, User: u.ID, Active: true,
		Sliding: org.Settings.Sliding(u.Role), AuthTime: how.AuthTime, AMR: how.AMR, CreatedAt: now,
		LastUsedAt: now, ExpiresAt: now.Add(org.Settings.SessionIdle(u.Role)), Device: p.Source.UserAgent,
		Fingerprint: how.Fingerprint, Address: p.Source.Address,
		Connection: how.Connection, UpstreamSession: how.UpstreamSession}
	if how.Fixed > 0 {
		f.Sliding, f.ExpiresAt = false, now.Add(how.Fixed)
	}
	f = f.within(org.Settings, u.Role)
	if most := org.Settings.SessionsPerUser; most > 0 {
		if err := s.makeRoom(ctx, tx, f, most, p); err != nil {
			return Session{}, err
		}
	}
	err := sessiondb.New(tx.Later()).
		Insert(ctx, sessiondb.InsertParams{OrganizationID: org.ID, ID: f.ID, UserID: u.ID, Sliding: f.Sliding,
			AuthTime: sqldb.MillisOf(f.AuthTime), CreatedAt: sqldb.MillisOf(now), Amr: strings.Join(f.AMR, " "),
			ExpiresAt: sqldb.MillisOf(f.ExpiresAt), AbsoluteExpiresAt: sqldb.MillisOf(f.Absolute), Device: f.Device,
			Fingerprint: f.Fingerprint, Address: f.Address, ConnectionID: f.Connection,
			UpstreamSession: f.UpstreamSession})
	if err != nil {
		return Session{}, fmt.Errorf("session: start: %w", err)
	}
	return f, audit.RecordIn(ctx, tx, now, org.ID, p,
		audit.Entry{Act: "session.created", TargetKind: "session", TargetID: string(f.ID),
			Details: map[string]string{"door": how.Door, "amr": strings.Join(how.AMR, " ")}})
}

// Renew notes that a session's user has proven more, by the methods given beside those of the sign-in, and when they
// last proved who they are. It is the only way to a newer auth_time: a refresh is none (RFC 9470 §6).
func (s *Service) Renew(ctx context.Context, tx *sqldb.Tx, f Session, amr []string, authTime time.Time) (Session,
	error) {
	f.AuthTime, f.AMR = authTime, slices.Clone(f.AMR)
	for _, m := range amr {
		if !slices.Contains(f.AMR, m) {
			f.AMR = append(f.AMR, m)
		}
	}
	n, err := sessiondb.New(tx).
		Renew(ctx, sessiondb.RenewParams{AuthTime: sqldb.MillisOf(authTime), Amr: strings.Join(f.AMR, " "),
			OrganizationID: f.Organization, ID: f.ID, UserID: f.User})
	if err != nil {
		return f, fmt.Errorf("session: renew: %w", err)
	}
	if n == 0 {
		return f, fault.New(fault.Unauthenticated, fault.CodeTokenRevoked, "The session has ended.")
	}
	tx.Announce(s.facts.Message(key(f.Organization, f.ID)))
	return f, nil
}

// makeRoom ends the oldest sessions of a user who has as many as the organization allows: the new one is one of them.
func (s *Service) makeRoom(ctx context.Context, tx *sqldb.Tx, f Session, most int64, p principal.Principal) error {
	ended, err := sessiondb.New(tx).EndOldest(ctx, sqldb.MillisOf(f.CreatedAt), f.Organization, f.User, most-1)
	if err != nil {
		return fmt.Errorf("session: make room: %w", err)
	}
	for _, session := range ended {
		if err := s.ended(ctx, tx, p, f.Organization, session, "session_limit"); err != nil {
			return err
		}
	}
	return nil
}

// Extend moves the deadline at a refresh; ok is false if the session has ended meanwhile.
func (s *Service) Extend(ctx context.Context, tx *sqldb.Tx, f Session, now time.Time, address string) (ok bool,
	err error) {
	n, err := sessiondb.New(tx).
		Extend(ctx, sessiondb.ExtendParams{Now: sqldb.MillisOf(now), ExpiresAt: sqldb.MillisOf(f.Deadline(now)),
			Address: address, OrganizationID: f.Organization, ID: f.ID})
	if err != nil {
		return false, fmt.Errorf("session: extend: %w", err)
	}
	return n == 1, nil
}

// List pages through a user's live sessions by id: one's own, or anyone's with sessions:read:all.
func (s *Service) List(ctx context.Context, p principal.Principal, u id.User, after id.Session, limit int) ([]Session,
	error) {
	org := p.Organization
	if p.UserID() == u {
		org = p.Home
	}
	of, err := s.organizations.Facts(ctx, org)
	if err != nil {
		return nil, err
	}
	holder, err := s.users.Facts(ctx, org, u)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var created time.Time
	if l := of.Settings.SessionLifetime(holder.Role); l > 0 {
		created = now.Add(-l)
	}
	if void, err := s.keys.NotBefore(); err != nil {
		return nil, err
	} else {
		created = later(created, void)
	}
	rows, err := sessiondb.New(s.db.Tenant(org)).ListByUser(ctx,
		sessiondb.ListByUserParams{OrganizationID: org, UserID: u, Now: sqldb.MillisOf(now), After: after,
			RowLimit:     int64(limit),
			UsedSince:    sqldb.MillisOf(now.Add(-of.Settings.SessionIdle(holder.Role))),
			CreatedSince: sqldb.MillisOf(created)})
	if err != nil {
		return nil, fmt.Errorf("session: list: %w", err)
	}
	out := make([]Session, len(rows))
	for i, r := range rows {
		out[i] = fromRow(r).within(of.Settings, holder.Role)
		if used, ok := s.uses.Pending(key(org, out[i].ID)); ok {
			out[i].LastUsedAt = later(out[i].LastUsedAt, used.at)
		}
	}
	return out, nil
}

// Reasons that more than one place gives.
const (
	ReasonLogout  = "logout"
	ReasonRevoked = "revoked"
	reasonDevice  = "device_fingerprint"
)

// EndOwn ends one of the principal's own sessions.
func (s *Service) EndOwn(ctx context.Context, p principal.Principal, session id.Session, reason string) error {
	ctx = urgent.With(ctx)
	f, err := one(sessiondb.New(s.db.Tenant(p.Home)).Get(ctx, p.Home, session))
	if err != nil {
		return err
	}
	if f.User != p.UserID() || !f.Active {
		return fault.NotFoundf("There is no such session.")
	}
	return s.db.Tx(ctx, p.Home, func(tx *sqldb.Tx) error { return s.end(ctx, tx, p, p.Home, session, reason) })
}

// End ends one session: the principal's own, or another's in the organization with sessions:delete:all and no fewer
// rights than its user.
func (s *Service) End(ctx context.Context, p principal.Principal, session id.Session, reason string) error {
	ctx = urgent.With(ctx)
	org := p.Home
	f, err := one(sessiondb.New(s.db.Tenant(org)).Get(ctx, org, session))
	if own := err == nil && p.Kind == principal.User && f.User == p.UserID(); !own {
		if p.Scope("sessions", "delete") == 0 {
			return fault.NotFoundf("There is no such session.")
		}
		org = p.Organization
		if f, err = one(sessiondb.New(s.db.Tenant(org)).Get(ctx, org, session)); err != nil {
			return err
		}
		if err := s.users.CheckMayEndSessions(ctx, p, f.User); err != nil {
			return err
		}
	}
	if !f.Active {
		return fault.NotFoundf("There is no such session.")
	}
	return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		return s.end(ctx, tx, p, org, session, reason)
	})
}

func (s *Service) end(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization, session id.Session,
	reason string) error {
	_, err := sessiondb.New(tx).End(ctx, reason, sqldb.MillisOf(s.now()), org, session)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil // ended a moment ago: as asked
	}
	if err != nil {
		return fmt.Errorf("session: end: %w", err)
	}
	return s.ended(ctx, tx, p, org, session, reason)
}

// ended tells the nodes and the audit log.
func (s *Service) ended(ctx context.Context, tx *sqldb.Tx, p principal.Principal, org id.Organization,
	session id.Session, reason string) error {
	tx.Announce(s.facts.Message(key(org, session)))
	return audit.RecordIn(ctx, tx, s.now(), org, p,
		audit.Entry{Act: "session.ended", TargetKind: "session", TargetID: string(session),
			Details: map[string]string{"reason": reason}})
}

// CheckDevice holds a session to the device fingerprint it began with (A47): a session that has one wants the same
// wherever one is shown, and at a refresh always. Another ends the session until its user signs in again. shown are the
// values of the request; several are another.
func (s *Service) CheckDevice(ctx context.Context, f Session, shown []string, needed bool,
	source principal.Source) error {
	if f.Fingerprint == "" || (len(shown) == 0 && !needed) {
		return nil
	}
	if len(shown) == 1 && subtle.ConstantTimeCompare([]byte(shown[0]), []byte(f.Fingerprint)) == 1 {
		return nil
	}
	holder := principal.Principal{Kind: principal.User, ID: string(f.User), Home: f.Organization,
		Organization: f.Organization, Session: f.ID, Source: source}
	ctx = urgent.With(ctx)
	if err := s.db.Tx(ctx, f.Organization, func(tx *sqldb.Tx) error {
		return s.end(ctx, tx, holder, f.Organization, f.ID, reasonDevice)
	}); err != nil {
		return err
	}
	return ErrWaiting()
}

// ErrWaiting refuses a session that waits for its user to sign in again.
func ErrWaiting() error {
	return fault.New(fault.Unauthenticated, fault.CodeReauthentication,
		"The session was used from another device. Sign in again.")
}

// EndHeld ends a session whose refresh token was shown by someone who may end it.
func (s *Service) EndHeld(ctx context.Context, p principal.Principal, org id.Organization, session id.Session,
	reason string) error {
	ctx = urgent.With(ctx)
	return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error { return s.end(ctx, tx, p, org, session, reason) })
}

// EndStolen ends a session whose refresh token was used twice.
func (s *Service) EndStolen(ctx context.Context, p principal.Principal, org id.Organization, session id.Session) error {
	ctx = urgent.With(ctx)
	return s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		return s.end(ctx, tx, p, org, session, "refresh_token_reused")
	})
}

// EndAll ends every session of a user but keep, in the caller's transaction.
func (s *Service) EndAll(ctx context.Context, tx *sqldb.Tx, org id.Organization, u id.User, keep id.Session,
	reason string) (int, error) {
	ended, err := sessiondb.New(tx).EndByUser(ctx,
		sessiondb.EndByUserParams{Reason: reason, Now: sqldb.MillisOf(s.now()), OrganizationID: org, UserID: u,
			Keep: keep})
	if err != nil {
		return 0, fmt.Errorf("session: end all: %w", err)
	}
	return s.announceEnded(tx, org, ended), nil
}

// EndSingleFactor ends every session of a user that never proved a second factor, but keep, in the transaction that
// gives them one: whoever knows the password alone may have begun it.
func (s *Service) EndSingleFactor(ctx context.Context, tx *sqldb.Tx, org id.Organization, u id.User,
	keep id.Session) (int, error) {
	ended, err := sessiondb.New(tx).EndSingleFactor(ctx,
		sessiondb.EndSingleFactorParams{Reason: "factor_added", Now: sqldb.MillisOf(s.now()), OrganizationID: org,
			UserID: u, Keep: keep})
	if err != nil {
		return 0, fmt.Errorf("session: end single factor: %w", err)
	}
	return s.announceEnded(tx, org, ended), nil
}

func (s *Service) announceEnded(tx *sqldb.Tx, org id.Organization, ended []id.Session) int {
	for _, session := range ended {
		tx.Announce(s.facts.Message(key(org, session)))
	}
	return len(ended)
}

// EndAllOf ends every session of a user: one's own, or another's with sessions:delete:all and no fewer rights.
func (s *Service) EndAllOf(ctx context.Context, p principal.Principal, u id.User, reason string) (n int, err error) {
	ctx = urgent.With(ctx)
	org := p.Organization
	if p.UserID() == u {
		org = p.Home
	} else if err := s.users.CheckMayEndSessions(ctx, p, u); err != nil {
		return 0, err
	}
	err = s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
		if n, err = s.EndAll(ctx, tx, org, u, "", reason); err != nil {
			return err
		}
		return audit.RecordIn(ctx, tx, s.now(), org, p,
			audit.Entry{Act: "user.sessions_ended", TargetKind: "user", TargetID: string(u),
				Details: map[string]string{"reason": reason, "sessions": fmt.Sprint(n)}})
	})
	return n, err
}

// purgeAfter keeps ended sessions a while for whoever looks into an incident.
const purgeAfter = 30 * 24 * time.Hour

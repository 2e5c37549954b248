package connection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection/connectiondb"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// upkeepEvery is how often each active connection is looked after, and upkeepSoon how soon again where something was
// wrong or ends.
const (
	upkeepEvery = 24 * time.Hour
	upkeepSoon  = time.Hour
)

// warnBefore are the days before an end at which it is warned of.
var warnBefore = []int{60, 30, 7}

// Refresh reads a SAML provider's metadata again. held is why what it read is not to be taken over without a person's
// word; empty: it is.
type Refresh func(ctx context.Context, c Connection) (fresh *Assertion, held string, err error)

// Judge tells why other metadata of a connection's provider is not taken over without an administrator's word; empty:
// it is.
type Judge func(c Connection, fresh *Assertion) (held string, err error)

// LookAfter reads metadata again, and warns of what ends soon, for connections that were not looked after for a day, at
// most limit of them.
func (s *Service) LookAfter(ctx context.Context, limit int, refresh Refresh) error {
	rows, err := connectiondb.New(s.DB.Platform("connections to look after")).
		PlatformDue(ctx, sqldb.MillisOf(s.Now().Add(-upkeepEvery)), int64(limit))
	if err != nil {
		return fmt.Errorf("connections due: %w", err)
	}
	var failed error
	for _, r := range rows {
		c, err := s.one(r, nil)
		if err == nil {
			err = s.lookAfter(ctx, &c, refresh)
		}
		if err != nil { // others first
			failed = errors.Join(failed, err, s.DB.Tx(ctx, r.OrganizationID, func(tx *sqldb.Tx) error {
				return connectiondb.New(tx).Postponed(ctx, checkedAt(s.Now(), upkeepSoon), r.OrganizationID, r.ID)
			}))
		}
	}
	return failed
}

// Warned gives the connections that need attention, at most limit, and how many there are.
func (s *Service) Warned(ctx context.Context, limit int) ([]Connection, int, error) {
	q := connectiondb.New(s.DB.Platform("connections that need attention"))
	n, err := q.PlatformCountWarned(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("connections to warn of: %w", err)
	}
	rows, err := q.PlatformWarned(ctx, int64(limit))
	if err != nil {
		return nil, 0, fmt.Errorf("connections to warn of: %w", err)
	}
	out := make([]Connection, len(rows))
	for i, r := range rows {
		if out[i], err = s.one(r, nil); err != nil {
			return nil, 0, err
		}
	}
	return out, int(n), nil
}

// checkedAt is what is written down as the last look, so that the next one is due in a while.
func checkedAt(now time.Time, next time.Duration) sqldb.Millis {
	return sqldb.MillisOf(now.Add(next - upkeepEvery))
}

// next is in how long a connection is looked after again: before its provider's metadata runs out.
func (c Connection) next(now time.Time) time.Duration {
	next := upkeepEvery
	if c.Assertion == nil || c.Assertion.MetadataURL == "" {
		return next
	}
	if until := c.Assertion.ValidUntil; !until.IsZero() {
		next = min(next, until.Sub(now)/2)
	}
	if !c.Upkeep.FailingSince.IsZero() {
		next = 0
	}
	return max(next, upkeepSoon)
}

func (s *Service) lookAfter(ctx context.Context, c *Connection, refresh Refresh) error {
	now := s.Now()
	p := principal.NewSystem("connections", c.Organization)
	before := c.Upkeep
	if c.Kind == SAML && c.Assertion.MetadataURL != "" {
		fresh, held, err := refresh(ctx, *c)
		switch {
		case err != nil:
			if c.Upkeep.FailingSince.IsZero() {
				c.Upkeep.FailingSince = now
			}
		case held != "":
			c.Upkeep.Held, c.Upkeep.MetadataReadAt, c.Upkeep.FailingSince = held, now, time.Time{}
		default:
			c.Upkeep.Held, c.Upkeep.MetadataReadAt, c.Upkeep.FailingSince = "", now, time.Time{}
			if fresh.Metadata == c.Assertion.Metadata { // a later end is no change
				c.Assertion.ValidUntil = fresh.ValidUntil
			} else {
				read := encode(c.Assertion)
				changed, err := s.Update(ctx, p, c.ID, func(c *Connection) error {
					if c.Assertion == nil || encode(c.Assertion) != read {
						return errElsewhere
					}
					c.Assertion = fresh
					return nil
				})
				if errors.Is(err, errElsewhere) {
					return nil // an administrator was quicker: what was read is about something else now
				}
				if err != nil {
					return err
				}
				c.Settings, c.UpdatedAt = changed.Settings, changed.UpdatedAt
			}
		}
	}
	c.Upkeep.Warnings = warningsOf(*c, now)
	return s.DB.Tx(ctx, c.Organization, func(tx *sqldb.Tx) error {
		n, err := connectiondb.New(tx).Kept(ctx, connectiondb.KeptParams{Upkeep: encode(c.Upkeep),
			Settings: encode(c.Settings), CheckedAt: checkedAt(now, c.next(now)),
			Warned: len(c.Upkeep.Warnings) > 0 || c.Upkeep.Held != "", OrganizationID: c.Organization,
			ID: c.ID, Was: sqldb.MillisOf(c.UpdatedAt)})
		if err != nil {
			return fmt.Errorf("connection upkeep: %w", err)
		}
		if n == 0 {
			return nil // an administrator was quicker
		}
		tx.Announce(s.facts.Message(key(c.Organization, c.ID)))
		if c.Upkeep.Held != before.Held && c.Upkeep.Held != "" {
			if err := s.tell(ctx, tx, p, *c, "connection.metadata_held", c.Upkeep.Held, nil); err != nil {
				return err
			}
		}
		for _, w := range c.Upkeep.Warnings {
			if slices.Contains(before.Warnings, w) {
				continue
			}
			if err := s.tell(ctx, tx, p, *c, "connection.warning", "", &w); err != nil {
				return err
			}
		}
		return nil
	})
}

// errElsewhere says that a connection changed while its metadata was read.
var errElsewhere = errors.New("the connection changed meanwhile")

// warningsOf are those of this moment, each with the last threshold that was passed.
func warningsOf(c Connection, now time.Time) (out []Warning) {
	add := func(what string, at time.Time) {
		if at.IsZero() {
			return
		}
		days := 0
		for _, d := range warnBefore {
			if at.Before(now.AddDate(0, 0, d)) {
				days = d
			}
		}
		if days == 0 {
			return
		}
		out = append(out, Warning{What: what, At: at.UTC(), Days: days})
	}
	if c.OpenID != nil && c.OpenID.SecretExpires != "" {
		at, err := time.Parse(time.DateOnly, c.OpenID.SecretExpires)
		if err == nil {
			add("client_secret", at)
		}
	}
	if c.Assertion != nil {
		var last time.Time // during a rollover there are two
		for _, cert := range c.Assertion.Certificates {
			if cert.NotAfter.After(last) {
				last = cert.NotAfter
			}
		}
		add("certificate", last)
	}
	if len(c.Secrets.Keys) > 0 {
		_, until := c.Secrets.Keys[0].Fingerprint()
		add("own_certificate", until)
	}
	if since := c.Upkeep.FailingSince; !since.IsZero() && now.Sub(since) >= unreadFor {
		out = append(out, Warning{What: "metadata", At: since.UTC(), Days: warnBefore[len(warnBefore)-1]})
	}
	return out
}

// unreadFor is how long metadata may be unreadable before that is warned of.
const unreadFor = 3 * 24 * time.Hour

// tell records what was found and mails it to whom the organization named, else to whoever made the connection.
func (s *Service) tell(ctx context.Context, tx *sqldb.Tx, p principal.Principal, c Connection, act, why string,
	w *Warning) error {
	org, err := s.Organizations.Facts(ctx, c.Organization)
	if err != nil {
		return err
	}
	facts := map[string]string{"connection": c.Name, "what": why, "when": ""}
	details := map[string]string{"why": why}
	if w != nil {
		facts["what"], facts["when"] = map[string]string{
			"certificate":     "The provider's certificate runs out",
			"own_certificate": "This server's certificate toward the provider runs out",
			"client_secret":   "The client secret runs out",
			"metadata":        "The provider's metadata cannot be read",
		}[w.What], org.Settings.When(w.At)
		details = map[string]string{"what": w.What, "at": w.At.Format(time.RFC3339), "days": strconv.Itoa(w.Days)}
	}
	err = audit.RecordIn(ctx, tx, s.Now(), c.Organization, p, audit.Entry{Act: act, TargetKind: "connection",
		TargetID: string(c.ID), Details: details})
	if err != nil {
		return err
	}
	to := org.Profile.Email
	if u, err := id.Parse[id.User](c.CreatedBy); to == "" && err == nil {
		if maker, err := s.Users.Facts(ctx, c.Organization, u); err == nil {
			to = maker.Email
		}
	}
	if to == "" {
		return nil
	}
	return s.Mails.Queue(ctx, tx, c.Organization, mail.Message{Kind: mail.ConnectionWarning, Subject: string(c.ID),
		To: to, Organization: org.Name, Facts: facts})
}

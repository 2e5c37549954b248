package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Outbox keeps mails until they are sent.
type Outbox struct {
	db     *sqldb.DB
	ring   *keyring.Ring
	public *url.URL
	sender Sender // nil: nobody sends, and nothing is kept
	count  Count
	holder string
	now    func() time.Time
	log    *slog.Logger
}

// Deps are what the outbox of one node builds on.
type Deps struct {
	DB     *sqldb.DB
	Now    func() time.Time
	Log    *slog.Logger
	Ring   *keyring.Ring
	Public *url.URL // links are built from it alone
	Sender Sender   // nil: this installation sends no mail
	Count  Count
	Holder string // the node's name, which no other has
}

// NewOutbox makes the outbox.
func NewOutbox(d Deps) *Outbox {
	return &Outbox{db: d.DB, ring: d.Ring, public: d.Public, sender: d.Sender, count: d.Count, holder: d.Holder,
		now: d.Now, log: d.Log}
}

// Sends tells whether this installation sends mail at all.
func (o *Outbox) Sends() bool { return o.sender != nil }

const insertMail = `INSERT INTO mails (organization_id, id, kind, subject, state, content, due_at, created_at, expires_at) `

// Queue writes a mail in the transaction of what it tells.
func (o *Outbox) Queue(ctx context.Context, tx *sqldb.Tx, org id.Organization, m Message) error {
	return o.queue(ctx, tx, org, m, "VALUES ($1, $2, $3, $4, 'waiting', $5, $6, $6, $7)")
}

// QueueIfNewDevice writes a mail about a session that has just begun, if its user has signed in before, but never from
// a device that calls itself so.
func (o *Outbox) QueueIfNewDevice(ctx context.Context, tx *sqldb.Tx, org id.Organization, m Message, session id.Session,
	device string) error {
	return o.queue(ctx, tx, org, m,
		`SELECT $1, $2, $3, $4, 'waiting', $5, CAST($6 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT)
		WHERE EXISTS (SELECT 1 FROM sessions s WHERE s.organization_id = $1 AND s.user_id = $4 AND s.id <> $8)
		AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.organization_id = $1 AND s.user_id = $4 AND s.id <> $8 AND s.device = $9)`, string(session), device)
}

func (o *Outbox) queue(ctx context.Context, tx *sqldb.Tx, org id.Organization, m Message, values string,
	more ...any) error {
	if o.sender == nil {
		return nil
	}
	if err := permitted(m); err != nil {
		return err
	}
	now, mail := o.now(), id.New[id.Mail]()
	c := content{Kind: m.Kind, To: m.To, Name: m.Name, Organization: m.Organization,
		Minutes: int(m.lifetime() / time.Minute), Facts: m.Facts}
	if m.Page != "" {
		c.Link = o.public.JoinPath(m.Page).String() + "#token=" + m.Token.Reveal()
	}
	if _, err := render(c); err != nil { // now, where it fails with the act, and not when nobody looks
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	args := append([]any{org, mail, string(m.Kind), m.Subject, o.ring.Seal(text, place(org, mail)), now.UnixMilli(),
		now.Add(m.lifetime()).UnixMilli()}, more...)
	if _, err := tx.Later().Exec(ctx, insertMail+values, args...); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	return nil
}

func place(org id.Organization, mail id.Mail) string {
	return "mails/" + string(org) + "/" + string(mail)
}

// Written counts the mails of a kind about somebody since a moment.
func (o *Outbox) Written(ctx context.Context, org id.Organization, subject string, kind Kind, since time.Time) (n int64,
	err error) {
	err = o.db.Tenant(org).
		QueryRow(ctx,
			`SELECT CAST(count(*) AS BIGINT) FROM mails WHERE organization_id = $1 AND subject = $2 AND kind = $3 AND created_at > $4`,
			org, subject, string(kind), since.UnixMilli()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count waiting mails: %w", err)
	}
	return n, nil
}

// claim is how long a node has to send a mail before another may.
const claim = 2 * time.Minute

type claimed struct {
	org      id.Organization
	id       id.Mail
	content  string
	attempts int64
	expires  time.Time
}

// Deliver sends what is due until nothing is.
func (o *Outbox) Deliver(ctx context.Context) error {
	if o.sender == nil {
		return nil
	}
	for ctx.Err() == nil {
		c, found, err := o.take(ctx)
		if err != nil || !found {
			return err
		}
		if err := o.deliver(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// take claims one mail; of several nodes one gets it.
func (o *Outbox) take(ctx context.Context) (c claimed, found bool, err error) {
	now := o.now()
	// Most of the time nothing waits; a look costs less than a transaction, and no lock.
	var due bool
	if err := o.db.Platform("is a mail due, of whatever organization").
		QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM mails WHERE state = 'waiting' AND due_at <= $1)`, now.UnixMilli()).
		Scan(&due); err != nil || !due {
		return c, false, err
	}
	err = o.db.PlatformTx(ctx, "the next mail, of whatever organization", func(tx *sqldb.Tx) error {
		var expires int64
		err := tx.QueryRow(ctx, `UPDATE mails SET claim = $1, due_at = $2, attempts = attempts + 1
			WHERE state = 'waiting' AND due_at <= $3 AND (organization_id, id) IN (SELECT m.organization_id, m.id FROM mails m WHERE m.state = 'waiting' AND m.due_at <= $3 ORDER BY m.due_at, m.id LIMIT 1)
			RETURNING organization_id, id, content, attempts, expires_at`, o.holder, now.Add(claim).UnixMilli(),
			now.UnixMilli()).Scan(&c.org, &c.id, &c.content, &c.attempts, &expires)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		c.expires, found = time.UnixMilli(expires), err == nil
		return err
	})
	if err != nil {
		return c, false, fmt.Errorf("claim a mail: %w", err)
	}
	return c, found, nil
}

func (o *Outbox) deliver(ctx context.Context, c claimed) error {
	err := o.send(ctx, c)
	if err == nil {
		return o.end(ctx, c, "sent")
	}
	next := o.again(c, err)
	if final := errors.Is(err, ErrRefused) || !next.Before(c.expires); final {
		o.log.ErrorContext(ctx, "a mail was given up", "mail", c.id, "organization", c.org, "attempts", c.attempts,
			"error", err)
		return o.end(ctx, c, "failed")
	}
	o.log.WarnContext(ctx, "a mail was not sent and will be tried again", "mail", c.id, "organization", c.org,
		"attempts", c.attempts, "error", err)
	return o.db.Tx(context.WithoutCancel(ctx), c.org, func(tx *sqldb.Tx) error {
		_,
			err := tx.Exec(ctx,
			`UPDATE mails SET due_at = $1, claim = '' WHERE organization_id = $2 AND id = $3 AND claim = $4`,
			next.UnixMilli(), c.org, c.id, o.holder)
		return err
	})
}

// send opens and sends a mail that was claimed.
func (o *Outbox) send(ctx context.Context, c claimed) error {
	if !o.now().Before(c.expires) {
		return fmt.Errorf("%w: it is too old", ErrRefused)
	}
	text, err := o.ring.Open(c.content, place(c.org, c.id))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var v content
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	m, err := render(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := o.paced(ctx, c, v); err != nil {
		return err
	}
	m.ID = string(c.id)
	return o.sender.Send(ctx, m)
}

// end writes what became of a mail; its content is gone.
func (o *Outbox) end(ctx context.Context, c claimed, state string) error {
	ctx = context.WithoutCancel(ctx) // it was accepted: a node that stops must still write it down
	err := o.db.Tx(ctx, c.org, func(tx *sqldb.Tx) error {
		_,
			err := tx.Exec(ctx,
			`UPDATE mails SET state = $1, content = '', ended_at = $2 WHERE organization_id = $3 AND id = $4`, state,
			o.now().UnixMilli(), c.org, c.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("end a mail: %w", err)
	}
	return nil
}

// backoff is 15 s, 30 s, 1 min and so on up to half an hour.
func backoff(attempts int64) time.Duration {
	return min(15*time.Second<<min(attempts-1, 10), 30*time.Minute)
}

// kept is how long a mail stays known after it ended.
const kept = 30 * 24 * time.Hour

// Purge forgets mails that ended long ago, at most limit at once, and gives up those that are too old and that nobody
// sends, be it that no mail server is configured any more.
func (o *Outbox) Purge(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	err = o.db.PlatformTx(ctx, "purge sent mails", func(tx *sqldb.Tx) error {
		tag,
			err := tx.Exec(ctx,
			`DELETE FROM mails WHERE (organization_id, id) IN (SELECT m.organization_id, m.id FROM mails m WHERE m.state <> 'waiting' AND m.ended_at < $1 LIMIT $2)`,
			now.Add(-kept).UnixMilli(), limit)
		if err != nil {
			return err
		}
		n = tag.RowsAffected()
		_,
			err = tx.Exec(ctx,
			`UPDATE mails SET state = 'failed', content = '', ended_at = $1 WHERE state = 'waiting' AND expires_at < $1 AND due_at < $1`, now.UnixMilli())
		return err
	})
	return n, err
}

// Void gives up what waited when a backup was made: it was sent since, or its link is void now.
func (o *Outbox) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{SQL: `UPDATE mails SET state = 'failed', content = '', ended_at = $1 WHERE state = 'waiting'`}}
}

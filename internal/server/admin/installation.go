package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// installation checks what is in the tables, with the services that the server itself uses, and the feed.
func (d *doctor) installation() {
	c := d.c
	c.Tracing.Endpoint, c.Redis = "", d.c.Redis
	s, err := server.New(d.ctx, c, server.Options{Log: d.log})
	switch {
	case errors.Is(err, keyring.ErrKey):
		d.say("keys", Bad, "Configure the encryption keys that the installation was made with.",
			"the server cannot start: %v", err)
		return
	case err != nil:
		d.say("start", Bad, "Correct what it names.", "the server cannot start: %v", err)
		return
	}
	defer s.Close(context.WithoutCancel(d.ctx)) // nothing was written
	d.keys(s)
	if n, err := s.Users.Operators(d.ctx); err == nil && n == 0 {
		d.say("operator", Warn, "Run gatehouse admin create, or open the link that the server printed at its start.",
			"there is none yet")
	}
	if slug := c.ItemPath.DefaultOrganization; slug != "" {
		if _, err := s.Organizations.BySlug(d.ctx, slug); fault.Is(err, fault.NotFound) {
			d.say("itempath.default_organization", Bad, "Name an organization that exists, or leave it empty.",
				"there is no organization %s", slug)
		}
	}
	const old, idle = 365 * 24 * time.Hour, 90 * 24 * time.Hour
	if a, err := s.Credentials.Ages(d.ctx, old, idle); err != nil {
		d.say("credentials", Bad, "", "%v", err)
	} else if a.Old+a.Idle > 0 {
		d.say("credentials", Warn, "Rotate the old and revoke the idle ones: gatehouse credentials report "+
			"--organization … lists them.",
			"of %d that work %d are over a year old, %d unused for 90 days, %d never expire", a.Active, a.Old, a.Idle,
			a.NeverExpire)
	} else {
		d.say("credentials", Good, "", "of %d that work none is over a year old or unused for 90 days; %d never expire",
			a.Active, a.NeverExpire)
	}
	d.connections(s)
	d.audit(s)
	d.feed(s)
}

// connections names those to identity providers that need attention.
func (d *doctor) connections(s *server.Server) {
	const named = 3
	list, n, err := s.Connections.Warned(d.ctx, named)
	if err != nil {
		d.say("company sign-in", Bad, "", "%v", err)
		return
	}
	if n == 0 {
		d.say("company sign-in", Good, "", "no company sign-in needs attention")
		return
	}
	var what []string
	for _, c := range list {
		for _, w := range c.Upkeep.Warnings {
			what = append(what, fmt.Sprintf("%s (%s): %s, %s", c.Name, c.ID, w.What, w.At.Format(time.DateOnly)))
		}
		if c.Upkeep.Held != "" {
			what = append(what, fmt.Sprintf("%s (%s): metadata held back, %s", c.Name, c.ID, c.Upkeep.Held))
		}
	}
	d.say("company sign-in", Warn, "Renew what runs out at the provider and here; the organization's administrators "+
		"were told by mail.", "%d company sign-ins need attention: %s", n, strings.Join(what, "; "))
}

// manyEvents in the audit log, which nobody said for how long to keep, are worth a word.
const manyEvents = 10_000_000

func (d *doctor) audit(s *server.Server) {
	size, err := s.Audit.Size(d.ctx)
	if err != nil {
		d.say("audit log", Bad, "", "%v", err)
		return
	}
	kept, verdict, remedy := "kept for ever", Good, ""
	if days := time.Duration(d.c.AuditRetention) / (24 * time.Hour); days > 0 {
		kept = fmt.Sprintf("kept for %d days", days)
	} else if size.Rows > manyEvents {
		verdict, remedy = Warn, "Say with audit_retention for how long events are kept."
	}
	d.say("audit log", verdict, remedy, "%d events, %d MiB, %s unless an organization keeps its own for a shorter time",
		size.Rows, size.Bytes>>20, kept)
}

func (d *doctor) keys(s *server.Server) {
	have := make(map[string]signingkey.Key)
	for _, k := range s.Keys.List() {
		have[string(k.Purpose)+" "+string(k.State)] = k
	}
	for _, want := range []string{"session active", "session next", "long_lived active", "long_lived next"} {
		if _, ok := have[want]; !ok {
			d.say("keys", Warn, "Let the server run for a moment; it makes what is missing.", "there is no %s key",
				want)
			return
		}
	}
	if age := time.Since(have["session active"].ActivatedAt); age > signingkey.RotateAfter+7*24*time.Hour {
		d.say("keys", Warn, "Look for failed housekeeping in the log, or run gatehouse keys rotate.",
			"the active session key is %d days old", int(age.Hours()/24))
		return
	}
	d.say("keys", Good, "", "the encryption keys open them; active and next are there for both purposes")
}

// feed measures how long an announcement takes from a commit to another connection.
func (d *doctor) feed(s *server.Server) {
	const wait = 3 * time.Second
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	other, err := server.OpenDatabase(ctx, d.c, 2)
	if err != nil {
		d.say("invalidation feed", Bad, "", "%v", err)
		return
	}
	defer other.Close()
	feed := invalidation.New(other, d.log)
	feed.Quiet()
	heard := make(chan struct{}, 1)
	feed.Subscribe("doctor", listener(heard))
	done := make(chan struct{})
	go func() { defer close(done); feed.Run(ctx) }()
	defer func() { cancel(); <-done }()
	const remedy = "Set `database_listen` to the address of the database at PostgreSQL itself: a pooler in " +
		"transaction mode passes no announcement on."
	for end := time.Now().Add(wait); !feed.Trusted(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.say("invalidation feed", Bad, remedy, "nothing is heard: the server asks the database for every request")
			return
		}
	}
	for len(heard) > 0 {
		<-heard
	}
	began := time.Now()
	err = s.DB.PlatformTx(ctx, "an announcement to see that it is heard", func(tx *sqldb.Tx) error {
		tx.Announce(invalidation.Message("doctor", invalidation.Key{ID: "probe"}))
		return nil
	})
	if err != nil {
		d.say("invalidation feed", Bad, "", "%v", err)
		return
	}
	for end := began.Add(wait); time.Now().Before(end); {
		other.CatchUp()
		select {
		case <-heard:
			d.say("invalidation feed", Good, "", "an announcement was heard on another connection after %v",
				time.Since(began).Round(100*time.Microsecond))
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	d.say("invalidation feed", Bad, remedy, "an announcement was not heard within %v", wait)
}

// listener hears that something was announced.
type listener chan struct{}

func (l listener) Invalidate(invalidation.Key) {
	select {
	case l <- struct{}{}:
	default:
	}
}
func (l listener) Flush() {}

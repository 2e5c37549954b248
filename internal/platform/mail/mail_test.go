package mail_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/smtptest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

const from = "Gatehouse <no-reply@auth.example.com>"

// A12: mails leave by STARTTLS, by TLS and, on this machine, in the clear, with and without an account; a connection
// that is less than asked for is none.
func TestA12_SMTP(t *testing.T) {
	t.Parallel()
	account := func(s mail.SMTP) mail.SMTP {
		s.Username, s.Password = smtptest.Username, secret.New(smtptest.Password)
		return s
	}
	for name, c := range map[string]struct {
		server smtptest.Options
		client func(s mail.SMTP) mail.SMTP
		ok     bool
	}{
		"STARTTLS":                 {smtptest.Options{}, func(s mail.SMTP) mail.SMTP { return s }, true},
		"STARTTLS with an account": {smtptest.Options{Account: true}, account, true},
		"TLS with an account": {smtptest.Options{TLS: true, Account: true}, func(s mail.SMTP) mail.SMTP {
			s.Security = mail.TLS
			return account(s)
		}, true},
		"in the clear, here": {smtptest.Options{Clear: true}, func(s mail.SMTP) mail.SMTP {
			s.Security = mail.Plain
			return s
		}, true},
		"STARTTLS that is not offered": {smtptest.Options{Clear: true}, func(s mail.SMTP) mail.SMTP { return s },
			false},
		"a certificate of nobody's": {smtptest.Options{}, func(s mail.SMTP) mail.SMTP { s.CAFile = ""; return s },
			false},
		"TLS where STARTTLS is": {smtptest.Options{}, func(s mail.SMTP) mail.SMTP {
			s.Security = mail.TLS
			return s
		}, false},
		"no account where one is needed": {smtptest.Options{Account: true}, func(s mail.SMTP) mail.SMTP { return s },
			false},
		"a wrong password": {smtptest.Options{Account: true}, func(s mail.SMTP) mail.SMTP {
			s = account(s)
			s.Password = secret.New("wrong")
			return s
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, c.server)
			sender,
				err := mail.NewSMTP(c.client(mail.SMTP{Address: server.Address, Security: mail.StartTLS,
				CAFile: server.CAFile, From: from}))
			if err != nil {
				t.Fatal(err)
			}
			err = sender.Send(t.Context(), mail.Mail{ID: "mail_1", To: "ana@acme-corp.example", Subject: "Olá, ção",
				Text: "text\n", HTML: "<p>html</p>"})
			if (err == nil) != c.ok {
				t.Fatalf("%v", err)
			}
			got := server.Mails("ana@acme-corp.example")
			if !c.ok {
				if len(got) != 0 || strings.Contains(err.Error(), smtptest.Password) {
					t.Errorf("%d mails, %v", len(got), err)
				}
				return
			}
			m := got[0]
			if m.From != "no-reply@auth.example.com" ||
				m.Header.Get("From") != `"Gatehouse" <no-reply@auth.example.com>` ||
				m.Header.Get("Message-Id") != "<mail_1@auth.example.com>" ||
				m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.Contains(m.Text, "text") ||
				!strings.Contains(m.HTML, "<p>html</p>") {
				t.Errorf("%+v", m)
			}
			if _, secure := server.Counts(); (secure == 1) == c.server.Clear {
				t.Errorf("%d protected", secure)
			}
		})
	}
	sender, err := mail.NewSMTP(mail.SMTP{Address: smtptest.Start(t, smtptest.Options{Clear: true}).Address,
		Security: mail.Plain, From: from})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"ana@acme-corp.example\r\nBcc: evil@evil.example",
		"ana@acme-corp.example, evil@evil.example", ""} {
		if err := sender.Send(t.Context(), mail.Mail{ID: "mail_1", To: to, Subject: "x", Text: "x",
			HTML: "x"}); !errors.Is(err, mail.ErrRefused) {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// The settings say what is wrong with them.
func TestA12_SMTPSettings(t *testing.T) {
	t.Parallel()
	good := mail.SMTP{Address: "smtp.example.com:587", Security: mail.StartTLS, From: from}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(s *mail.SMTP){
		"address": func(s *mail.SMTP) { s.Address = "smtp.example.com" }, "port": func(s *mail.SMTP) {
			s.Address = "smtp.example.com:x"
		}, "from": func(s *mail.SMTP) { s.From = "nobody" },
		"in the clear, elsewhere": func(s *mail.SMTP) { s.Security = mail.Plain }, "another word": func(s *mail.SMTP) {
			s.Security = "ssl"
		}, "a name alone": func(s *mail.SMTP) { s.Username = "x" },
	} {
		s := good
		change(&s)
		if s.Check() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// clock is a time that a test sets forward.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var ring = func() *keyring.Ring {
	r, err := keyring.New([]secret.Secret{keyring.Generate()})
	if err != nil {
		panic(err)
	}
	return r
}()

func uncounted(context.Context, time.Duration, []mail.Bound) error { return nil }

func outbox(t *testing.T, db *sqldb.DB, server *smtptest.Server, holder string, c *clock) *mail.Outbox {
	t.Helper()
	sender, err := mail.NewSMTP(mail.SMTP{Address: server.Address, Security: mail.StartTLS, CAFile: server.CAFile,
		From: from})
	if err != nil {
		t.Fatal(err)
	}
	public, _ := url.Parse("https://auth.example.com")
	return mail.NewOutbox(mail.Deps{DB: db, Ring: ring, Public: public, Sender: sender, Holder: holder, Now: c.now,
		Count: uncounted, Log: slog.New(slog.DiscardHandler)})
}

func organization(t *testing.T, db *sqldb.DB) id.Organization {
	t.Helper()
	org := id.New[id.Organization]()
	err := db.PlatformTx(t.Context(), "an organization for the test", func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(),
			`INSERT INTO organizations (id, slug, name, state, settings, created_at, updated_at) VALUES ($1, 'acme-corp', 'Acme', 'active', '{}', 1, 1)`, org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return org
}

func invite(to string) mail.Message {
	return mail.Message{Kind: mail.Invitation, Subject: "inv_1", To: to, Permit: mail.Unlimited(to), Name: "Ana",
		Organization: "Acme", Page: "accept-invitation", Token: secret.New("s3cret"), Lifetime: time.Hour}
}

func queue(t *testing.T, db *sqldb.DB, o *mail.Outbox, org id.Organization, m mail.Message) {
	t.Helper()
	if err := db.Tx(t.Context(), org, func(tx *sqldb.Tx) error {
		return o.Queue(t.Context(), tx, org, m)
	}); err != nil {
		t.Fatal(err)
	}
}

func rows(t *testing.T, db *sqldb.DB, where string) (n int) {
	t.Helper()
	if err := db.Platform("what the outbox holds").QueryRow(t.Context(), `SELECT count(*) FROM mails WHERE `+where).
		Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A12: a mail is there if and only if what it tells was done, is sealed while it waits, is sent once by one of many
// nodes, also after a restart, and leaves no secret.
func TestA12_OutboxSendsOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		server, c := smtptest.Start(t, smtptest.Options{}), &clock{t: time.Unix(1_800_000_000, 0)}
		org := organization(t, db)
		first := outbox(t, db, server, "first", c)
		undone := errors.New("undone")
		err := db.Tx(t.Context(), org, func(tx *sqldb.Tx) error {
			if err := first.Queue(t.Context(), tx, org, invite("never@acme-corp.example")); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		for range 20 {
			queue(t, db, first, org, invite("ana@acme-corp.example"))
		}
		var content string
		if err := db.Platform("what lies in the outbox").QueryRow(t.Context(), `SELECT content FROM mails LIMIT 1`).
			Scan(&content); err != nil || strings.Contains(content, "s3cret") || strings.Contains(content, "ana@") {
			t.Errorf("%s, %v", content, err)
		}
		// The node that queued them is gone; others take over, all at once.
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			o := outbox(t, db, server, name, c)
			wg.Go(func() {
				if err := o.Deliver(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := server.Mails("ana@acme-corp.example")
		ids := map[string]bool{}
		for _, m := range got {
			ids[m.Header.Get("Message-Id")] = true
		}
		if len(got) != 20 || len(ids) != 20 || len(server.Mails("never@acme-corp.example")) != 0 {
			t.Fatalf("%d mails, %d ids", len(got), len(ids))
		}
		if !strings.Contains(got[0].Text, "https://auth.example.com/accept-invitation#token=s3cret") ||
			!strings.Contains(got[0].Text, "60 minutes") || got[0].Header.Get("Subject") != "You are invited to Acme" {
			t.Errorf("%v %s", got[0].Header, got[0].Text)
		}
		if left := rows(t, db, `content <> '' OR state <> 'sent'`); left != 0 {
			t.Errorf("%d mails are left with their content", left)
		}
		if err := first.Deliver(t.Context()); err != nil || len(server.Mails("ana@acme-corp.example")) != 20 {
			t.Errorf("sent again: %v", err)
		}
		c.forward(31 * 24 * time.Hour)
		if n, err := first.Purge(t.Context(), c.now(), 1000); n != 20 || err != nil {
			t.Errorf("purged %d, %v", n, err)
		}
	})
}

// A12: what may pass is tried again, ever more rarely, and what will not is given up; a mail that is too old is not
// sent; a node that died while sending does not keep its mail for ever, and a rendering that fails stops none behind
// it.
func TestA12_OutboxTriesAgain(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		server, c := smtptest.Start(t, smtptest.Options{}), &clock{t: time.Unix(1_800_000_000, 0)}
		org := organization(t, db)
		o := outbox(t, db, server, "node", c)
		deliver := func() {
			t.Helper()
			if err := o.Deliver(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		server.Refuse(func(to string) error {
			switch to {
			case "later@acme-corp.example":
				return smtptest.Later
			case "never@acme-corp.example":
				return smtptest.Never
			}
			return nil
		})
		for _, to := range []string{"later@acme-corp.example", "never@acme-corp.example", "good@acme-corp.example"} {
			queue(t, db, o, org, invite(to))
		}
		deliver()
		if len(server.Mails("good@acme-corp.example")) != 1 || rows(t, db, `state = 'failed' AND content = ''`) != 1 ||
			rows(t, db, `state = 'waiting' AND attempts = 1`) != 1 {
			t.Fatal("one good, one refused for good, one that waits")
		}
		deliver() // not yet due
		if rows(t, db, `attempts = 1 AND state = 'waiting'`) != 1 {
			t.Error("tried again at once")
		}
		c.forward(15 * time.Second)
		deliver()
		server.Refuse(nil)
		c.forward(20 * time.Second)
		deliver()
		if len(server.Mails("later@acme-corp.example")) != 0 {
			t.Error("tried again too soon")
		}
		c.forward(15 * time.Second)
		deliver()
		if len(server.Mails("later@acme-corp.example")) != 1 {
			t.Error("not tried again")
		}
		// Too old: an hour is what this link works.
		server.Refuse(func(string) error { return smtptest.Later })
		queue(t, db, o, org, invite("old@acme-corp.example"))
		deliver()
		server.Refuse(nil)
		c.forward(2 * time.Hour)
		deliver()
		if len(server.Mails("old@acme-corp.example")) != 0 || rows(t, db, `state = 'waiting'`) != 0 {
			t.Error("an old link was sent, or waits for ever")
		}
		// A node takes a mail and dies.
		queue(t, db, o, org, invite("orphan@acme-corp.example"))
		err := db.PlatformTx(t.Context(), "as a node that dies would leave it", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(),
				`UPDATE mails SET claim = 'dead', due_at = $1, attempts = 1 WHERE state = 'waiting'`,
				c.now().Add(2*time.Minute).UnixMilli())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		deliver()
		if len(server.Mails("orphan@acme-corp.example")) != 0 {
			t.Error("another's mail was sent while it may be sending it")
		}
		c.forward(2*time.Minute + time.Second)
		deliver()
		if len(server.Mails("orphan@acme-corp.example")) != 1 {
			t.Error("the mail of a dead node was never sent")
		}
		// Damaged in the database: given up, and the next one goes.
		queue(t, db, o, org, invite("damaged@acme-corp.example"))
		err = db.PlatformTx(t.Context(), "a damaged mail", func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE mails SET content = 'x' WHERE state = 'waiting'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c.forward(time.Second)
		queue(t, db, o, org, invite("next@acme-corp.example"))
		deliver()
		if len(server.Mails("next@acme-corp.example")) != 1 || rows(t, db, `state = 'waiting'`) != 0 {
			t.Error("a damaged mail keeps the next ones waiting")
		}
	})
}

// A mail server that is down is no reason to lose a mail, or to fail what it tells.
func TestA12_ServerDown(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := &clock{t: time.Unix(1_800_000_000, 0)}
		org := organization(t, db)
		public, _ := url.Parse("https://auth.example.com")
		sender, err := mail.NewSMTP(mail.SMTP{Address: "127.0.0.1:1", Security: mail.StartTLS, From: from})
		if err != nil {
			t.Fatal(err)
		}
		o := mail.NewOutbox(mail.Deps{DB: db, Ring: ring, Public: public, Sender: sender, Holder: "node", Now: c.now,
			Count: uncounted, Log: slog.New(slog.DiscardHandler)})
		queue(t, db, o, org, invite("ana@acme-corp.example"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := o.Deliver(ctx); err != nil || rows(t, db, `state = 'waiting'`) != 1 {
			t.Errorf("%v", err)
		}
		server := smtptest.Start(t, smtptest.Options{})
		c.forward(time.Minute)
		if err := outbox(t, db, server, "later", c).Deliver(t.Context()); err != nil ||
			len(server.Mails("ana@acme-corp.example")) != 1 {
			t.Errorf("%v", err)
		}
	})
}

// G8: a mail that a caller causes cannot be queued without a permit for its address. A notice needs none; one too many
// waits, and is not given up.
func TestG8_MailsAreBounded(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, org := &clock{t: time.Unix(1_800_000_000, 0)}, organization(t, db)
		server, public := smtptest.Start(t, smtptest.Options{}), &url.URL{Scheme: "https", Host: "auth.example.com"}
		sender, err := mail.NewSMTP(mail.SMTP{Address: server.Address, Security: mail.StartTLS, CAFile: server.CAFile,
			From: from})
		if err != nil {
			t.Fatal(err)
		}
		var full bool
		o := mail.NewOutbox(mail.Deps{DB: db, Ring: ring, Public: public, Sender: sender, Holder: "node", Now: c.now,
			Count: func(_ context.Context, _ time.Duration, bounds []mail.Bound) error {
				if full {
					return fault.Limitedf(fault.CodeRateLimited, 10*time.Minute, "%s", bounds[0].Refusal)
				}
				return nil
			}, Log: slog.New(slog.DiscardHandler)})

		const ana = "ana@acme-corp.example"
		for _, permit := range []mail.Permit{{}, mail.Unlimited("other@acme-corp.example")} {
			m := invite(ana)
			m.Permit = permit
			if err := db.Tx(t.Context(), org, func(tx *sqldb.Tx) error {
				return o.Queue(t.Context(), tx, org, m)
			}); err == nil {
				t.Errorf("queued with a permit for %q", permit.To())
			}
		}
		full = true
		if _, err := o.Permit(t.Context(), org, mail.Invitation, ana); !fault.Is(err, fault.Limited) {
			t.Errorf("a permit beyond the bound: %v", err)
		}
		queue(t, db, o, org, mail.Message{Kind: mail.PasswordChanged, Subject: "usr_1", To: ana, Organization: "Acme",
			Facts: map[string]string{"when": "now", "address": "192.0.2.1"}})
		if err := o.Deliver(t.Context()); err != nil || rows(t, db, `state = 'waiting'`) != 1 {
			t.Errorf("a notice beyond the bound does not wait: %v", err)
		}
		full = false
		c.forward(9 * time.Minute)
		if err := o.Deliver(t.Context()); err != nil || len(server.Mails(ana)) != 0 {
			t.Errorf("a notice was sent before its time: %v", err)
		}
		c.forward(time.Minute)
		if err := o.Deliver(t.Context()); err != nil || len(server.Mails(ana)) != 1 {
			t.Errorf("a notice was not sent at its time: %v", err)
		}
	})
}

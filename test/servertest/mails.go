package servertest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// Mails keeps what a server sent, in place of a mail server.
type Mails struct {
	mu   sync.Mutex
	sent []mail.Mail
}

// Send keeps a mail.
func (m *Mails) Send(_ context.Context, sent mail.Mail) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, sent)
	return nil
}

// To gives the mails to an address so far.
func (m *Mails) To(address string) []mail.Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.sent), func(s mail.Mail) bool { return s.To != address })
}

// MailsOf lets another node hand its mails to the same sink: whichever node is first sends what waits.
func MailsOf(s *Server) Option {
	return func(_ *config.Config, o *server.Options) { o.Mail = s.Mails }
}

// Mail waits for a mail to an address whose subject contains a text, of which there must be n by then, and gives the
// last. What the outbox holds goes out at once.
func (s *Server) Mail(t testing.TB, address, subject string, n int) mail.Mail {
	t.Helper()
	for range 3000 { // half a minute, on a busy machine
		if err := s.Server.Mails.Deliver(t.Context()); err != nil {
			t.Log(err)
		}
		found := slices.DeleteFunc(s.Mails.To(address), func(m mail.Mail) bool {
			return !strings.Contains(m.Subject, subject)
		})
		if len(found) > n {
			t.Fatalf("%d mails %q to %s, want %d", len(found), subject, address, n)
		}
		if len(found) == n && n > 0 {
			return found[n-1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no mail %q to %s; there are %v", subject, address, s.Mails.To(address))
	return mail.Mail{}
}

// NoMail makes sure that an address got no mail with such a subject, when everything that waited is sent.
func (s *Server) NoMail(t testing.TB, address, subject string) {
	t.Helper()
	if err := s.Server.Mails.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Mails.To(address) {
		if strings.Contains(m.Subject, subject) {
			t.Errorf("a mail %q to %s", m.Subject, address)
		}
	}
}

// Token reads the secret of a mail's link.
func Token(t testing.TB, m mail.Mail) string {
	t.Helper()
	_, rest, ok := strings.Cut(m.Text, "#token=")
	if !ok {
		t.Fatalf("no link in %s", m.Text)
	}
	token, _, _ := strings.Cut(rest, "\n")
	return token
}

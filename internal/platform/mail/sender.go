package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/certfile"
)

// Sender hands a mail on. An error that is ErrRefused is final; any other may pass.
type Sender interface {
	Send(ctx context.Context, m Mail) error
}

// ErrRefused means that the server will not take the mail, however often it is tried.
var ErrRefused = errors.New("the mail server refuses the mail")

// The ways of protecting the connection.
const (
	StartTLS = "starttls" // begins in the clear and changes over, or fails (RFC 3207)
	TLS      = "tls"      // from the first byte (RFC 8314)
	Plain    = "none"     // to this machine only
)

// SMTP is how mails leave.
type SMTP struct {
	Address  string // host:port
	Security string
	Username string
	Password secret.Secret
	CAFile   string // certificates (PEM) trusted beside the system's; empty: none
	From     string // one address, with a name if you like
}

// sendTimeout bounds one attempt; a claim lasts longer.
const sendTimeout = time.Minute

// Check tells what is wrong with the settings.
func (s SMTP) Check() error {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil || host == "" || port == "" {
		return errors.New("address: must be host:port, such as smtp.example.com:587")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("address: the port must be from 1 to 65535")
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		return errors.New("from: must be one address, such as Gatehouse <no-reply@example.com>")
	}
	switch s.Security {
	case StartTLS, TLS:
	case Plain:
		if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !a.IsLoopback()) {
			return errors.New("security: must be starttls or tls; none is for loopback only")
		}
	default:
		return errors.New("security: must be starttls, tls or none")
	}
	if (s.Username == "") != s.Password.IsZero() {
		return errors.New("username and password go together")
	}
	return nil
}

type smtpSender struct {
	SMTP
	host  string
	port  int
	roots *x509.CertPool
	from  *mail.Address
}

// NewSMTP makes a sender that speaks SMTP (RFC 5321) to one server. Each mail has a connection of its own.
func NewSMTP(s SMTP) (Sender, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	sender := &smtpSender{SMTP: s}
	host, port, _ := net.SplitHostPort(s.Address)
	sender.host = host
	sender.port, _ = strconv.Atoi(port)
	sender.from, _ = mail.ParseAddress(s.From)
	if s.CAFile != "" {
		var err error
		if sender.roots, err = x509.SystemCertPool(); err != nil {
			sender.roots = x509.NewCertPool()
		}
		if err := certfile.AddTo(sender.roots, s.CAFile); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	return sender, nil
}

func (s *smtpSender) Send(ctx context.Context, m Mail) error {
	msg := gomail.NewMsg()
	msg.FromMailAddress(s.from)
	if err := msg.To(m.To); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	_, domain, _ := strings.Cut(s.from.Address, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.Subject(m.Subject)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday notice comes back
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	c, err := gomail.NewClient(s.host, s.options()...)
	if err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	conn, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	err = c.SendWithSMTPClient(conn, msg)
	c.CloseWithSMTPClient(conn) // the mail is accepted or not by now
	var refusal *gomail.SendError
	if errors.As(err, &refusal) && refusal.ErrorCode() >= 500 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	return nil
}

func (s *smtpSender) options() []gomail.Option {
	o := []gomail.Option{gomail.WithPort(s.port), gomail.WithTimeout(sendTimeout / 2), gomail.WithoutRset(),
		gomail.WithoutNoop(),
		gomail.WithTLSConfig(&tls.Config{ServerName: s.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12})}
	switch s.Security {
	case TLS:
		o = append(o, gomail.WithSSL())
	case Plain:
		o = append(o, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		o = append(o, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.Username != "" {
		o = append(o, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.Username),
			gomail.WithPassword(s.Password.Reveal()))
	}
	return o
}

// printer shows mails to whoever watches.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewPrinter makes a sender that writes mails as text, for the demo.
func NewPrinter(w io.Writer) Sender { return &printer{w: w} }

func (p *printer) Send(_ context.Context, m Mail) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.w, "\n--- mail to %s ---\nSubject: %s\n\n%s--- end of mail ---\n", m.To, m.Subject, m.Text)
	return err
}

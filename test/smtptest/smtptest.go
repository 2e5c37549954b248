// Package smtptest starts a real SMTP server on loopback for tests: with STARTTLS, with TLS from the first byte or in
// the clear, with or without authentication. It keeps what it accepts and can be told to refuse, to put off and to hang
// up.
package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// The account of a server that asks for one.
const (
	Username = "gatehouse"
	Password = "only-for-the-tests"
)

// Server is a running SMTP server.
type Server struct {
	Address string
	CAFile  string // its certificate

	mu       sync.Mutex
	accepted []Mail
	sessions int
	secure   int // sessions that were protected when the mail came
	refuse   func(to string) error
}

// Mail is one that was accepted.
type Mail struct {
	From, To   string // of the envelope
	Header     mail.Header
	Text, HTML string
}

// Options say how the server is reached.
type Options struct {
	TLS     bool // from the first byte
	Clear   bool // no STARTTLS either
	Account bool // asks for Username and Password
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{}
	certificate, file := selfSigned(t)
	s.CAFile = file
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions++
		base := session{s: s, c: c, open: !o.Account}
		if o.Account {
			return &authenticating{base}, nil
		}
		return &base, nil
	}))
	srv.Domain, srv.ReadTimeout, srv.WriteTimeout = "localhost", 10*time.Second, 10*time.Second
	srv.MaxMessageBytes, srv.MaxRecipients = 1<<20, 5
	conf := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if o.TLS {
		l = tls.NewListener(l, conf)
	} else if !o.Clear {
		srv.TLSConfig = conf
	}
	srv.AllowInsecureAuth = o.Clear
	go srv.Serve(l) // ends with Close
	t.Cleanup(func() { srv.Close() })
	return s
}

// Refuse judges recipients from now on; nil: none is refused.
func (s *Server) Refuse(judge func(to string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = judge
}

// Later is a refusal that may pass, Never one that will not.
var (
	Later = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later"}
	Never = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
)

// Mails gives what was accepted for an address so far.
func (s *Server) Mails(to string) []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.accepted), func(m Mail) bool { return m.To != to })
}

// Counts gives how many sessions there were, and how many of the mails came over a protected one.
func (s *Server) Counts() (sessions, secure int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions, s.secure
}

type session struct {
	s        *Server
	c        *smtp.Conn
	open     bool
	from, to string
}

type authenticating struct{ session }

func (a *authenticating) AuthMechanisms() []string { return []string{sasl.Plain} }

func (a *authenticating) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != Username || password != Password {
			return smtp.ErrAuthFailed
		}
		a.open = true
		return nil
	}), nil
}

func (x *session) Reset()        { x.from, x.to = "", "" }
func (x *session) Logout() error { return nil }

func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	if !x.open {
		return smtp.ErrAuthRequired
	}
	x.from = from
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.s.mu.Lock()
	judge := x.s.refuse
	x.s.mu.Unlock()
	if judge != nil {
		if err := judge(to); err != nil {
			return err
		}
	}
	x.to = to
	return nil
}

func (x *session) Data(r io.Reader) error {
	m, err := read(r)
	if err != nil {
		return err
	}
	m.From, m.To = x.from, x.to
	_, protected := x.c.TLSConnectionState()
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.accepted = append(x.s.accepted, m)
	if protected {
		x.s.secure++
	}
	return nil
}

// read takes a mail of text and HTML apart.
func read(r io.Reader) (Mail, error) {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return Mail{}, err
	}
	m := Mail{Header: msg.Header}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return m, errors.New("not multipart/alternative: " + kind)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		var body io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(p)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return m, err
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/plain") {
			m.Text = strings.ReplaceAll(string(text), "\r\n", "\n")
		} else {
			m.HTML = string(text)
		}
	}
}

func selfSigned(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost"},
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "smtp.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

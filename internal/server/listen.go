package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/certfile"
)

// The bounds of a connection: slow senders and idle ones are let go.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

func newHTTP(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// drain tells load balancers and clients with open connections to go elsewhere, and serves on while they do.
func (s *Server) drain() {
	s.draining.Store(true)
	time.Sleep(time.Duration(s.Config.ShutdownDelay))
}

// parting closes each connection with the answer that is its last; an idle one may still bring a request.
func (s *Server) parting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// ServeOn serves plain HTTP on one listener that is open already, until ctx ends, and drains.
func (s *Server) ServeOn(ctx context.Context, l net.Listener, ready func()) error {
	h := newHTTP(s.parting(s.Handler), s.log)
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		s.drain()
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(s.Config.ShutdownGrace))
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		h.Close()
	}
	return nil
}

// Listen opens the address that a setting names; a failure says which setting, and what to change.
func Listen(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: another process listens at %s already: stop it, or give %s another port", setting,
			address, setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is no address of this machine", setting, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: this user may not listen at %s: take a port from 1024 on", setting, address)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return l, nil
}

// Serve listens as configured until ctx ends, then drains: no new connections, running requests finish within the
// grace. ready is called with the address of the first listener.
func (s *Server) Serve(ctx context.Context, ready func(address string)) error {
	type listener struct {
		net.Listener
		server *http.Server
	}
	var listeners []listener
	closeAll := func() {
		for _, l := range listeners {
			l.Close()
		}
	}
	listen := func(key, address string, h http.Handler, tlsConfig *tls.Config) error {
		if address == "" {
			return nil
		}
		l, err := Listen(ctx, key, address)
		if err != nil {
			closeAll()
			return err
		}
		if tlsConfig != nil {
			l = tls.NewListener(l, tlsConfig)
		}
		listeners = append(listeners, listener{l, newHTTP(s.parting(h), s.log)})
		return nil
	}
	c := s.Config
	if err := listen("listen", c.Listen, s.Handler, nil); err != nil {
		return err
	}
	if c.TLS.Listen != "" || c.MTLS.Listen != "" {
		certificates, err := newCertificates(c.TLS.CertificateFile, c.TLS.KeyFile, s.log)
		if err != nil {
			closeAll()
			return err
		}
		secure := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificates.get,
			NextProtos: []string{"h2", "http/1.1"}}
		if err := listen("tls.listen", c.TLS.Listen, s.Handler, secure); err != nil {
			return err
		}
		asking := secure.Clone()
		// self-signed ones are good too: whose it is, client authentication judges
		asking.ClientAuth = tls.RequestClientCert
		if err := listen("mtls.listen", c.MTLS.Listen, s.Handler, asking); err != nil {
			return err
		}
	}
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", onlyWith(c.Metrics.Token, promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})))
	if err := listen("metrics.listen", c.Metrics.Listen, metrics, nil); err != nil {
		return err
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			if err := l.server.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	if ready != nil {
		ready(listeners[0].Addr().String())
	}
	var err error
	select {
	case <-ctx.Done():
		s.drain()
	case err = <-failed:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(c.ShutdownGrace))
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() {
			if e := l.server.Shutdown(grace); e != nil {
				s.log.Warn("requests were cut off at the end of the grace", "error", e)
				l.server.Close()
			}
		})
	}
	wg.Wait()
	return err
}

// onlyWith asks for a token, if there is one.
func onlyWith(token secret.Secret, h http.Handler) http.Handler {
	if token.IsZero() {
		return h
	}
	want := sha256.Sum256([]byte("Bearer " + token.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "metrics.token is needed", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// certificates loads a certificate and takes up changed files without a restart. A file that cannot be read keeps the
// former one.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string
	checked time.Time
}

// checkEvery bounds how often the files are looked at.
const checkEvery = time.Second

func newCertificates(certFile, keyFile string, log *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, log: log}
	cert, err := certfile.Pair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	c.current, c.stamp, c.checked = &cert, c.look(), time.Now()
	return c, nil
}

func (c *certificates) look() string {
	stamp := ""
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamp += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	return stamp
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) > checkEvery {
		c.checked = time.Now()
		if stamp := c.look(); stamp != c.stamp {
			cert, err := certfile.Pair(c.certFile, c.keyFile)
			if err != nil {
				c.log.Warn("the changed certificate cannot be read; the former one stays", "error", err)
			} else {
				c.current, c.stamp = &cert, stamp
				c.log.Info("the certificate was taken up")
			}
		}
	}
	return c.current, nil
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type readyCommand struct{}

// Run asks the server of this configuration, on this machine, whether it is ready: for containers that have no curl.
func (readyCommand) Run(c *cli, e *env) error {
	cfg, err := c.find(e)
	if err != nil {
		return err
	}
	address, scheme := cfg.Listen, "http"
	if address == "" {
		address, scheme = cfg.TLS.Listen, "https"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	// the own machine, by address; nothing is told or believed
	client := &http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz",
		nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return errors.New("the server does not answer")
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return fmt.Errorf("the server's answer breaks off: %w", err)
	}
	fmt.Fprintln(e.stdout, strings.TrimSpace(string(body)))
	if res.StatusCode != http.StatusOK {
		return errors.New("the server is not ready")
	}
	return nil
}

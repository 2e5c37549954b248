package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/platform/mail"
)

// URL is the public URL: scheme and host, no path.
func (c *Config) URL() (*url.URL, error) {
	if c.PublicURL == "" {
		return nil, errors.New("is not set: give the address clients use, such as https://auth.example.com")
	}
	return originURL(c.PublicURL)
}

// originURL reads an address of scheme and host.
func originURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err == nil && u.Host != "" && u.Path != "" && u.Path != "/" {
		return nil, errors.New("must have no path: Gatehouse answers at the root of its host, so give it a host " +
			"of its own")
	}
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be scheme and host only, such as https://auth.example.com")
	}
	if u.Host != strings.ToLower(u.Host) || (u.Scheme == "https" && u.Port() == "443") ||
		(u.Scheme == "http" && u.Port() == "80") {
		return nil, errors.New("must be as browsers write an origin: lower case, without the scheme's own port")
	}
	u.Path = ""
	return u, nil
}

// SMTP is the mail server.
func (c *Config) SMTP() mail.SMTP {
	m := c.Mail
	return mail.SMTP{Address: m.SMTP, Security: m.Security, Username: m.Username, Password: m.Password,
		CAFile: m.CAFile, From: m.From}
}

// RelyingParty is the configured one: its id, and the origins of its pages.
func (c *Config) RelyingParty() (rpID string, origins []string) {
	u, err := c.URL()
	if err != nil {
		return "", nil
	}
	origins = []string{u.Scheme + "://" + u.Host}
	rpID = c.WebAuthn.RPID
	if a, err := netip.ParseAddr(u.Hostname()); rpID == "" && err == nil && a.IsLoopback() {
		// an address is no relying party; this machine has a name
		rpID, origins = "localhost", []string{u.Scheme + "://" + net.JoinHostPort("localhost", u.Port())}
	} else if rpID == "" {
		rpID = u.Hostname()
	}
	for _, o := range c.WebAuthn.Origins {
		if !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	return rpID, origins
}

// MTLSURL is the public URL of the listener that asks for certificates; nil if there is none.
func (c *Config) MTLSURL() (*url.URL, error) {
	if c.MTLS.PublicURL == "" {
		return nil, nil
	}
	return originURL(c.MTLS.PublicURL)
}

// Proxies are the networks of trusted_proxies.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	list, err := networks(c.TrustedProxies)
	for _, p := range list {
		if p.Bits() == 0 {
			err = errors.Join(err, fmt.Errorf("%q would believe everyone", p))
		}
	}
	return list, err
}

// BehindUnknownProxy tells that something in front must turn https into http, since the server itself does not, and
// that no proxy is trusted: then everyone seems to come from one address.
func (c *Config) BehindUnknownProxy() bool {
	u, err := c.URL()
	return err == nil && u.Scheme == "https" && c.Listen != "" && c.TLS.Listen == "" && len(c.TrustedProxies) == 0
}

// Reachable are the networks of outbound.allowed_networks.
func (c *Config) Reachable() ([]netip.Prefix, error) { return networks(c.Outbound.AllowedNetworks) }

// networks reads a list; the error names every entry that is wrong.
func networks(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	var wrong []error
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%q is neither an address nor a network", s))
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(wrong...)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

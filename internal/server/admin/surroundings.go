package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/redis"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

func (d *doctor) redis() {
	if d.c.Redis.IsZero() {
		if sqldb.IsPostgres(d.c.Database.Reveal()) {
			d.say("Redis", Good, "", "none is configured; nodes work on PostgreSQL alone")
		}
		return
	}
	heard := make(chan time.Duration, 16)
	began := time.Now()
	probe := fmt.Sprintf("doctor||%d", began.UnixNano())
	listening, err := redis.New(d.c.Redis.Reveal(), d.c.RedisPrefix, d.log, func(messages []string) {
		for _, m := range messages {
			if m == probe {
				heard <- time.Since(began)
			}
		}
	})
	if err != nil {
		d.say("Redis", Bad, "Correct `redis`.", "%v", err)
		return
	}
	sending, err := redis.New(d.c.Redis.Reveal(), d.c.RedisPrefix, d.log, func([]string) {})
	if err != nil {
		d.say("Redis", Bad, "Correct `redis`.", "%v", err)
		return
	}
	for _, c := range []*redis.Client{listening, sending} {
		c.Start()
		defer c.Close()
	}
	for end := time.Now().Add(3 * time.Second); !listening.Up() || !sending.Up(); time.Sleep(5 * time.Millisecond) {
		if err := errors.Join(listening.Trouble(), sending.Trouble()); err != nil || time.Now().After(end) {
			d.sayRedis(err)
			return
		}
	}
	began = time.Now()
	if err := sending.Probe(d.ctx); err != nil {
		d.sayRedis(err)
		return
	}
	answer := time.Since(began)
	began = time.Now()
	sending.Push([]string{probe})
	select {
	case after := <-heard:
		d.say("Redis", Good, "", "it answers after %v, and pushes after %v", answer.Round(10*time.Microsecond),
			after.Round(10*time.Microsecond))
	case <-time.After(2 * time.Second):
		d.say("Redis", Bad, "Use Redis 6 or newer, or Valkey, without a proxy that does not know CLIENT TRACKING.",
			"it answers but pushes nothing")
	}
}

// sayRedis names the reason that Redis gives itself, and what to do about it.
func (d *doctor) sayRedis(err error) {
	if err == nil {
		err = errors.New("it does not answer")
	}
	reason, _, _ := strings.Cut(err.Error(), "\n") // both connections have the same
	remedy := "Check the address in `redis`, and that the server runs and can be reached; rediss:// needs one with TLS."
	for _, known := range []struct{ part, remedy string }{
		{"WRONGPASS", "Correct the user and the password in `redis`."},
		{"NOAUTH", "Give the user and the password in `redis`: redis://user:password@host:6379/0."},
		{"without any password configured", "Leave the password in `redis` out, or set one on the server."},
		{"NOPERM", "Let the user do what the server does: ACL SETUSER name ~" + d.c.RedisPrefix +
			"* +get +set +eval +evalsha +ping +select +hello +client|tracking +client|setinfo."},
		{"DB index", "Name a database that the server has: redis://…/0."},
		{"SELECT is not allowed", "Name database 0, the only one of a cluster: redis://…/0."},
		{"certificate", "Let this machine trust who signed the server's certificate: SSL_CERT_FILE names a file " +
			"with such certificates. The host in `redis` must be a name in it."},
		{"old protocol", "Use Redis 6 or newer, or Valkey, without a proxy that does not know RESP3."},
		{"OOM", "Give Redis maxmemory-policy allkeys-lru, or more memory."},
	} {
		if strings.Contains(reason, known.part) {
			remedy = known.remedy
		}
	}
	d.say("Redis", Bad, remedy+" The server works without it, more slowly.", "it cannot be used: %s", reason)
}

// public asks the installation by the address that its clients use.
func (d *doctor) public() {
	u, err := d.c.URL()
	if err != nil {
		d.say("public URL", Bad, "Correct public_url.", "%v", err)
		return
	}
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, u.JoinPath("/.well-known/oauth-authorization-server").
		String(), nil)
	if err != nil {
		d.say("public URL", Bad, "Correct public_url.", "%v", err)
		return
	}
	res, err := client.Do(req)
	if err != nil {
		d.say("public URL", Warn, "Start the server; or let this machine reach "+u.Host+".",
			"%s cannot be reached from here: %v", u, errors.Unwrap(err))
		return
	}
	defer res.Body.Close()
	var meta struct {
		Issuer string `json:"issuer"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&meta); err != nil ||
		res.StatusCode != http.StatusOK || meta.Issuer != u.String() {
		d.say("public URL", Bad, "Let the proxy pass every path to Gatehouse, and give all nodes the same public_url.",
			"%s answers %d and names the issuer %q", u, res.StatusCode, meta.Issuer)
		return
	}
	if res.TLS != nil && len(res.TLS.PeerCertificates) > 0 {
		if left := time.Until(res.TLS.PeerCertificates[0].NotAfter); left < 14*24*time.Hour {
			d.say("certificate", Warn, "Renew it.", "the certificate of %s ends in %d days", u.Host,
				int(left.Hours()/24))
		}
	}
	d.say("public URL", Good, "", "%s is this installation", u)
}

// proxies looks for a proxy in front that is not believed: then everyone seems to come from one address, and shares its
// limits.
func (d *doctor) proxies() {
	remedy := "Name the proxy in trusted_proxies, such as 127.0.0.1 or its network."
	if n, ok := d.counted("gatehouse_forwarded_unreadable_total"); ok && n > 0 {
		d.say("proxy headers", Warn, "Have the proxy write the client's address into "+d.c.Forwarded+
			", with or without a port, or set forwarded_header to the header that it writes.",
			"%.0f requests came from a trusted proxy that told no address which can be read: they are on no list of "+
				"addresses", n)
		return
	}
	if ignored, ok := d.counted("gatehouse_forwarded_ignored_total"); ok && ignored > 0 {
		d.say("proxy headers", Warn,
			remedy+" If there is no proxy, clients invented the header, and it was rightly ignored.",
			"%.0f requests came with %s from an address that is not trusted: if that is a proxy, everyone counts as "+
				"one client", ignored, d.c.Forwarded)
		return
	}
	if d.c.BehindUnknownProxy() {
		d.say("proxy headers", Bad, remedy, "public_url is https and the server speaks plain HTTP at %s, so there is "+
			"a proxy; none is trusted", d.c.Listen)
		return
	}
	d.say("proxy headers", Good, "", "%d trusted", len(d.c.TrustedProxies))
}

// counted asks a running server's metrics for a counter.
func (d *doctor) counted(name string) (n float64, ok bool) {
	if d.c.Metrics.Listen == "" {
		return 0, false
	}
	client := &http.Client{Timeout: 2 * time.Second}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, "http://"+d.c.Metrics.Listen+"/metrics", nil)
	if err != nil {
		return 0, false
	}
	req.Header.Set("Authorization", "Bearer "+d.c.Metrics.Token.Reveal())
	res, err := client.Do(req)
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(body)) {
		if rest, found := strings.CutPrefix(line, name+" "); found {
			_, err := fmt.Sscan(rest, &n)
			return n, err == nil
		}
	}
	return 0, false
}

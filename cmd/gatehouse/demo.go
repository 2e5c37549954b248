package main

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

type demoCommand struct {
	Listen string `default:"127.0.0.1:8080" help:"Loopback address to listen on; port 0 takes a free one."`
	JSON   bool   `name:"json" help:"Print one JSON line with every address and credential instead of the text."`

	Settings string `type:"path" placeholder:"FILE" help:"Where the demo's settings are written for other commands (--config); in the temporary folder if left out."`

	PostmanEnvironment string `name:"postman-environment" placeholder:"FILE" help:"Write the demo's address and credentials as a Postman environment for the collection in postman/."`
}

func (d demoCommand) Run(e *env) error {
	host, _, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: want host:port", d.Listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--listen %s: the demo has known passwords and listens on loopback only; use 127.0.0.1",
			d.Listen)
	}
	generate := pregenerated(signingkey.DefaultBits) // runs while the database is made
	// taken first: its port is part of the public URL
	listener, err := server.Listen(e.ctx, "--listen", d.Listen)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := telemetry.Logger(e.stderr, "text", "warn")
	if err != nil {
		return err
	}
	cfg := throwaway("http://"+listener.Addr().String(), dir)
	cfg.ShutdownGrace = config.Duration(2 * time.Second)
	cfg.ItemPath.DefaultOrganization = demo.Tenant
	cfg.Outbound.AllowedNetworks = []string{"127.0.0.0/8"} // identity providers beside it
	cfg.DefaultMFA = "optional"                            // its users have passwords alone
	s, err := server.New(e.ctx, cfg, server.Options{Log: log, Version: version, Generate: generate,
		Mail: mail.NewPrinter(e.stderr)})
	if err != nil {
		return err
	}
	defer closeServer(s, log)
	seeds, err := demo.Seed(e.ctx, s)
	if err != nil {
		return err
	}
	if d.PostmanEnvironment != "" {
		if err := writePostmanEnvironment(d.PostmanEnvironment, seeds); err != nil {
			return err
		}
		defer os.Remove(d.PostmanEnvironment) // what it opens is gone with the demo
	}
	if d.Settings == "" {
		d.Settings = filepath.Join(dir, "gatehouse.yaml")
	}
	if err := writeSettings(d.Settings, demoSettings(cfg, listener.Addr().String())); err != nil {
		return err
	}
	defer os.Remove(d.Settings)
	s.Start()
	return s.ServeOn(e.ctx, listener, func() {
		if d.JSON {
			json.NewEncoder(e.stdout).Encode(struct {
				demo.Seeds
				Config string `json:"config"`
			}{seeds, d.Settings})
			return
		}
		printDemo(e.stdout, seeds, d.Settings)
	})
}

// pregenerated begins to make a key at once and hands it to whoever asks first.
func pregenerated(bits int) signingkey.Generator {
	type result struct {
		key *rsa.PrivateKey
		err error
	}
	first := make(chan result, 1)
	go func() {
		key, err := signingkey.Generate(bits)
		first <- result{key, err}
	}()
	var once sync.Once
	return func(bits int) (*rsa.PrivateKey, error) {
		var r result
		taken := false
		once.Do(func() { r, taken = <-first, true })
		if taken {
			return r.key, r.err
		}
		return signingkey.Generate(bits)
	}
}

func printDemo(w io.Writer, d demo.Seeds, settings string) {
	fmt.Fprintf(w, "Gatehouse demo at %s (data in a temporary folder, gone when you stop it)\n\n", d.URL)
	fmt.Fprintf(w, "  %-34s %-22s %s\n", "e-mail", "role", "organization")
	for _, u := range d.Users {
		fmt.Fprintf(w, "  %-34s %-22s %s\n", u.Email, u.Role, u.Organization)
	}
	fmt.Fprintf(w, "\nEvery password is: %s\n", demo.Password)
	agent := d.Users[1]
	fmt.Fprintf(w, `
Sign in, and list the tickets this agent may see:

  curl -s %[1]s/v1/auth/login -H 'Content-Type: application/json' \
    -d '{"email":"%[2]s","password":"%[3]s"}'

  TOKEN=$(curl -s %[1]s/v1/auth/login -H 'Content-Type: application/json' \
    -d '{"email":"%[2]s","password":"%[3]s"}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
  curl -s %[1]s/v1/tickets -H "Authorization: Bearer $TOKEN"

Machines come with credentials of their own:

  curl -s %[1]s/v1/tickets -H 'X-API-Key: %[4]s'
  curl -s %[1]s/v1/tickets -H 'Authorization: Bearer %[5]s'
  curl -s -u '%[6]s:%[7]s' %[1]s/oauth2/token -d grant_type=client_credentials

System access token:

  %[8]s

Application token:

  %[9]s

Integrations of other products change the host name and nothing else:

  curl -s %[1]s/api/users/login -H 'Content-Type: application/json' -d '{"username":"integration","password":"%[3]s"}'
  curl -s %[1]s/api/v1/acme-corp/requests -H 'Authorization: Bearer %[5]s'
  curl -s %[1]s/up/v5/entity -H "Authorization: Bearer <system access token>"
  curl -s -X POST -u '%[6]s:%[7]s' %[1]s/token/acme-corp

The second tenant has its own; --json prints all of them, and --postman-environment writes them for the collection in postman/.

Other commands work beside it, in another shell that knows its settings:

  export GATEHOUSE_CONFIG=%[10]s
  %[11]s credentials report -o acme-corp

Mails, such as links to choose a password, are shown here, on standard error:

  curl -s %[1]s/v1/auth/password/forgot -H 'Content-Type: application/json' -d '{"email":"%[2]s"}'

Nobody needs a second factor here; docs/second-factors.md shows how to add one. Ctrl-C stops it.
`, d.URL, agent.Email, agent.Password, d.APIKeys[0].Key, d.AccessTokens[0].Token, d.Clients[0].ClientID,
		d.Clients[0].ClientSecret, d.SystemAccessTokens[0].Token, d.ApplicationTokens[0].Token, shellWord(settings),
		shellWord(os.Args[0]))
}

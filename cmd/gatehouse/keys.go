package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/server"
)

type keysCommand struct {
	List   keysListCommand   `cmd:"" help:"List the signing keys."`
	Rotate keysRotateCommand `cmd:"" help:"Let the next key sign and retire the active one; its tokens stay good until they expire."`
	Revoke keysRevokeCommand `cmd:"" help:"Emergency: trust a key no more, at once. Every token it signed stops working."`
}

// withKeys opens the server and acts as the command line on the platform.
func withKeys(c *cli, e *env, fn func(s *server.Server, p principal.Principal) error) error {
	s, err := c.open(e)
	if err != nil {
		return err
	}
	defer closeServer(s, slog.Default())
	platform, err := s.EnsurePlatform(e.ctx)
	if err != nil {
		return err
	}
	if err := s.Keys.Prepare(e.ctx); err != nil {
		return err
	}
	return fn(s, principal.NewSystem("command line", platform.ID))
}

type keysListCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

type keyLine struct {
	ID          string     `json:"id"`
	Purpose     string     `json:"purpose"`
	Algorithm   string     `json:"algorithm"`
	Bits        int        `json:"bits"`
	State       string     `json:"state"`
	CreatedAt   time.Time  `json:"createdAt"`
	VerifyUntil *time.Time `json:"verifyUntil"`
}

func (k keysListCommand) Run(c *cli, e *env) error {
	return withKeys(c, e, func(s *server.Server, _ principal.Principal) error {
		lines := []keyLine{}
		for _, key := range s.Keys.List() {
			l := keyLine{ID: string(key.ID), Purpose: string(key.Purpose), Algorithm: key.Algorithm, Bits: key.Bits,
				State: string(key.State), CreatedAt: key.CreatedAt}
			if !key.VerifyUntil.IsZero() {
				l.VerifyUntil = &key.VerifyUntil
			}
			lines = append(lines, l)
		}
		if k.JSON {
			return json.NewEncoder(e.stdout).Encode(lines)
		}
		w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tPURPOSE\tSTATE\tALGORITHM\tCREATED")
		for _, l := range lines {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s-%d\t%s\n", l.ID, l.Purpose, l.State, l.Algorithm, l.Bits,
				l.CreatedAt.Format(time.RFC3339))
		}
		return w.Flush()
	})
}

type keysRotateCommand struct {
	Purpose string `default:"session" enum:"session,long_lived" help:"Which set: session or long_lived."`
	Force   bool   `help:"Rotate although verifiers may not have seen the next key yet."`
}

func (k keysRotateCommand) Run(c *cli, e *env) error {
	return withKeys(c, e, func(s *server.Server, p principal.Principal) error {
		if err := s.Keys.Rotate(e.ctx, p, signingkey.Purpose(k.Purpose), k.Force); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, "The next key signs now; another one is published.")
		return nil
	})
}

type keysRevokeCommand struct {
	ID string `arg:"" help:"The key's id, as gatehouse keys list shows it."`
}

func (k keysRevokeCommand) Run(c *cli, e *env) error {
	kid, err := id.Parse[id.SigningKey](k.ID)
	if err != nil {
		return fmt.Errorf("key id %q: %w", k.ID, err)
	}
	return withKeys(c, e, func(s *server.Server, p principal.Principal) error {
		if err := s.Keys.Revoke(e.ctx, p, kid); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s is revoked: no token it signed is accepted any more.\n", kid)
		return nil
	})
}

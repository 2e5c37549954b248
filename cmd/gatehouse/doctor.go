package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
)

type doctorCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints what it finds, a line each, and fails if something is to be mended.
func (d doctorCommand) Run(c *cli, e *env) error {
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	log, err := telemetry.Logger(e.stderr, "text", "error")
	if err != nil {
		return err
	}
	found := admin.Doctor(e.ctx, cfg, log)
	bad := 0
	for _, f := range found {
		if f.Verdict == admin.Bad {
			bad++
		}
	}
	if d.JSON {
		if err := json.NewEncoder(e.stdout).Encode(found); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintf(e.stdout, "%-5s %s: %s\n", f.Verdict, f.Check, f.Finding)
			if f.Remedy != "" {
				fmt.Fprintf(e.stdout, "      → %s\n", f.Remedy)
			}
		}
	}
	if bad > 0 {
		return errors.New("something is to be mended")
	}
	return nil
}

package main

import (
	"encoding/json"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server/admin"
)

type doctorCommand struct {
	JSON   bool `name:"json" help:"Print JSON."`
	Strict bool `help:"Fail for warnings too."`
}

// Run prints what it finds, a line each, and fails if something is to be repaired.
func (d doctorCommand) Run(c *cli, e *env) error {
	cfg, err := c.find(e)
	if err != nil {
		return err
	}
	log, err := telemetry.Logger(e.stderr, "text", "error")
	if err != nil {
		return err
	}
	found := admin.Doctor(e.ctx, cfg, log)
	bad, warnings := 0, 0
	for _, f := range found {
		switch f.Verdict {
		case admin.Bad:
			bad++
		case admin.Warn:
			warnings++
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
	switch {
	case bad > 0:
		return fmt.Errorf("faults: %d, warnings: %d", bad, warnings)
	case warnings > 0 && d.Strict:
		return fmt.Errorf("warnings: %d", warnings)
	case warnings > 0:
		fmt.Fprintf(e.stderr, "Warnings: %d. They are no faults; with --strict they end doctor with 1.\n", warnings)
	}
	return nil
}

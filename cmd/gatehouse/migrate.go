package main

import (
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/server"
)

type migrateCommand struct {
	Plan bool `help:"Only show what would run."`
}

func (m migrateCommand) Run(c *cli, e *env) error {
	cfg, err := c.find(e)
	if err != nil {
		return err
	}
	db, err := server.OpenDatabase(e.ctx, cfg, 2)
	if err != nil {
		return err
	}
	defer db.Close()
	if m.Plan {
		all, err := db.Migrations(e.ctx)
		if err != nil {
			return err
		}
		pending := 0
		for _, step := range all {
			if !step.Applied {
				pending++
				fmt.Fprintf(e.stdout, "would run %s\n", step.Name)
			}
		}
		fmt.Fprintf(e.stdout, "%d of %d steps pending\n", pending, len(all))
		return nil
	}
	if err := db.CheckListen(e.ctx); err != nil { // migrations go by that way
		return err
	}
	n, err := db.Migrate(e.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%d steps run; the schema is up to date\n", n)
	return nil
}

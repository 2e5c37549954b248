package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server"
)

type serveCommand struct{}

// load reads the configuration; its faults are listed, one a line.
func (c *cli) load(e *env) (config.Config, error) {
	cfg, err := config.Load(c.Config, e.getenv)
	if err != nil {
		return cfg, fmt.Errorf("%w:\n  %s", errConfiguration, strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return cfg, nil
}

// open builds a server for a command that does one thing.
func (c *cli) open(e *env) (*server.Server, error) {
	cfg, err := c.load(e)
	if err != nil {
		return nil, err
	}
	log, err := telemetry.Logger(e.stderr, "text", "warn")
	if err != nil {
		return nil, err
	}
	return server.New(e.ctx, cfg, server.Options{Log: log, Version: version})
}

const closeTimeout = 10 * time.Second

func closeServer(s *server.Server, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		log.Error("not everything was written at the end", "error", err)
	}
}

func (serveCommand) Run(c *cli, e *env) error {
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	log, err := telemetry.Logger(e.stderr, cfg.Log.Format, cfg.Log.Level)
	if err != nil {
		return err
	}
	s, err := server.New(e.ctx, cfg, server.Options{Log: log, Version: version})
	if err != nil {
		return err
	}
	defer closeServer(s, log)
	link, err := s.SetupLink(e.ctx)
	if err != nil {
		return err
	}
	s.Start()
	return s.Serve(e.ctx, func(address string) {
		log.Info("ready", "address", address, "publicURL", s.Public.String(), "engine", s.DB.Engine(), "version",
			version)
		if !link.IsZero() {
			fmt.Fprintf(e.stderr, "There is no operator yet. Make the first one within 24 hours at\n  %s\nor with: "+
				"gatehouse admin create\n", link.Reveal())
		}
	})
}

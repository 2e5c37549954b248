package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server"
)

type serveCommand struct{}

// load reads the configuration; its faults are listed, one a line.
func (c *cli) load(e *env) (config.Config, error) {
	cfg, err := config.Load(c.Config, e.getenv)
	if err = errors.Join(config.Unknown(e.set, variables(e.parser.Model.Node)), err); err != nil {
		return cfg, configurationFaults(err)
	}
	return cfg, nil
}

// configurationFaults are listed one a line.
func configurationFaults(err error) error {
	return fmt.Errorf("%w:\n  %s", errConfiguration, strings.ReplaceAll(err.Error(), "\n", "\n  "))
}

// variables are those that flags are taken from.
func variables(n *kong.Node) (names []string) {
	for _, f := range n.Flags {
		names = append(names, f.Envs...)
	}
	for _, child := range n.Children {
		names = append(names, variables(child)...)
	}
	return names
}

// unknownProxy is what is said of a configuration that config.BehindUnknownProxy is true of.
const unknownProxy = "public_url is https and the server speaks plain HTTP, so there is a proxy in front, and " +
	"trusted_proxies names none: everyone seems to come from its address and shares one limit"

// open builds a server for a command that does one thing.
func (c *cli) open(e *env) (*server.Server, error) {
	cfg, err := c.find(e)
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
	if cfg.BehindUnknownProxy() {
		log.Warn(unknownProxy)
	}
	s, err := server.New(e.ctx, cfg, server.Options{Log: log, Version: version})
	if err != nil {
		return err
	}
	defer closeServer(s, log)
	if err := leaveSettings(cfg); err != nil {
		log.Warn("commands in other shells will not find the settings of this server", "error", err)
	}
	link, until, err := s.SetupLink(e.ctx)
	if err != nil {
		return err
	}
	s.Start()
	return s.Serve(e.ctx, func(address string) {
		log.Info("ready", "address", address, "publicURL", s.Public.String(), "engine", s.DB.Engine(), "version",
			version)
		if !link.IsZero() {
			fmt.Fprintf(e.stderr, "There is no operator yet. Make the first one at this link, which works once, "+
				"until %s:\n  %s\nor with this command, which asks for a password:\n  %s admin create --email %s\n",
				until.Format(time.RFC3339), link.Reveal(), c.self(), exampleOperator)
		}
	})
}

// exampleOperator stands in printed commands for the reader's own address.
const exampleOperator = "operator@example.com"

// self is how a shell calls this program again, with the same configuration file.
func (c *cli) self() string {
	line := shellWord(os.Args[0])
	if c.Config != "" {
		line += " --config " + shellWord(c.Config)
	}
	return line
}

// shellWord quotes what a POSIX shell would read as more than one plain word.
func shellWord(s string) string {
	special := func(r rune) bool {
		return r > unicode.MaxASCII ||
			!unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+:@", r)
	}
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

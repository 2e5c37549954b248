package main

import (
	"fmt"
	"os"

	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/edge/gateway"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check the configuration and report every fault."`
	Docs  configDocsCommand  `cmd:"" help:"Print the reference of all settings as Markdown."`
}

type configCheckCommand struct{}

func (configCheckCommand) Run(c *cli, e *env) error {
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	if path := cfg.Gateway.RoutesFile; path != "" {
		if err := permission.Define(cfg.Resources); err != nil { // its rules may be about them
			return fmt.Errorf("%w:\n  resources: %w", errConfiguration, err)
		}
		rules, err := gateway.LoadRules(path)
		if err != nil {
			return fmt.Errorf("%w:\n  gateway.routes_file: %w", errConfiguration, err)
		}
		for _, warning := range rules.Warnings() {
			fmt.Fprintln(e.stderr, "warning: gateway.routes_file: "+warning)
		}
	}
	fmt.Fprintln(e.stdout, "The configuration is good.")
	return nil
}

type configDocsCommand struct{}

func (configDocsCommand) Run(e *env) error {
	fmt.Fprint(e.stdout, config.Reference())
	return nil
}

type openapiCommand struct{}

// Run builds a server on nothing but a temporary file; the document does not depend on configuration.
func (openapiCommand) Run(e *env) error {
	dir, err := os.MkdirTemp("", "gatehouse-openapi-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := telemetry.Logger(e.stderr, "text", "warn")
	if err != nil {
		return err
	}
	s, err := server.New(e.ctx, throwaway("http://127.0.0.1:8080", dir), server.Options{Log: log, Version: version})
	if err != nil {
		return err
	}
	defer closeServer(s, log)
	body, err := s.V1.OpenAPI()
	if err != nil {
		return err
	}
	pretty, err := indent(body)
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(pretty)
	return err
}

package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/edge/gateway"
	"github.com/itsm-automation/gatehouse/internal/platform/certfile"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/platform/telemetry"
	"github.com/itsm-automation/gatehouse/internal/server"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check the configuration and report every fault."`
	Docs  configDocsCommand  `cmd:"" help:"Print the reference of all settings as Markdown."`
}

type configCheckCommand struct{}

// Run also looks at what the configuration names on this machine: a server would fail at it later.
func (configCheckCommand) Run(c *cli, e *env) error {
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	var faults []error
	add := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s", key, fault.Plain(err)))
		}
	}
	warn := func(warning string) { fmt.Fprintln(e.stderr, "warning: "+warning) }
	if address := cfg.Database.Reveal(); !sqldb.IsPostgres(address) {
		add("database", canBeFile(sqldb.FilePath(address)))
	}
	if cfg.TLS.CertificateFile != "" && cfg.TLS.KeyFile != "" {
		_, err := certfile.Pair(cfg.TLS.CertificateFile, cfg.TLS.KeyFile)
		add("tls", err)
	}
	if path := cfg.MTLS.CAFile; path != "" {
		add("mtls.ca_file", certfile.AddTo(x509.NewCertPool(), path))
	}
	if cfg.Mail.SMTP != "" {
		_, err := mail.NewSMTP(cfg.SMTP())
		add("mail", err)
	}
	if slug := cfg.ItemPath.DefaultOrganization; slug != "" {
		add("itempath.default_organization", organization.CheckSlug(slug))
	}
	if path := cfg.Gateway.RoutesFile; path != "" {
		add("resources", permission.Define(cfg.Resources)) // the rules may be about them
		rules, err := gateway.LoadRules(path)
		add("gateway.routes_file", err)
		if err == nil {
			for _, warning := range rules.Warnings() {
				warn("gateway.routes_file: " + warning)
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return configurationFaults(err)
	}
	if cfg.BehindUnknownProxy() {
		warn(unknownProxy + ".")
	}
	fmt.Fprintln(e.stdout, "The configuration is good.")
	return nil
}

// canBeFile tells what keeps a path from being a file that is there or can be made.
func canBeFile(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name a file in it", path)
	}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no folder %s: make it, or correct the path", folder)
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no folder", folder)
	}
	return err
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

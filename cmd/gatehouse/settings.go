package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// find is load for a command beside a server, in whose shell its variables may be missing: what is said nowhere is what
// the server that last ran on this SQLite file was told. A configuration file says everything itself.
func (c *cli) find(e *env) (config.Config, error) {
	if c.Config == "" {
		known, _ := config.Load("", e.getenv) // whose faults load tells
		if path := settingsOf(known); path != "" {
			if _, err := os.Stat(path); err == nil {
				c.Config = path
			}
		}
	}
	return c.load(e)
}

// settingsOf is the file beside a SQLite database in which a server leaves its settings; empty: there is none.
func settingsOf(c config.Config) string {
	address := c.Database.Reveal()
	if address == "" || sqldb.IsPostgres(address) {
		return ""
	}
	return sqldb.FilePath(address) + ".settings.yaml"
}

// leaveSettings writes for find what commands need to know of a server, and no secret.
func leaveSettings(c config.Config) error {
	path := settingsOf(c)
	if path == "" {
		return nil
	}
	return writeSettings(path, plainSettings(c))
}

// plainSettings are those that decide what a command does; none of them is secret.
func plainSettings(c config.Config) map[string]any {
	listen := c.Listen
	if listen == "" {
		listen = "none"
	}
	return map[string]any{"public_url": c.PublicURL, "listen": listen, "resources": c.Resources,
		"tenant_hosts": c.TenantHosts, "trusted_proxies": c.TrustedProxies, "default_mfa": c.DefaultMFA,
		"itempath": map[string]any{"default_organization": c.ItemPath.DefaultOrganization},
		"outbound": map[string]any{"allowed_networks": c.Outbound.AllowedNetworks},
		"signing":  map[string]any{"key_bits": c.Signing.KeyBits}}
}

// demoSettings are all of the demo's, whose database and key are gone when it ends.
func demoSettings(c config.Config, listen string) map[string]any {
	all := plainSettings(c)
	all["listen"], all["metrics"] = listen, map[string]any{"listen": "none"}
	all["database"] = "sqlite:" + sqldb.FilePath(c.Database.Reveal())
	all["encryption_keys"] = []string{c.EncryptionKeys[0].Reveal()}
	return all
}

// writeSettings puts a file for its owner's eyes in the place of a former one, in one step.
func writeSettings(path string, settings map[string]any) error {
	text, err := yaml.Marshal(settings)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("# Written by the server at its start, for commands beside it.\n" + string(text))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

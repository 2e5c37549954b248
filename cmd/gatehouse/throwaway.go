package main

import (
	"path/filepath"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
)

// throwaway configures a server whose data is gone with the folder: embedded storage and a key made on the spot.
func throwaway(publicURL, dir string) config.Config {
	cfg := config.Default()
	cfg.PublicURL = publicURL
	cfg.Database = secret.New("sqlite:" + filepath.Join(dir, "gatehouse.db"))
	cfg.EncryptionKeys = []secret.Secret{keyring.Generate()}
	cfg.Metrics.Listen = ""
	return cfg
}

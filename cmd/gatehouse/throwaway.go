package main

import (
	"path/filepath"

	"gatehouse/internal/core/secret"
	"gatehouse/internal/platform/config"
	"gatehouse/internal/platform/keyring"
)

// throwaway configures a server whose data is gone with the folder: embedded storage and a key made on the spot.
func throwaway(publicURL, dir string) config.Config {
	cfg := config.Default()
	cfg.PublicURL = publicURL
	cfg.Database = secret.New(filepath.Join(dir, "gatehouse.db"))
	cfg.EncryptionKeys = []secret.Secret{keyring.Generate()}
	cfg.Metrics.Listen = ""
	return cfg
}

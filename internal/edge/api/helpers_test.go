package api_test

import (
	"testing"

	"gatehouse/internal/platform/config"
	"gatehouse/internal/server"
	"gatehouse/test/sqldbtest"
)

func tenantHosts(c *config.Config, _ *server.Options) { c.TenantHosts = []string{"apps.example.com"} }

func eachAddress(t *testing.T, fn func(t *testing.T, address string)) {
	t.Helper()
	sqldbtest.EachAddress(t, fn)
}

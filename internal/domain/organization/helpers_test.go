package organization_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/cache"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// newService makes the service. Its feed does not run, so that every read asks the database.
func newService(db *sqldb.DB) *organization.Service {
	feed := invalidation.New(db, slog.New(slog.DiscardHandler))
	return organization.New(db, &cache.Group{Feed: feed}, organization.MFAOptional, time.Now)
}

// system is the server itself.
var system = principal.NewSystem("test", "")

// create makes an organization.
func create(t *testing.T, s *organization.Service, n organization.NewOrganization) organization.Organization {
	t.Helper()
	if n.Name == "" {
		n.Name = n.Slug
	}
	o, err := s.Create(t.Context(), system, n)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// caller is somebody of a home who acts in an organization.
func caller(t *testing.T, kind principal.Kind, home, org id.Organization, permissions ...string) principal.Principal {
	t.Helper()
	set, err := permission.ParseSet(permissions)
	if err != nil {
		t.Fatal(err)
	}
	return principal.Principal{Kind: kind, ID: "usr_00000000000000000000000001", Home: home, Organization: org,
		Permissions: set}
}

package organization_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/faulttest"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// A45: what a new organization must be, and what cannot be taken.
func TestA45_Create(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newService(db)
		platform := create(t, s, organization.NewOrganization{Slug: "platform", Platform: true})
		taken := create(t, s, organization.NewOrganization{Slug: "taken", AccountNumber: "5000"})
		gone := create(t, s, organization.NewOrganization{Slug: "gone", AccountNumber: "5001"})
		if err := s.Delete(t.Context(), system, gone.ID); err != nil {
			t.Fatal(err)
		}
		operator := caller(t, principal.User, platform.ID, platform.ID, "organizations:manage:all")
		bad := organization.DefaultSettings()
		bad.TimeZone = ""
		const conflict = "CONFLICT: The slug or the account number is taken."
		type fields = organization.NewOrganization
		for _, c := range []struct {
			name string
			n    fields
			want string
		}{
			{"the least", fields{Slug: "acme-corp", Name: "a"}, ok},
			{"all there is", fields{Slug: "acme-corp-2", Name: "a", AccountNumber: "5002", Suspended: true,
				MachineCredential: organization.OAuth2, Profile: organization.Profile{SID: "S-1"}}, ok},
			{"a wrong slug", fields{Slug: "acme--corp", Name: "a"}, invalid("slug")},
			{"no name", fields{Slug: "acme-corp-3"}, invalid("name")},
			{"wrong settings", fields{Slug: "acme-corp-3", Name: "a", Settings: &bad}, invalid("timeZone")},
			{"a wrong account number", fields{Slug: "acme-corp-3", Name: "a", AccountNumber: "x"},
				invalid("accountNumber")},
			{"a second platform", fields{Slug: "acme-corp-3", Name: "a", Platform: true},
				"FORBIDDEN: The platform's own organization is made at set-up only."},
			{"a slug that is taken", fields{Slug: taken.Slug, Name: "a"}, conflict},
			{"an account number that is taken", fields{Slug: "acme-corp-3", Name: "a", AccountNumber: "5000"},
				conflict},
			{"the slug of one that is deleted", fields{Slug: gone.Slug, Name: "a"}, conflict},
		} {
			t.Run(c.name, func(t *testing.T) {
				o, err := s.Create(t.Context(), operator, c.n)
				faulttest.Check(t, err, c.want)
				if err != nil {
					return
				}
				state, kind := organization.Active, organization.SystemTokens
				if c.n.Suspended {
					state, kind = organization.Suspended, organization.OAuth2
				}
				if got, err := s.Get(t.Context(), o.ID); err != nil || got.State != state ||
					got.MachineCredential != kind || got.Settings.MFA != organization.MFAOptional {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	})
}

// A32, A45, D6: who may change what of which organization.
func TestD6_UpdateEntity(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newService(db)
		platform := create(t, s, organization.NewOrganization{Slug: "platform", Platform: true}).ID
		home := create(t, s, organization.NewOrganization{Slug: "acme-corp"}).ID
		other := create(t, s, organization.NewOrganization{Slug: "other"}).ID
		admin := caller(t, principal.User, home, home, "entity:manage:all")
		reader := caller(t, principal.User, home, home, "entity:read:all")
		machine := caller(t, principal.SystemToken, home, home, "entity:manage:all")
		operator := caller(t, principal.User, platform, platform, "organizations:manage:all")
		viewer := caller(t, principal.User, platform, platform, "organizations:read:all", "entity:manage:all")
		master := caller(t, principal.SystemToken, platform, platform, "organizations:manage:all")
		type entity = organization.Organization
		name := func(o *entity) { o.Name = "renamed" }
		state := func(o *entity) { o.State = organization.Suspended }
		resume := func(o *entity) { o.State = organization.Active }
		kind := func(o *entity) { o.MachineCredential = organization.OAuth2 }
		sid := func(o *entity) { o.Profile.SID = "S-2" }
		account := func(o *entity) { o.AccountNumber = "6000" }
		mfa := func(o *entity) { o.Settings.MFA = organization.MFARequired }
		const only, elsewhere = "FORBIDDEN: Only the platform changes", "FORBIDDEN: Only the platform's own"
		for _, c := range []struct {
			name   string
			p      principal.Principal
			org    id.Organization
			change func(o *entity)
			want   string
		}{
			{"one's own name", admin, home, name, ok},
			{"one's own without the right", reader, home, name, "FORBIDDEN: This needs entity:update:all."},
			{"another's", admin, other, name, elsewhere},
			{"another's with the right for one's own", viewer, other, name, elsewhere},
			{"one's own state", admin, home, state, only},
			{"one's own kind of credential", admin, home, kind, only},
			{"one's own SID", admin, home, sid, only},
			{"one's own account number", admin, home, account, only},
			{"what people must prove", admin, home, mfa, ok},
			{"what people must prove, by a machine", machine, home, func(o *entity) { o.Settings.StepUpSeconds++ },
				"FORBIDDEN: A machine credential does not change"},
			{"another's by a machine", machine, other, name, elsewhere},
			{"one's own name, by a machine", machine, home, name, ok},
			{"an operator renames", operator, other, name, ok},
			{"an operator changes a kind", operator, other, kind, ok},
			{"an operator changes a SID", operator, other, sid, ok},
			{"an operator changes an account number", operator, other, account, ok},
			{"an account number that is taken", operator, home, account, "CONFLICT: The slug or the account number"},
			{"an operator suspends", operator, other, state, ok},
			{"an operator resumes", operator, other, resume, ok},
			{"a machine of the platform suspends", master, other, state, ok},
			{"a machine of the platform changes what people must prove", master, other, mfa,
				"FORBIDDEN: A machine credential does not change"},
			{"the platform is never suspended", operator, platform, state,
				"CONFLICT: The platform's own organization cannot be suspended"},
			{"a machine stops itself", master, platform, kind, "CONFLICT: This would stop the credential"},
			{"a state that is none", operator, other, func(o *entity) { o.State = "paused" }, invalid("state")},
			{"an organization that is none", operator, id.New[id.Organization](), name, "NOT_FOUND: "},
			{"a wrong name", admin, home, func(o *entity) { o.Name = "" }, invalid("name")},
			{"a wrong profile", admin, home, func(o *entity) { o.Profile.Email = "x" }, invalid("profile.email")},
		} {
			t.Run(c.name, func(t *testing.T) {
				before, _ := s.Get(t.Context(), c.org)
				_, err := s.UpdateEntity(t.Context(), c.p, c.org, func(o *entity) error { c.change(o); return nil })
				faulttest.Check(t, err, c.want)
				after, _ := s.Get(t.Context(), c.org)
				if wrote := !reflect.DeepEqual(after, before); wrote != (c.want == ok) {
					t.Errorf("wrote: %v", wrote)
				}
			})
		}
	})
}

// A45: a deleted organization is found by nobody and changed by nobody, and the platform is never deleted.
func TestA45_Delete(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newService(db)
		platform := create(t, s, organization.NewOrganization{Slug: "platform", Platform: true})
		o := create(t, s, organization.NewOrganization{Slug: "acme-corp", AccountNumber: "5000"})
		const never = "CONFLICT: The platform's own organization cannot be suspended or deleted."
		faulttest.Check(t, s.Delete(t.Context(), system, platform.ID), never)
		for _, name := range []string{"acme-corp", "5000"} {
			if got, err := s.ByAccount(t.Context(), name); err != nil || got.ID != o.ID {
				t.Errorf("%s: %v, %v", name, got.ID, err)
			}
		}
		faulttest.Check(t, s.Delete(t.Context(), system, o.ID), ok)
		const none = "NOT_FOUND: There is no such organization."
		faulttest.Check(t, s.Delete(t.Context(), system, o.ID), none)
		for _, name := range []string{"acme-corp", "5000", "nobody", "", "acme--corp"} {
			_, err := s.ByAccount(t.Context(), name)
			faulttest.Check(t, err, none)
		}
		_, err := s.Get(t.Context(), o.ID)
		faulttest.Check(t, err, none)
		if got, err := s.Facts(t.Context(), o.ID); err != nil || got.State != organization.Deleted {
			t.Errorf("who judges a credential of it sees %q, %v", got.State, err)
		}
	})
}

// A45: an origin that was allowed by earlier rules keeps nobody from suspending or deleting the organization, or from
// changing something else; one that is new follows the rules of today.
func TestA45_OriginOfEarlierRules(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newService(db)
		o := create(t, s, organization.NewOrganization{Slug: "acme-corp"})
		const old, odd = "https://crm.example.com.", "https://desk.example.com."
		err := db.Tx(t.Context(), o.ID, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE organizations SET settings = $1 WHERE id = $2`,
				`{"allowedOrigins":["`+old+`"],"timeZone":"UTC"}`, o.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		type change = func(o *organization.Organization)
		for _, c := range []struct {
			name   string
			change change
			want   string
		}{
			{"another setting", func(o *organization.Organization) { o.Settings.StepUpSeconds = 60 }, ok},
			{"one that is new", func(o *organization.Organization) {
				o.Settings.AllowedOrigins = append(o.Settings.AllowedOrigins, odd)
			}, faulttest.Invalid("allowedOrigins[1]")},
			{"suspended", func(o *organization.Organization) { o.State = organization.Suspended }, ok},
			{"deleted", func(o *organization.Organization) { o.State = organization.Deleted }, ok},
		} {
			_, err := s.Update(t.Context(), system, o.ID, func(o *organization.Organization) error {
				c.change(o)
				return nil
			})
			t.Log(c.name)
			faulttest.Check(t, err, c.want)
		}
	})
}

// A45, ATK51: a machine's credential changes no setting that protects people. A setting that is new is one of those
// until it is named as harmless.
func TestA45_SettingsAreForPeople(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newService(db)
		home := create(t, s, organization.NewOrganization{Slug: "acme-corp"}).ID
		machine := caller(t, principal.APIKey, home, home, "organization:manage:all")
		var settings map[string]any
		o, err := s.Get(t.Context(), home)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(o.Settings)
		if err := json.Unmarshal(raw, &settings); err != nil || len(settings) < 15 {
			t.Fatal(settings, err)
		}
		for name, value := range settings {
			switch v := value.(type) {
			case bool:
				settings[name] = !v
			case float64:
				settings[name] = v + 1
			case string:
				settings[name] = "Europe/Berlin"
			case []any, nil:
				settings[name] = []any{"https://app.example.com"}
			case map[string]any:
				settings[name] = map[string]any{"agent": nil}
			}
			one, _ := json.Marshal(map[string]any{name: settings[name]})
			want := "FORBIDDEN: A machine credential does not change " + name + ":"
			if name == "timeZone" {
				want = ok
			}
			_, err := s.Update(t.Context(), machine, home, func(o *organization.Organization) error {
				return json.Unmarshal(one, &o.Settings)
			})
			faulttest.Check(t, err, want)
		}
	})
}

package permission

import (
	"strings"
	"testing"
)

func set(t *testing.T, list ...string) Set {
	t.Helper()
	s, err := ParseSet(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A33: own is part of team and team of all; manage includes the other actions, in its own scope and resource.
func TestA33_Inclusion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{"tickets:read:all", "tickets:read:own", true},
		{"tickets:read:all", "tickets:read:team", true},
		{"tickets:read:team", "tickets:read:own", true},
		{"tickets:read:own", "tickets:read:team", false},
		{"tickets:read:team", "tickets:read:all", false},
		{"tickets:manage:all", "tickets:assign:all", true},
		{"tickets:manage:team", "tickets:read:own", true},
		{"tickets:manage:own", "tickets:read:team", false},
		{"tickets:manage:all", "reports:read:all", false},
		{"tickets:read:all", "tickets:update:own", false},
		{"tickets:read:all", "tickets:manage:own", false},
	} {
		if got := set(t, c.have).Covers(set(t, c.want)); got != c.ok {
			t.Errorf("%s covers %s: %v", c.have, c.want, got)
		}
	}
	if !Everything().Covers(set(t, "organizations:manage:all")) || set(t, "organizations:manage:all").
		Covers(Everything()) {
		t.Error("the server's own set is not above all")
	}
	if (Set{}).Scope("tickets", "read") != None || (Set{}).Strings() == nil {
		t.Error("the empty set")
	}
}

// A39: these are permissions as written.
func TestA39_AsWritten(t *testing.T) {
	t.Parallel()
	for p := range strings.FieldsSeq("tickets:create:own tickets:read:team tickets:update:all users:manage:all " +
		"api_keys:manage:own reports:read:all") {
		if got, err := Parse(p); err != nil || got.String() != p {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
}

func TestBuiltinsNeverReachBeyondTheirSuperior(t *testing.T) {
	t.Parallel()
	admin, _ := BuiltinRole(RoleAdmin)
	super, _ := BuiltinRole(RoleSuperUser)
	for _, b := range Builtins() {
		if !super.Permissions.Covers(b.Permissions) {
			t.Errorf("%s holds what an operator does not", b.Name)
		}
		if b.Name != RoleSuperUser && !admin.Permissions.Covers(b.Permissions) {
			t.Errorf("%s holds what an administrator does not and so could not grant", b.Name)
		}
		if b.Name != RoleSuperUser && b.Permissions.Scope(PlatformResource, "read") != None {
			t.Errorf("%s reaches the platform", b.Name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, p := range Catalog() {
		f.Add(p.String())
	}
	f.Add("::")
	f.Add("tickets:read:own:own")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if p.String() != text || !Known(p.Resource, p.Action) {
			t.Errorf("%q was read as %s", text, p)
		}
	})
}

// A15, ATK31: what is cut to a ceiling gives nothing that either side lacks, and everything that both give.
func TestATK31_Within(t *testing.T) {
	t.Parallel()
	if err := Define([]string{"within_test"}); err != nil {
		t.Fatal(err)
	}
	all := Catalog()
	samples := [][]string{
		{}, {"tickets:manage:all"}, {"tickets:manage:own"}, {"tickets:read:team", "users:read:all"},
		{"tickets:assign:team", "tickets:read:own"},
		{"users:manage:all", "api_keys:manage:own"}, {"api_keys:read:all"}, {"within_test:manage:team"},
		{"within_test:read:own", "within_test:read:all"},
	}
	for _, a := range samples {
		for _, b := range samples {
			x, y := set(t, a...), set(t, b...)
			cut := x.Within(y)
			for _, p := range all {
				if got, want := cut.Holds(p), x.Holds(p) && y.Holds(p); got != want {
					t.Errorf("%v within %v: %s is %v, want %v", a, b, p, got, want)
				}
			}
		}
	}
	if got := Everything().Within(set(t, "tickets:read:own")).Strings(); len(got) != 1 {
		t.Errorf("everything within one: %v", got)
	}
}

// F1: an integrator's own resources are words like the others, held by administrators; ours cannot be taken over.
func TestF1_Define(t *testing.T) {
	t.Parallel()
	if err := Define([]string{"stations_test"}); err != nil {
		t.Fatal(err)
	}
	if !set(t, "stations_test:manage:all").Covers(set(t, "stations_test:read:own")) || !IsDefined("stations_test") ||
		IsDefined("tickets") || IsResource("nothing") {
		t.Error("the defined resource")
	}
	admin, _ := BuiltinRole(RoleAdmin)
	user, _ := BuiltinRole(RoleEndUser)
	if admin.Permissions.Scope("stations_test", "delete") != All ||
		user.Permissions.Scope("stations_test", "read") != None {
		t.Error("who holds a defined resource")
	}
	for _, wrong := range []string{"tickets", "organizations", "", "A", "with space", "with:colon", "1st"} {
		if Define([]string{wrong}) == nil {
			t.Errorf("%q can be defined", wrong)
		}
	}
}

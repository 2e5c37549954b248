package organization

import (
	"reflect"
	"testing"
)

// G9: the audit log says which setting was changed, from what to what. Every setting is among them.
func TestG9_ChangesNameEverySetting(t *testing.T) {
	t.Parallel()
	before := Organization{Name: "Acme", Settings: DefaultSettings()}
	after := before
	after.Settings.MFA, after.Settings.StepUpSeconds, after.Settings.SlidingByRole = MFARequired, 60, nil
	got := changes(before, after)
	want := map[string]string{"mfa": `"optional" -> "required"`, "stepUpSeconds": "900 -> 60",
		"slidingExpirationByRole": `{"super_admin":false} -> {}`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := len(members(before.Settings)); n != reflect.TypeFor[Settings]().NumField()-4+
		reflect.TypeFor[BrowserSettings]().NumField()+reflect.TypeFor[SessionSettings]().NumField()+
		reflect.TypeFor[SignInSettings]().NumField()+reflect.TypeFor[TokenSettings]().NumField() {
		t.Errorf("%d settings are compared", n)
	}
}

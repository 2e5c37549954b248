package scim

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/scim"
	"github.com/itsm-automation/gatehouse/test/idptest"
)

// before is the user that every operation is tried on.
const before = `{"userName":"u","active":true,"title":"T","name":{"givenName":"A","familyName":"B"},
	"emails":[{"type":"work","value":"w@x","primary":true},{"type":"home","value":"h@x"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"D","manager":{"value":"m"}}}`

// SCIM38: PATCH comes to what scim-patch, an implementation by others, makes of the same requests. Where the two
// differ, why is listed.
func TestSCIM38_Patch(t *testing.T) {
	t.Parallel()
	const urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"
	cases := []struct{ operations, differs string }{
		{`[{"op":"replace","path":"active","value":false}]`, ""},
		{`[{"op":"replace","value":{"active":false}}]`, ""},
		{`[{"op":"Replace","path":"active","value":"False"}]`, "there it stays a text, which switches nobody off"},
		{`[{"op":"replace","path":"name.givenName","value":"G"}]`, ""},
		{`[{"op":"add","path":"displayName","value":"N"}]`, ""},
		{`[{"op":"add","value":{"displayName":"N","nickName":"K"}}]`, ""},
		{`[{"op":"replace","value":{"name.givenName":"G"}}]`, ""},
		{`[{"op":"replace","value":{"` + urn + `employeeNumber":"7"}}]`, ""},
		{`[{"op":"replace","path":"` + urn + `department","value":"E"}]`, ""},
		{`[{"op":"replace","path":"emails[type eq \"work\"].value","value":"n@x"}]`, ""},
		{`[{"op":"replace","path":"emails[value sw \"h\"].value","value":"n@x"}]`, ""},
		{`[{"op":"add","path":"emails[type eq \"other\"].value","value":"o@x"}]`, ""},
		{`[{"op":"add","path":"emails","value":[{"type":"other","value":"o@x"}]}]`, ""},
		{`[{"op":"replace","path":"emails","value":[{"value":"n@x"}]}]`, ""},
		{`[{"op":"remove","path":"emails[type eq \"home\"]"}]`, ""},
		{`[{"op":"remove","path":"emails[type eq \"home\"].type"}]`, ""},
		{`[{"op":"remove","path":"title"}]`, ""},
		{`[{"op":"remove","path":"emails"}]`, ""},
		{`[{"op":"remove","path":"name.familyName"}]`, ""},
		{`[{"op":"remove"}]`, ""},
		{`[{"op":"move","path":"title"}]`, ""},
		{`[]`, ""},
		{`[{"op":"replace","path":"title","value":"X"},{"op":"remove","path":"title"}]`, ""},
		{`[{"op":"replace","path":"` + urn + `manager","value":"id"}]`, "there a manager stays a text"},
		{`[{"op":"replace","path":"title","value":""}]`, "there an empty text stays"},
		{`[{"op":"add","value":{"nothing":1}}]`, "there what no schema knows is kept"},
		{`[{"op":"replace","path":"nothing","value":1}]`, "the same"},
		{`[{"op":"replace","value":{"password":"secret"}}]`, "there a password is kept"},
	}
	var sent []map[string]any
	for _, c := range cases {
		sent = append(sent, map[string]any{"before": json.RawMessage(before),
			"operations": json.RawMessage(c.operations)})
	}
	input, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var theirs []struct {
		Result map[string]any
		Error  string
	}
	if err := json.Unmarshal(idptest.Ask(t, "scim.mjs", input), &theirs); err != nil || len(theirs) != len(cases) {
		t.Fatal(err)
	}
	for i, c := range cases {
		ours, refused := patched(t, c.operations)
		same := refused == "" && theirs[i].Error == "" && reflect.DeepEqual(ours, theirs[i].Result) ||
			refused != "" && theirs[i].Error != ""
		if same != (c.differs == "") {
			t.Errorf("%s:\nours   %v %s\ntheirs %v %s\nlisted as a difference: %q", c.operations, ours, refused,
				theirs[i].Result, theirs[i].Error, c.differs)
		}
	}
}

// patched gives what becomes of the user, or the type of the refusal.
func patched(t *testing.T, operations string) (map[string]any, string) {
	t.Helper()
	var r, body map[string]any
	if err := errors.Join(json.Unmarshal([]byte(before), &r), json.Unmarshal([]byte(`{"Operations":`+operations+`}`),
		&body)); err != nil {
		t.Fatal(err)
	}
	ops, err := scim.ReadPatch(body)
	if err == nil {
		_, err = scim.User.Patch(r, "the-id", ops)
	}
	var refused *scim.Error
	if errors.As(err, &refused) {
		return nil, strings.TrimSpace(refused.Type)
	}
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(r), ""
}

package scim

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func typeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Type
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

const enterprise = `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`

// SCIM06, SCIM19, SCIM20, SCIM29: a body is taken in the form of its schema, whatever case and shape it comes in. What
// is empty, the server's own, or a password is left out.
func TestSCIM06_SCIM19_SCIM20_Read(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want, err string }{
		"plain":             {`{"userName":"u"}`, `{"userName":"u"}`, ""},
		"names in any case": {`{"USERNAME":"U","Name":{"GIVENNAME":"G"}}`, `{"userName":"U","name":{"givenName":"G"}}`, ""},
		"active as text":    {`{"userName":"u","active":"False"}`, `{"userName":"u","active":false}`, ""},
		"active lower":      {`{"userName":"u","active":"true"}`, `{"userName":"u","active":true}`, ""},
		"active as number":  {`{"userName":"u","active":0}`, "", InvalidValue},
		"active as word":    {`{"userName":"u","active":"no"}`, "", InvalidValue},
		"active as null":    {`{"userName":"u","active":null}`, `{"userName":"u"}`, ""},
		"no name":           {`{"displayName":"x"}`, "", InvalidValue},
		"an empty name":     {`{"userName":" "}`, "", InvalidValue},
		"a number":          {`{"userName":"u",` + enterprise + `:{"employeeNumber":7}}`, `{"userName":"u",` + enterprise + `:{"employeeNumber":"7"}}`, ""},
		"an object":         {`{"userName":{"a":1}}`, "", InvalidValue},
		"the server's own":  {`{"id":"x","meta":{"a":1},"groups":[{"value":"g"}],"schemas":["x"],"userName":"u"}`, `{"userName":"u"}`, ""},
		"a password by its URN": {`{"userName":"u","` + UserSchema + `:password":"x","` + UserSchema + `":{"password":"x"}}`,
			`{"userName":"u"}`, ""},
		"groups by a dot":     {`{"userName":"u","groups.value":"g","meta.version":"v"}`, `{"userName":"u"}`, ""},
		"an address by a dot": {`{"userName":"u","emails.value":"a@x"}`, `{"userName":"u","emails":[{"value":"a@x"}]}`, ""},
		"a manager's name":    {`{"userName":"u",` + strings.TrimSuffix(enterprise, `"`) + `:manager.displayName":"M"}`, `{"userName":"u"}`, ""},
		"a password":          {`{"userName":"u","password":"secret","Password":"x"}`, `{"userName":"u"}`, ""},
		"empties of OneLogin": {`{"schemas":["urn:scim:schemas:core:1.0"],"id":null,"userName":"u","active":"true","addresses":[{"country":""}],"title":"","emails":[]}`,
			`{"userName":"u","active":true}`, ""},
		"a manager as text": {`{"userName":"u",` + enterprise + `:{"manager":"m"}}`, `{"userName":"u",` + enterprise + `:{"manager":{"value":"m"}}}`, ""},
		"addresses as text": {`{"userName":"u","emails":["a@x","a@x"]}`, `{"userName":"u","emails":[{"value":"a@x"}]}`, ""},
		"one address":       {`{"userName":"u","emails":{"value":"a@x","primary":"True"}}`, `{"userName":"u","emails":[{"value":"a@x","primary":true}]}`, ""},
		"two primary": {`{"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`,
			`{"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":false}]}`, ""},
		"a colon name":      {`{"userName":"u",` + strings.TrimSuffix(enterprise, `"`) + `:department":"D"}`, `{"userName":"u",` + enterprise + `:{"department":"D"}}`, ""},
		"a dotted name":     {`{"userName":"u","name.givenName":"G"}`, `{"userName":"u","name":{"givenName":"G"}}`, ""},
		"an unknown name":   {`{"userName":"u","nothing":1,"name":{"nothing":1}}`, `{"userName":"u"}`, ""},
		"an unknown schema": {`{"userName":"u","urn:acme:2.0:User":{"a":[1]}}`, `{"userName":"u","urn:acme:2.0:User":{"a":[1]}}`, ""},
		"a NUL":             {`{"userName":"u\u0000"}`, "", InvalidValue},
		"long":              {`{"userName":"` + strings.Repeat("x", maxText+1) + `"}`, "", InvalidValue},
	} {
		r, err := User.Read(object(t, c.body))
		if typeOf(err) != c.err {
			t.Errorf("%s: %v, want %q", name, err, c.err)
			continue
		}
		if c.err == "" && !reflect.DeepEqual(map[string]any(r), object(t, c.want)) {
			t.Errorf("%s: %v, want %s", name, r, c.want)
		}
	}
}

// SCIM01, SCIM02, SCIM03, SCIM07, SCIM08: every shape that directories send ends in the state that it means; what is
// wrong has its type.
func TestSCIM01_SCIM07_SCIM08_PatchUser(t *testing.T) {
	t.Parallel()
	const before = `{"userName":"u","active":true,"name":{"givenName":"A","familyName":"B"},` +
		`"emails":[{"type":"work","value":"w@x","primary":true},{"type":"home","value":"h@x"}],` +
		`"roles":[{"value":"r","primary":true}],` + enterprise + `:{"department":"D","manager":{"value":"m"}}}`
	dotted := strings.TrimSuffix(enterprise, `"`) + ":"
	for name, c := range map[string]struct {
		ops  string
		want string // entries that changed; null: gone
		err  string
	}{
		"Entra, legacy, off":  {`[{"op":"Replace","path":"active","value":"False"}]`, `{"active":false}`, ""},
		"Entra, flag, off":    {`[{"op":"replace","value":{"active":false}}]`, `{"active":false}`, ""},
		"a path in capitals":  {`[{"op":"REPLACE","path":"ACTIVE","value":"false"}]`, `{"active":false}`, ""},
		"Entra, legacy, name": {`[{"op":"Replace","path":"name.givenName","value":"G"}]`, `{"name":{"givenName":"G","familyName":"B"}}`, ""},
		"Entra, flag, dotted": {`[{"op":"replace","value":{"displayName":"N","name.givenName":"G",` + dotted + `employeeNumber":"7"}}]`,
			`{"displayName":"N","name":{"givenName":"G","familyName":"B"},` + enterprise + `:{"department":"D","manager":{"value":"m"},"employeeNumber":"7"}}`, ""},
		"Entra, a value by its type": {`[{"op":"Add","path":"emails[type eq \"work\"].value","value":"n@x"}]`,
			`{"emails":[{"type":"work","value":"n@x","primary":true},{"type":"home","value":"h@x"}]}`, ""},
		"Entra, one that is not there": {`[{"op":"Replace","path":"emails[type eq \"Other\"].value","value":"o@x"}]`,
			`{"emails":[{"type":"work","value":"w@x","primary":true},{"type":"home","value":"h@x"},{"type":"Other","value":"o@x"}]}`, ""},
		"Entra, a role":    {`[{"op":"Add","path":"roles[primary eq \"True\"].value","value":"s"}]`, `{"roles":[{"value":"s","primary":true}]}`, ""},
		"Entra, a colon":   {`[{"op":"Replace","path":` + dotted + `department","value":"E"}]`, `{` + enterprise + `:{"department":"E","manager":{"value":"m"}}}`, ""},
		"Entra, a manager": {`[{"op":"Add","path":` + dotted + `manager","value":"id"}]`, `{` + enterprise + `:{"department":"D","manager":{"value":"id"}}}`, ""},
		"a manager's value": {`[{"op":"replace","path":` + dotted + `manager.value","value":"id"}]`,
			`{` + enterprise + `:{"department":"D","manager":{"value":"id"}}}`, ""},
		"cleared by null":      {`[{"op":"replace","path":"name.givenName","value":null}]`, `{"name":{"familyName":"B"}}`, ""},
		"cleared by nothing":   {`[{"op":"Replace","path":"name.givenName","value":""}]`, `{"name":{"familyName":"B"}}`, ""},
		"removed":              {`[{"op":"remove","path":"name"}]`, `{"name":null}`, ""},
		"an extension removed": {`[{"op":"remove","path":` + enterprise + `}]`, `{` + enterprise + `:null}`, ""},
		"an extension by URN": {`[{"op":"add","path":` + enterprise + `,"value":{"division":"V","nothing":1}}]`,
			`{` + enterprise + `:{"department":"D","division":"V","manager":{"value":"m"}}}`, ""},
		"Okta, off":      {`[{"op":"replace","value":{"active":false}}]`, `{"active":false}`, ""},
		"Okta, password": {`[{"op":"replace","value":{"password":"x"}}]`, `{}`, ""},
		"the same id":    {`[{"op":"replace","value":{"id":"the-id","displayName":"N"}}]`, `{"displayName":"N"}`, ""},
		"another id":     {`[{"op":"replace","value":{"id":"x"}}]`, "", Mutability},
		"an id by path":  {`[{"op":"replace","path":"id","value":"x"}]`, "", Mutability},
		"an address more": {`[{"op":"add","path":"emails","value":[{"value":"n@x","primary":true}]}]`,
			`{"emails":[{"type":"work","value":"w@x","primary":false},{"type":"home","value":"h@x"},{"value":"n@x","primary":true}]}`, ""},
		"an address twice": {`[{"op":"add","path":"emails","value":{"type":"home","value":"h@x"}}]`, `{}`, ""},
		"other addresses":  {`[{"op":"replace","path":"emails","value":[{"value":"n@x"}]}]`, `{"emails":[{"value":"n@x"}]}`, ""},
		"no addresses":     {`[{"op":"remove","path":"emails"}]`, `{"emails":null}`, ""},
		"one address less": {`[{"op":"remove","path":"emails[type eq \"home\"]"}]`, `{"emails":[{"type":"work","value":"w@x","primary":true}]}`, ""},
		"a part of one":    {`[{"op":"remove","path":"emails[type eq \"home\"].type"}]`, `{"emails":[{"type":"work","value":"w@x","primary":true},{"value":"h@x"}]}`, ""},
		"what it says":     {`[{"op":"remove","path":"emails[type eq \"home\"].value"}]`, `{"emails":[{"type":"work","value":"w@x","primary":true}]}`, ""},
		"one by its value": {`[{"op":"remove","path":"emails","value":[{"value":"h@x"}]}]`, `{"emails":[{"type":"work","value":"w@x","primary":true}]}`, ""},
		"both": {`[{"op":"replace","path":"emails[value co \"@x\"].display","value":"d"}]`,
			`{"emails":[{"type":"work","value":"w@x","primary":true,"display":"d"},{"type":"home","value":"h@x","display":"d"}]}`, ""},
		"a merge": {`[{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"n@x","primary":"false"}}]`,
			`{"emails":[{"type":"work","value":"w@x","primary":true},{"type":"home","value":"n@x","primary":false}]}`, ""},
		"none by a range":       {`[{"op":"replace","path":"emails[value sw \"z\"].value","value":"n@x"}]`, "", NoTarget},
		"none to remove":        {`[{"op":"remove","path":"emails[type eq \"other\"]"}]`, `{}`, ""},
		"an unknown schema":     {`[{"op":"add","value":{"urn:acme:2.0:User":{"a":1}}}]`, `{"urn:acme:2.0:User":{"a":1}}`, ""},
		"an unknown name":       {`[{"op":"add","value":{"nothing":1}}]`, `{}`, ""},
		"an unknown path":       {`[{"op":"add","path":"nothing","value":1}]`, "", InvalidPath},
		"an unknown part":       {`[{"op":"add","path":"name.nothing","value":"x"}]`, "", InvalidPath},
		"brackets on no list":   {`[{"op":"add","path":"name[givenName eq \"x\"]","value":"x"}]`, "", InvalidPath},
		"an open bracket":       {`[{"op":"add","path":"emails[type eq \"x\"","value":"x"}]`, "", InvalidPath},
		"no name left":          {`[{"op":"remove","path":"userName"}]`, "", InvalidValue},
		"a wrong type":          {`[{"op":"replace","path":"active","value":"no"}]`, "", InvalidValue},
		"no object":             {`[{"op":"replace","value":"x"}]`, "", InvalidValue},
		"the last of two fails": {`[{"op":"replace","path":"title","value":"t"},{"op":"replace","path":"nothing","value":1}]`, "", InvalidPath},
	} {
		ops, err := ReadPatch(object(t, `{"Operations":`+c.ops+`}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := Resource(object(t, before))
		steps, err := User.Patch(r, "the-id", ops)
		if typeOf(err) != c.err || steps != nil {
			t.Errorf("%s: %v, want %q", name, err, c.err)
			continue
		}
		if c.err != "" {
			continue
		}
		want := object(t, before)
		for key, v := range object(t, c.want) {
			if want[key] = v; v == nil {
				delete(want, key)
			}
		}
		if !reflect.DeepEqual(map[string]any(r), want) {
			t.Errorf("%s: %v, want %v", name, r, want)
		}
	}
}

// SCIM09, SCIM10: the members of a group change by steps, in each of the forms in which directories send them; what is
// no PATCH is refused.
func TestSCIM09_SCIM10_PatchGroup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ops   string
		steps []Step
		name  string
		err   string
	}{
		"Entra adds":       {`[{"op":"Add","path":"members","value":[{"$ref":null,"value":"a"},{"value":"b"}]}]`, []Step{{"add", []string{"a", "b"}}}, "G", ""},
		"Entra removes":    {`[{"op":"Remove","path":"members","value":[{"value":"a"}]}]`, []Step{{"remove", []string{"a"}}}, "G", ""},
		"with the flag":    {`[{"op":"remove","path":"members[value eq \"a\"]"}]`, []Step{{"remove", []string{"a"}}}, "G", ""},
		"two of them":      {`[{"op":"remove","path":"members[value eq \"A\" or value eq \"b\"]"}]`, []Step{{"remove", []string{"A", "b"}}}, "G", ""},
		"Okta renames":     {`[{"op":"replace","value":{"id":"the-id","displayName":"N"}}]`, nil, "N", ""},
		"Okta changes":     {`[{"op":"remove","path":"members[value eq \"a\"]"},{"op":"add","path":"members","value":[{"value":"b","display":"B"}]}]`, []Step{{"remove", []string{"a"}}, {"add", []string{"b"}}}, "G", ""},
		"Okta replaces":    {`[{"op":"replace","path":"members","value":[{"value":"a"}]}]`, []Step{{"replace", []string{"a"}}}, "G", ""},
		"all of them":      {`[{"op":"remove","path":"members"}]`, []Step{{Op: "replace"}}, "G", ""},
		"none":             {`[{"op":"replace","path":"members","value":[]}]`, []Step{{Op: "replace"}}, "G", ""},
		"without a path":   {`[{"op":"add","value":{"members":[{"value":"a"}],"displayName":"N"}}]`, []Step{{"add", []string{"a"}}}, "N", ""},
		"ids alone":        {`[{"op":"add","path":"members","value":["a","a"]}]`, []Step{{"add", []string{"a"}}}, "G", ""},
		"one":              {`[{"op":"add","path":"members","value":{"value":"a"}}]`, []Step{{"add", []string{"a"}}}, "G", ""},
		"without a value":  {`[{"op":"add","path":"members","value":[{"display":"x"}]}]`, nil, "", InvalidValue},
		"by another field": {`[{"op":"remove","path":"members[display eq \"a\"]"}]`, nil, "", InvalidPath},
		"not that one":     {`[{"op":"remove","path":"members[value ne \"a\"]"}]`, nil, "", InvalidPath},
		"a part of one":    {`[{"op":"replace","path":"members[value eq \"a\"].display","value":"x"}]`, nil, "", InvalidPath},
		"no name":          {`[{"op":"replace","path":"displayName","value":""}]`, nil, "", InvalidValue},
	} {
		ops, err := ReadPatch(object(t, `{"operations":`+c.ops+`}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := Resource{"displayName": "G"}
		steps, err := Group.Patch(r, "the-id", ops)
		if typeOf(err) != c.err {
			t.Errorf("%s: %v, want %q", name, err, c.err)
			continue
		}
		if c.err == "" && (!reflect.DeepEqual(steps, c.steps) || r["displayName"] != c.name) {
			t.Errorf("%s: %v %v", name, steps, r)
		}
	}
	for body, want := range map[string]string{
		`{"Operations":[]}`: InvalidSyntax, `{}`: InvalidSyntax, `{"Operations":{}}`: InvalidSyntax,
		`{"Operations":[1]}`: InvalidSyntax, `{"Operations":[{"op":"move","path":"x"}]}`: InvalidSyntax,
		`{"Operations":[{"op":"remove"}]}`: NoTarget, `{"Operations":[{"path":"x"}]}`: InvalidSyntax,
		`{"Operations":[{"op":"add","path":1}]}`: InvalidPath,
	} {
		if _, err := ReadPatch(object(t, body)); typeOf(err) != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// SCIM14: what is selected, and what is not read for it.
func TestSCIM14_Select(t *testing.T) {
	t.Parallel()
	all := object(t, `{"schemas":["x"],"id":"i","userName":"u","name":{"givenName":"G","familyName":"F"},
		"emails":[{"value":"v","type":"t"}],`+enterprise+`:{"department":"D","division":"V"},"urn:acme:2.0:User":{"a":1}}`)
	for _, c := range []struct{ attributes, excluded, want string }{
		{"", "", ""},
		{"userName", "", `{"schemas":["x"],"id":"i","userName":"u"}`},
		{"USERNAME, name.givenName", "", `{"schemas":["x"],"id":"i","userName":"u","name":{"givenName":"G"}}`},
		{"emails.value", "", `{"schemas":["x"],"id":"i","emails":[{"value":"v"}]}`},
		{strings.Trim(enterprise, `"`), "", `{"schemas":["x"],"id":"i",` + enterprise + `:{"department":"D","division":"V"}}`},
		{strings.Trim(enterprise, `"`) + ":department", "", `{"schemas":["x"],"id":"i",` + enterprise + `:{"department":"D"}}`},
		{"urn:acme:2.0:User", "", `{"schemas":["x"],"id":"i","urn:acme:2.0:User":{"a":1}}`},
		{"nothing", "", `{"schemas":["x"],"id":"i"}`},
		{"", "id,schemas", ""},
		{"", "name,emails,urn:acme:2.0:User," + strings.Trim(enterprise, `"`), `{"schemas":["x"],"id":"i","userName":"u"}`},
		{"", "name.givenName,emails.type,urn:acme:2.0:User," + strings.Trim(enterprise, `"`) + ":division",
			`{"schemas":["x"],"id":"i","userName":"u","name":{"familyName":"F"},"emails":[{"value":"v"}],` + enterprise + `:{"department":"D"}}`},
	} {
		s, err := User.Select(c.attributes, c.excluded)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		want := all
		if c.want != "" {
			want = object(t, c.want)
		}
		if got := s.Project(all); !reflect.DeepEqual(got, want) {
			t.Errorf("attributes=%s excluded=%s: %v, want %v", c.attributes, c.excluded, got, want)
		}
	}
	for excluded, want := range map[string]bool{"": true, "members": false, "MEMBERS": false, "displayName": true,
		"members.display": true} {
		s, err := Group.Select("", excluded)
		if err != nil || s.Wants("members") != want {
			t.Errorf("without %q: members %t %v", excluded, s.Wants("members"), err)
		}
	}
	if s, _ := Group.Select("displayName", ""); s.Wants("members") || !s.Wants("displayName") || !s.Wants("id") {
		t.Error("displayName alone")
	}
	if _, err := User.Select("a", "b"); typeOf(err) != InvalidValue {
		t.Error(err)
	}
}

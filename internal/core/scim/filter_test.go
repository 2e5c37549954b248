package scim

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// show writes a filter as it was understood.
func show(e Expr) string {
	name := func(f Field) string {
		n := f.Attr.Name
		if f.Schema != "" {
			n = f.Schema[strings.LastIndex(f.Schema, ":")+1:] + ":" + n
		}
		if f.Sub != nil {
			n += "." + f.Sub.Name
		}
		return n
	}
	switch x := e.(type) {
	case And:
		return "(" + show(x.Left) + " and " + show(x.Right) + ")"
	case Or:
		return "(" + show(x.Left) + " or " + show(x.Right) + ")"
	case Not:
		return "not " + show(x.Inner)
	case Any:
		return "any " + name(x.Field) + " " + show(x.Inner)
	case Compare:
		if x.Op == Pr {
			return name(x.Field) + " pr"
		}
		return fmt.Sprintf("%s %s %v", name(x.Field), x.Op, x.Value)
	}
	return "?"
}

// SCIM12: the grammar of filters, in any case and with what directories send beyond it; what is wrong says so.
func TestSCIM12_Filters(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("(", 20) + "title pr" + strings.Repeat(")", 20)
	for text, want := range map[string]string{
		`userName eq "A"`: "userName eq a", `USERNAME EQ "a\"b\u00e9"`: `userName eq a"bé`,
		`externalId eq "A"`: "externalId eq A", `id eq "X"`: "id eq X",
		`active eq true`: "active eq true", `active eq "False"`: "active eq false", `active ne TRUE`: "active ne true",
		`title pr and (nickName pr or displayName co "x")`: "(title pr and (nickName pr or displayName co x))",
		`title pr or nickName pr and displayName pr`:       "(title pr or (nickName pr and displayName pr))",
		`not (title pr) and title pr`:                      "(not title pr and title pr)",
		`name.givenName sw "g"`:                            "name.givenName sw g",
		`emails eq "A@x"`:                                  "any emails emails.value eq a@x",
		`emails.value eq "a"`:                              "any emails emails.value eq a",
		`emails.type pr`:                                   "any emails emails.type pr",
		`emails pr`:                                        "emails pr",
		`emails[type eq "work" and value co "x"]`:          "any emails (emails.type eq work and emails.value co x)",
		`emails[type eq "work"].value eq "a"`:              "any emails (emails.type eq work and emails.value eq a)",
		`emails[not (type eq "work")]`:                     "any emails not emails.type eq work",
		UserSchema + `:userName eq "a"`:                    "userName eq a",
		EnterpriseSchema + `:department eq "D"`:            "User:department eq d",
		EnterpriseSchema + `:manager.value eq "D"`:         "User:manager.value eq D",
		EnterpriseSchema + `:manager eq "D"`:               "User:manager.value eq D",
		EnterpriseSchema + `:employeeNumber eq 7`:          "User:employeeNumber eq 7",
		`meta.lastModified gt "2027-01-31T12:00:00Z"`:      "meta.lastModified gt 2027-01-31 12:00:00 +0000 UTC",
		`title eq null`:                                    "not title pr", `title ne null`: "title pr",
		`groups.value eq "g"`: "any groups groups.value eq g", `  title   pr  `: "title pr",

		``: "", `title`: "", `title xx "a"`: "", `title eq`: "", `title eq "a`: "", `title eq a`: "", `"a" eq title`: "",
		`title eq "a" and`: "", `(title pr`: "", `title pr)`: "", `not title pr`: "", `nothing eq "a"`: "",
		`password eq "x"`: "", `password sw "x"`: "", `name eq "x"`: "", `name.nothing eq "x"`: "", `active gt true`: "",
		`active eq "yes"`: "", `title gt null`: "", `title eq true`: "", `name[givenName eq "x"]`: "",
		`emails[nothing eq "x"]`: "", `emails[type eq "x"`: "", `emails[emails[type eq "x"]]`: "",
		`emails[type eq "x"].nothing eq "x"`: "", `meta.lastModified gt "yesterday"`: "", `meta.created co "2027"`: "",
		`title eq "a\u0000"`: "", deep: "", `title eq "` + strings.Repeat("x", maxFilter) + `"`: "",
		strings.Repeat(`title pr or `, 150) + `title pr`: "", `urn:acme:2.0:User:a eq "x"`: "",
	} {
		e, err := User.ParseFilter(text)
		if want == "" {
			if typeOf(err) != InvalidFilter {
				t.Errorf("%.100s: %v %v", text, e, err)
			}
			continue
		}
		if err != nil || show(e) != want {
			t.Errorf("%s: %v %v, want %s", text, e, err, want)
		}
	}
}

// SCIM36: no filter and no path panics, and what is understood as a filter is understood in the same way again.
func FuzzSCIM36_Filter(f *testing.F) {
	for _, text := range []string{`userName eq "a"`, `emails[type eq "work" and value co "x"].value eq "y"`,
		`not (active eq false) or name.givenName sw "x"`, EnterpriseSchema + `:department pr`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := User.ParseFilter(text); err == nil {
			again, err := User.ParseFilter(text)
			if err != nil || show(again) != show(e) {
				t.Errorf("%q: %v, and %v %v", text, show(e), again, err)
			}
		}
		_, _ = User.path(text)
		_, _ = Group.path(text)
	})
}

// SCIM36: what a body came to comes to the same when it is sent back, and no PATCH leaves what could not be sent.
func FuzzSCIM36_Body(f *testing.F) {
	f.Add(`{"userName":"u","emails":[{"value":"a","primary":true}],"active":"False"}`,
		`[{"op":"add","path":"emails[type eq \"x\"].value","value":"b"},{"op":"remove","path":"name"}]`)
	f.Add(`{"userName":"u",`+enterprise+`:{"manager":"m"}}`, `[{"op":"replace","value":{"name.givenName":"x","active":true}}]`)
	f.Fuzz(func(t *testing.T, body, ops string) {
		var m map[string]any
		var list []any
		if json.Unmarshal([]byte(body), &m) != nil {
			return
		}
		r, err := User.Read(m)
		if err != nil {
			return
		}
		same := func(r Resource) {
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var back map[string]any
			_ = json.Unmarshal(raw, &back)
			again, err := User.Read(back)
			rawAgain, _ := json.Marshal(again)
			if err != nil || string(raw) != string(rawAgain) {
				t.Errorf("%s, and %s: %v", raw, rawAgain, err)
			}
		}
		same(r)
		if json.Unmarshal([]byte(ops), &list) != nil {
			return
		}
		read, err := ReadPatch(map[string]any{"Operations": list})
		if err != nil {
			return
		}
		if _, err := User.Patch(r, "id", read); err == nil {
			same(r)
		}
	})
}

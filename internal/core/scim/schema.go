package scim

import "strings"

// The schemas (RFC 7643 §8).
const (
	UserSchema       = "urn:ietf:params:scim:schemas:core:2.0:User"
	EnterpriseSchema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	GroupSchema      = "urn:ietf:params:scim:schemas:core:2.0:Group"
)

// Type of an attribute (RFC 7643 §2.3).
type Type string

// The types. The others are strings of a form that nothing here depends on.
const (
	String    Type = "string"
	Boolean   Type = "boolean"
	Complex   Type = "complex"
	Reference Type = "reference"
	DateTime  Type = "dateTime"
	Binary    Type = "binary"
)

// Attribute is one of a schema (RFC 7643 §7), with the defaults of that section for what is empty.
type Attribute struct {
	Name       string
	Type       Type
	Multi      bool
	Required   bool
	CaseExact  bool
	Mutability string // readWrite if empty
	Returned   string // default if empty
	Uniqueness string // none if empty
	Canonical  []string
	Refers     []string
	Sub        []Attribute
	Help       string
}

// Find gives a sub-attribute by its name, in any case.
func (a *Attribute) Find(name string) *Attribute { return find(a.Sub, name) }

func find(list []Attribute, name string) *Attribute {
	for i := range list {
		if strings.EqualFold(list[i].Name, name) {
			return &list[i]
		}
	}
	return nil
}

// Kind is a type of resource: its own schema, and those that extend it.
type Kind struct {
	Name       string // User
	Path       string // /Users
	Schema     string
	Help       string
	Attributes []Attribute
	Extensions []Extension
}

// Extension is a schema beside the core one.
type Extension struct {
	Schema, Name, Help string
	Attributes         []Attribute
}

func (k *Kind) extension(schema string) *Extension {
	for i := range k.Extensions {
		if strings.EqualFold(k.Extensions[i].Schema, schema) {
			return &k.Extensions[i]
		}
	}
	return nil
}

// common are those of every resource (RFC 7643 §3.1).
var common = []Attribute{
	{Name: "id", Type: String, CaseExact: true, Mutability: "readOnly", Returned: "always", Uniqueness: "server"},
	{Name: "externalId", Type: String, CaseExact: true},
	{Name: "meta", Type: Complex, Mutability: "readOnly", Sub: []Attribute{
		{Name: "resourceType", Type: String, CaseExact: true, Mutability: "readOnly"},
		{Name: "created", Type: DateTime, Mutability: "readOnly"},
		{Name: "lastModified", Type: DateTime, Mutability: "readOnly"},
		{Name: "location", Type: Reference, CaseExact: true, Mutability: "readOnly"},
		{Name: "version", Type: String, CaseExact: true, Mutability: "readOnly"},
	}},
}

// attribute finds one of the core schema or of every resource.
func (k *Kind) attribute(name string) *Attribute {
	if a := find(k.Attributes, name); a != nil {
		return a
	}
	return find(common, name)
}

// list is a multi-valued attribute with the sub-attributes of RFC 7643 §2.4.
func list(name, help string, value Type, types ...string) Attribute {
	return Attribute{Name: name, Type: Complex, Multi: true, Help: help, Sub: []Attribute{
		{Name: "value", Type: value, Help: "The value itself."},
		{Name: "display", Type: String, Help: "What people are shown."},
		{Name: "type", Type: String, Canonical: types, Help: "What it is for."},
		{Name: "primary", Type: Boolean, Help: "Whether it is the preferred one."},
	}}
}

func text(name, help string) Attribute { return Attribute{Name: name, Type: String, Help: help} }

// User is RFC 7643 §4.1 with the enterprise extension of §4.3.
var User = &Kind{Name: "User", Path: "/Users", Schema: UserSchema, Help: "User Account", Attributes: []Attribute{
	{Name: "userName", Type: String, Required: true, Uniqueness: "server",
		Help: "By which the directory knows the user."},
	{Name: "name", Type: Complex, Help: "The parts of the name.", Sub: []Attribute{
		text("formatted", "The whole name."), text("familyName", "The family name."),
		text("givenName", "The given name."), text("middleName", "Middle names."),
		text("honorificPrefix", "As in Dr."), text("honorificSuffix", "As in III."),
	}},
	text("displayName", "The name that people are shown."), text("nickName", "How friends say."),
	{Name: "profileUrl", Type: Reference, Refers: []string{"external"}, Help: "A page about the user."},
	text("title", "As in Vice President."), text("userType", "As in Contractor."),
	text("preferredLanguage", "As Accept-Language has it."), text("locale", "For dates and numbers."),
	text("timezone", "As in Europe/Berlin."),
	{Name: "active", Type: Boolean, Help: "Whether the user may sign in."},
	{Name: "password", Type: String, Mutability: "writeOnly", Returned: "never",
		Help: "Never taken: nothing is kept of it."},
	list("emails", "Addresses.", String, "work", "home", "other"),
	list("phoneNumbers", "Telephone numbers.", String, "work", "home", "mobile", "fax", "pager", "other"),
	list("ims", "Instant messaging addresses.", String),
	list("photos", "Pictures.", Reference, "photo", "thumbnail"),
	{Name: "addresses", Type: Complex, Multi: true, Help: "Postal addresses.", Sub: []Attribute{
		text("formatted", "The whole address."), text("streetAddress", "Street and number."),
		text("locality", "The city."), text("region", "The state."),
		text("postalCode", "The postal code."), text("country", "The country."),
		{Name: "type", Type: String, Canonical: []string{"work", "home", "other"}, Help: "What it is for."},
		{Name: "primary", Type: Boolean, Help: "Whether it is the preferred one."},
	}},
	{Name: "groups", Type: Complex, Multi: true, Mutability: "readOnly", Help: "The groups the user is in.",
		Sub: []Attribute{
			{Name: "value", Type: String, CaseExact: true, Mutability: "readOnly", Help: "The id of the group."},
			{Name: "$ref", Type: Reference, Refers: []string{"Group"}, Mutability: "readOnly", Help: "Where it is."},
			{Name: "display", Type: String, Mutability: "readOnly", Help: "Its name."},
			{Name: "type", Type: String, Mutability: "readOnly", Canonical: []string{"direct"}, Help: "Always direct."},
		}},
	list("entitlements", "What the user is entitled to.", String),
	list("roles", "Roles, as the directory calls them.", String),
	list("x509Certificates", "Certificates.", Binary),
}, Extensions: []Extension{{Schema: EnterpriseSchema, Name: "EnterpriseUser", Help: "Enterprise User",
	Attributes: []Attribute{
		text("employeeNumber", "The number that the company gave."), text("costCenter", "The cost center."),
		text("organization", "The organization."), text("division", "The division."),
		text("department", "The department."),
		{Name: "manager", Type: Complex, Help: "Whom the user reports to.", Sub: []Attribute{
			{Name: "value", Type: String, CaseExact: true, Help: "Their id."},
			{Name: "$ref", Type: Reference, Refers: []string{"User"}, Help: "Where they are."},
			{Name: "displayName", Type: String, Mutability: "readOnly", Help: "Their name."},
		}},
	}}}}

// Group is RFC 7643 §4.2.
var Group = &Kind{Name: "Group", Path: "/Groups", Schema: GroupSchema, Help: "Group", Attributes: []Attribute{
	{Name: "displayName", Type: String, Required: true, Help: "The name of the group."},
	{Name: "members", Type: Complex, Multi: true, Help: "Who is in it.", Sub: []Attribute{
		{Name: "value", Type: String, CaseExact: true, Mutability: "immutable", Help: "The id of the member."},
		{Name: "$ref", Type: Reference, Refers: []string{"User"}, Mutability: "immutable", Help: "Where it is."},
		{Name: "type", Type: String, Canonical: []string{"User"}, Mutability: "immutable", Help: "Always User."},
		{Name: "display", Type: String, Mutability: "readOnly", Help: "Its name."},
	}},
}}

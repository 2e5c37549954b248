package scim

import "cmp"

// Describe gives a schema as /Schemas has it (RFC 7643 §7); nil: there is no such schema.
func Describe(schema string) map[string]any {
	for _, k := range []*Kind{User, Group} {
		if k.Schema == schema {
			return described(k.Schema, k.Name, k.Help, k.Attributes)
		}
		for _, x := range k.Extensions {
			if x.Schema == schema {
				return described(x.Schema, x.Name, x.Help, x.Attributes)
			}
		}
	}
	return nil
}

// Described are the schemas that Describe knows.
var Described = []string{UserSchema, EnterpriseSchema, GroupSchema}

func described(schema, name, help string, attributes []Attribute) map[string]any {
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"}, "id": schema,
		"name": name, "description": help, "attributes": describedAttributes(attributes)}
}

func describedAttributes(list []Attribute) []any {
	out := make([]any, len(list))
	for i, a := range list {
		m := map[string]any{"name": a.Name, "type": string(a.Type), "multiValued": a.Multi, "description": a.Help,
			"required": a.Required, "mutability": cmp.Or(a.Mutability, "readWrite"),
			"returned": cmp.Or(a.Returned, "default")}
		if a.Type != Complex && a.Type != Boolean {
			m["caseExact"], m["uniqueness"] = a.CaseExact, cmp.Or(a.Uniqueness, "none")
		}
		if a.Canonical != nil {
			m["canonicalValues"] = a.Canonical
		}
		if a.Refers != nil {
			m["referenceTypes"] = a.Refers
		}
		if a.Sub != nil {
			m["subAttributes"] = describedAttributes(a.Sub)
		}
		out[i] = m
	}
	return out
}

// ResourceType gives a kind as /ResourceTypes has it (RFC 7643 §6).
func (k *Kind) ResourceType() map[string]any {
	extensions := make([]any, len(k.Extensions))
	for i, x := range k.Extensions {
		extensions[i] = map[string]any{"schema": x.Schema, "required": false}
	}
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"}, "id": k.Name,
		"name": k.Name, "endpoint": k.Path, "description": k.Help, "schema": k.Schema, "schemaExtensions": extensions}
}

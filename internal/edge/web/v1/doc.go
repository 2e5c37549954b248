// Package v1 is what the packages that serve /v1 have in common: typed routes, registered through huma, from which the
// OpenAPI document comes; lists and their pages; and the shapes that more than one of them shows. Credential,
// permission and limits are the kit's (edge/web). It knows no rule.
package v1

// Package scim is SCIM 2.0 without a server (RFC 7643, RFC 7644): the schemas, what a directory sends made into the
// form of the schema, filters, paths and PATCH. It takes the odd shapes that directories really send (booleans as text,
// a single value for a list, dotted and colon names as keys) and gives the one form that its sender meant.
package scim

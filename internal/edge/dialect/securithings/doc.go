// Package securithings gives OAuth 2.0 client credentials tokens at an address for each organization, in the form that
// SecuriThings' clients expect: HTTP Basic, and a body that may be empty, JSON or a form. Everything else of OAuth is
// at /oauth2.
package securithings

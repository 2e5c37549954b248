// Package sso is the sign-in through a company's own identity provider, from the address that begins it to the code
// that ends it: it finds the organization and its connection, keeps what a round must hold to, has the provider's
// answer judged (authn/upstream), has the account found or made (domain/connection), and hands the proof over to the
// sign-in machine (authn/login), which asks for the second factor and begins the session. It knows no routes.
package sso

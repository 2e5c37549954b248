// Package signin serves everything under /v1/auth: signing in by password or passkey, the second step, tokens, the
// caller's own sessions, factors and password, and the links that lead to a password. The rules are authn/login's.
package signin

// Package sso serves the addresses of a sign-in through a company's own provider that a browser walks through: where it
// begins, where the provider sends it back to, and where a test begins. What an application asks by itself (the code's
// exchange, discovery) is edge/signin's; what administrators do is edge/api's. No rule lives here.
package sso

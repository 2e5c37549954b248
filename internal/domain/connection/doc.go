// Package connection owns the connections of organizations to their own identity providers (OpenID Connect and SAML),
// the domains that organizations have proven to be theirs, and the identities: which user somebody is who signs in
// there. It decides which account an answer of a provider means and which role it gives; it knows neither the protocols
// nor sessions.
package connection

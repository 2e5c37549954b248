// Package authn is the one place where a credential becomes a Principal. It reads exactly one credential from a
// request, names its kind from its own shape, asks that kind's one verifier, and joins what the credential refers to:
// organization, user, session, role, owner, client. What depends on the request (address, certificate, tenant, limit)
// is judged last. What there is to know of a kind is its row in kinds.go and nowhere else. Inspect tells about a token
// for introspection and revocation. Every failure is a refusal. It knows nothing of routes; who calls it says which
// kinds are accepted there.
package authn

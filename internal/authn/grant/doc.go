// Package grant is the way from a token request to tokens (RFC 6749 §3.2), the same for every endpoint that gives
// tokens to OAuth clients. An endpoint decodes its request; Answer then takes the phases in their order: the client
// proves who it is, the audience is one of ours, the grant's own part is proven, the scope is no more than that gives,
// tokens are made. A grant states its own part only, so that none can forget a phase.
package grant

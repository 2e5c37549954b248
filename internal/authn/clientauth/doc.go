// Package clientauth authenticates OAuth clients where they ask for tokens or about them (RFC 6749 §2.3): by a secret,
// by an assertion that they signed (RFC 7523), or by the certificate of the connection (RFC 8705). It reads the one way
// that a request uses, proves it, and judges where and from where the client asks. What a client may have is the token
// service's to say.
package clientauth

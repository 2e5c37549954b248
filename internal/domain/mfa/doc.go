// Package mfa owns what people prove beside their password: authenticator apps (TOTP, RFC 6238), WebAuthn
// authenticators and passkeys, backup codes, and the devices a user is known on. It enrols, names and removes them, and
// judges proofs. It begins no session and counts no failures: the sign-in machine does, and takes a proof (a time step,
// a code, a signature counter) in the very transaction of what it allows, so that each is accepted once, on whatever
// node.
//
// The methods a user has are also written into the user's own row, in the transaction that changes them: every sign-in
// reads that row anyway.
package mfa

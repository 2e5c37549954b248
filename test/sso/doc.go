// Package sso tests the sign-in through companies' own identity providers from end to end: real servers, real or
// adversary providers, a browser with cookies.
package sso

// Package browser runs what only a browser can: WebAuthn, in headless Chromium with a virtual authenticator (WebAuthn
// §11), and the pages that links lead to.
package browser

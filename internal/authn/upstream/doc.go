// Package upstream speaks to the identity providers of companies: OpenID Connect as a relying party (Entra ID and
// Google Workspace among them) and SAML 2.0 as a service provider. It sends somebody there and judges what comes back;
// every check of an answer is here, in the one place that makes a Person of it. It knows neither accounts nor sessions
// nor routes. Cryptography, JOSE and XML signatures are their libraries'.
package upstream

// Package idptest gives tests the identity providers of companies: real ones, which run beside the test (oidc-provider,
// and for SAML SimpleSAMLphp, Lasso and samlp), and one in Go that can be told to answer wrongly.
package idptest

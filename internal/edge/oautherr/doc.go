// Package oautherr writes failures as RFC 6749 §5.2 has them, for the endpoints that speak OAuth. It knows no endpoint.
package oautherr

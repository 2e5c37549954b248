// Package certfile reads the certificates and keys in PEM that configuration names.
package certfile

// Package bom skips the byte-order mark that some editors put before a text. Nobody sees it, and every parser trips
// over it.
package bom

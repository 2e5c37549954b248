// Package server is the composition root: New builds everything a node is made of from its configuration. The binary
// and the tests use the same one; tests only pass cheaper keys, hashes and another clock.
//
// parts.go is the table of contents: what there is, in the order in which it is built. A part makes its services,
// mounts its routes and hands over its jobs. What every part may do for the whole (remove what expired, write what
// waits, make rows void after a restore) is asked of whoever has the method; see life.go.
package server

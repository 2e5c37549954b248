// Command run runs the tests, part by part, and says at the end how long each part took and which tests were the
// slowest. `make test` runs it with the servers that tests need beside it; `make test-all` adds what takes too long for
// every change.
package main

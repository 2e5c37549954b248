// Package failpoint lets the fault laboratory (test/faults) stop, fail or slow a server at named places, and set its
// clock. It does so only in binaries that are built with the tag faults; in every other build its functions are empty
// and leave no trace, which a test checks.
package failpoint

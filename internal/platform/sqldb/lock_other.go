//go:build !unix

package sqldb

import "context"

// LockShared and LockAlone do nothing where files cannot be locked this way: stop the server before a restore.
func LockShared(string) (release func(), err error) { return func() {}, nil }
func LockAlone(string) (release func(), err error)  { return func() {}, nil }

// lockFile does nothing where files cannot be locked this way: start one process first, then the others.
func lockFile(context.Context, string) (unlock func(), err error) { return func() {}, nil }

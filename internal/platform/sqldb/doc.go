// Package sqldb is the database: SQLite in a file or PostgreSQL behind one address, the same SQL text on both.
//
// It gives three handles and no other. Tenant is for one read inside an organization, Tx for a transaction inside an
// organization, Platform (and PlatformTx) for the few statements that cannot name one: sign-in names, secret digests,
// signing keys, migrations and jobs. On PostgreSQL a handle sets the role and the organization of row-level security in
// the same round trip as its first statement.
//
// A transaction announces what it changes (Tx.Announce); the announcement is committed with the change and delivered to
// every node. Times in the database are Unix milliseconds (Millis). The package knows no table.
package sqldb

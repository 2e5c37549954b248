// Package admin is what an operator does to an installation from its machine: look whether it is sound (Doctor), and
// put a backup in place (RestoreSQLite, Restored). It builds servers, and knows no table.
package admin

// Package search finds people, teams, organizations, clients and credentials by the beginning of a word of theirs. What
// is searched for is compared with terms that are stored beside each of them: each domain says in its find.go what its
// things are found by, and writes the terms where it writes the thing.
package search

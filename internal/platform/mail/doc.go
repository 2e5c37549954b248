// Package mail tells people things by e-mail: links they asked for, and what happened to their account. A mail is
// written into the outbox in the transaction of what it tells, so that it is sent if and only if that was done; a node
// sends what waits there, one node a mail, and tries again until it is accepted or too old. Content is sealed while it
// waits and gone afterwards, since links are secrets.
//
// A mail is sent once, with one exception: a node that dies between the server's acceptance and its own commit leaves a
// mail that another sends again, under the same Message-ID. A reset link that comes twice is better than one that never
// comes.
package mail

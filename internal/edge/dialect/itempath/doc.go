// Package itempath speaks ItemPath's wire format at /api/users: sign-in with a user name, a refresh token that may be
// used again and again, and application tokens without an expiry. It knows paths, field names, dates and the wording of
// errors; who may what, and how long anything lives, is decided behind it.
package itempath

// Package redis is the optional third party between nodes: Redis or Valkey. It keeps facts that another node has read,
// counts limits, and carries announcements quicker than the database does. Nothing is decided by it and nothing is lost
// with it: whatever it does not answer within a few hundredths of a second is asked of the database, and when it fails
// it is left alone for a second before it is tried again.
package redis

// Package scim holds the tests of directories: what others make of the same requests.
package scim

// Package signin walks the sign-in machine at random: every door, every step in any order, several clients, tenants,
// nodes and restarts, and asks after each step whether anybody holds more than they proved.
package signin

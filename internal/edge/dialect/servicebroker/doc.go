// Package servicebroker speaks ServicePower ServiceBroker's wire format at /up/v5: entities (organizations), their
// entity tokens (system access tokens), and access tokens for OAuth clients. It knows paths, field names, the form of
// ids and of errors; who may what is decided behind it.
package servicebroker

// Package easyvista speaks EasyVista Service Manager's wire format at /api/v1/{account}: access tokens of users, and
// the service desk's tickets as requests. It knows paths, field names, the form of lists and of errors; who may what is
// decided behind it.
package easyvista

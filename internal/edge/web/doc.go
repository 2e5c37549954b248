// Package web is the kit every wire protocol is built with: routes that state what they demand, the pipeline before a
// handler (limits, request id, client address, origin, credential, permission), strict JSON, cookies, cursors and
// problem documents. It knows no resource.
package web

// Package oauth speaks the standard protocols: the published signing keys (RFC 7517) for whoever verifies tokens on their own.
package oauth

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/domain/signingkey"
	"gatehouse/internal/edge/web"
)

// Register adds the routes.
func Register(kit *web.Kit, keys *signingkey.Service) {
	cache := fmt.Sprintf("public, max-age=%d", signingkey.JWKSMaxAge/time.Second)
	kit.Handle(web.Route{Method: http.MethodGet, Pattern: "/.well-known/jwks.json", Public: "public keys, for verifying tokens without asking"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			set, err := keys.JWKS()
			if err != nil {
				web.WriteProblem(w, r, err)
				return
			}
			body, err := json.Marshal(set)
			if err != nil {
				web.WriteProblem(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "application/jwk-set+json")
			w.Header().Set("Cache-Control", cache)
			w.Header().Set("Access-Control-Allow-Origin", "*") // public data, for everyone
			w.Header().Del("Access-Control-Allow-Credentials") // and so without credentials
			w.Write(body)
		}))
}

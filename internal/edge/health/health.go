// Package health tells load balancers whether this node lives and whether it should get requests.
package health

import (
	"context"
	"net/http"
	"time"

	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// Check is one thing a ready node needs; nil is well.
type Check struct {
	Name string
	Run  func(ctx context.Context) error
	// Degraded: without it the node still does a part of its work, and no other would do more.
	Degraded bool
}

const timeout = 2 * time.Second

// Register adds /healthz (the process answers) and /readyz (everything it needs does).
func Register(kit *web.Kit, checks []Check) {
	kit.Handle(web.Route{Method: http.MethodGet, Pattern: "/healthz", Public: "a load balancer has no credential"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"status":"ok"}`))
		}))
	kit.Handle(web.Route{Method: http.MethodGet, Pattern: "/readyz", Public: "a load balancer has no credential"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), timeout)
			defer cancel()
			status, body := http.StatusOK, struct {
				Status string            `json:"status"`
				Checks map[string]string `json:"checks"`
			}{"ok", make(map[string]string)}
			for _, c := range checks {
				body.Checks[c.Name] = "ok"
				if c.Run(ctx) == nil { // why not is in the log and the metrics, not for everyone
					continue
				}
				body.Checks[c.Name] = "failing"
				if !c.Degraded {
					body.Status, status = "unavailable", http.StatusServiceUnavailable
				} else if status == http.StatusOK {
					body.Status = "degraded"
				}
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			web.EncodeJSON(w, body)
		}))
}

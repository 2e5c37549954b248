package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	uploadTimeout = 10 * time.Second
	uploadTries   = 3
	maxPause      = 30 * time.Second // that a collector may ask for
	uploadPause   = time.Second      // before the second try; twice as long before each further one
)

// otlpHTTP sends spans in protobuf over HTTP (OTLP 1.0, "OTLP/HTTP"). The library's own client for it brings gRPC and a
// gateway along, a hundred packages that nothing here calls.
type otlpHTTP struct {
	endpoint string
	headers  http.Header
	client   *http.Client
}

// newOTLP reads further headers, such as a collector's key, from the variables that the OpenTelemetry specification
// names.
func newOTLP(endpoint string) (*otlpHTTP, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces" // where OTLP over HTTP is by default
	}
	c := &otlpHTTP{endpoint: u.String(), headers: http.Header{}, client: &http.Client{Timeout: uploadTimeout}}
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for pair := range strings.SplitSeq(os.Getenv(variable), ",") {
			if strings.TrimSpace(pair) == "" {
				continue
			}
			name, value, ok := strings.Cut(pair, "=")
			plain, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || err != nil {
				return nil, fmt.Errorf("tracing: %s must be name=value, percent-encoded, separated by commas", variable)
			}
			c.headers.Set(strings.TrimSpace(name), plain)
		}
	}
	c.headers.Set("Content-Type", "application/x-protobuf")
	return c, nil
}

// Start has nothing to do: connections are made as they are needed.
func (c *otlpHTTP) Start(context.Context) error { return nil }

// Stop lets the connections go.
func (c *otlpHTTP) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces sends one batch. A collector that is busy is asked again; a batch that it refuses is lost, and told.
func (c *otlpHTTP) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// A request for an export has the same one field as TracesData, and lives in a package that brings gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	pause := uploadPause
	for try := 1; ; try++ {
		wait, again, err := c.post(ctx, body)
		if err == nil || !again || try == uploadTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(pause, wait)):
			pause *= 2
		}
	}
}

// post tells whether another try may succeed where this one failed, and when the collector wants it (0: it does not
// say).
func (c *otlpHTTP) post(ctx context.Context, body []byte) (wait time.Duration, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, false, fmt.Errorf("tracing: %w", err)
	}
	r.Header = c.headers.Clone()
	res, err := c.client.Do(r)
	if err != nil {
		return 0, true, fmt.Errorf("tracing: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)); err != nil {
		return 0, true, fmt.Errorf("tracing: %w", err)
	}
	if res.StatusCode/100 == 2 {
		return 0, false, nil
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		wait = min(time.Duration(seconds)*time.Second, maxPause)
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return wait, again, fmt.Errorf("tracing: the collector answers %s", res.Status)
}

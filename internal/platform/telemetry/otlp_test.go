package telemetry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// F5: spans arrive as the protocol has them, with the headers that the environment names; a busy collector is asked
// again, one that refuses is not.
func TestF5_OTLP(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int
		tries   int64
		good    bool
	}{
		"taken":          {[]int{200}, 1, true},
		"busy once":      {[]int{503, 200}, 2, true},
		"refused":        {[]int{400}, 1, false},
		"not authorized": {[]int{401}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b, x-other=c")
			var tries atomic.Int64
			collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := tries.Add(1)
				body, _ := io.ReadAll(r.Body)
				var got tracepb.TracesData
				if err := proto.Unmarshal(body, &got); err != nil || got.ResourceSpans[0].SchemaUrl != "s" {
					t.Errorf("%v: %v", err, &got)
				}
				if r.URL.Path != "/v1/traces" || r.Header.Get("X-Key") != "a b" || r.Header.Get("X-Other") != "c" ||
					r.Header.Get("Content-Type") != "application/x-protobuf" {
					t.Errorf("%s %v", r.URL, r.Header)
				}
				w.WriteHeader(c.answers[n-1])
			}))
			defer collector.Close()
			client, err := newOTLP(collector.URL)
			if err != nil {
				t.Fatal(err)
			}
			err = client.UploadTraces(t.Context(),
				[]*tracepb.ResourceSpans{{SchemaUrl: "s", ScopeSpans: []*tracepb.ScopeSpans{
					{Scope: &commonpb.InstrumentationScope{Name: "x"}}}}})
			if (err == nil) != c.good || tries.Load() != c.tries {
				t.Errorf("%v after %d tries", err, tries.Load())
			}
		})
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "no-value")
	if _, err := newOTLP("http://127.0.0.1:4318"); err == nil || !strings.Contains(err.Error(), "HEADERS must be") {
		t.Errorf("%v", err)
	}
}

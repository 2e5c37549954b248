package v1

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/edge/web"
)

// huma asks one global function for its own errors; ours maps them to problem documents.
func init() {
	huma.NewErrorWithContext = func(c huma.Context, status int, message string, errs ...error) huma.StatusError {
		ctx := context.Background()
		if c != nil {
			ctx = c.Context()
		}
		return web.NewProblem(ctx, fromHuma(status, message, errs))
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return web.NewProblem(context.Background(), fromHuma(status, message, errs))
	}
}

func fromHuma(status int, message string, errs []error) error {
	var fields []fault.Field
	for _, e := range errs {
		if f := fault.Of(e); f.Kind != fault.Internal {
			if f.Kind != fault.Invalid {
				return f
			}
			fields = append(fields, f.Fields...)
			continue
		}
		if d, ok := e.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			fields = append(fields, fieldOf(detail))
		}
	}
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return fault.New(fault.TooLarge, fault.CodeTooLarge, "The body is too large.")
	case status == http.StatusUnsupportedMediaType:
		return fault.New(fault.UnsupportedMedia, fault.CodeUnsupportedMedia, "Send the body as application/json.")
	case status == http.StatusRequestTimeout:
		return fault.Invalidf("body", "did not arrive in time")
	case status >= 500:
		for _, e := range errs {
			return e
		}
		return fmt.Errorf("huma: %s", message)
	case len(fields) == 0:
		return fault.Invalidf("body", "%s", message)
	}
	return fault.InvalidFields(fields)
}

// missing is huma's message for a property that is not there; its location is only that of the object around it.
var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

func fieldOf(d *huma.ErrorDetail) fault.Field {
	if m := missing.FindStringSubmatch(d.Message); m != nil {
		return fault.Field{Field: fieldName(d.Location + "." + m[1]), Message: "is required"}
	}
	return fault.Field{Field: fieldName(d.Location), Message: d.Message}
}

// fieldName turns huma's "body.name" into the caller's own name for it.
func fieldName(location string) string {
	for _, prefix := range []string{"body.", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(location, prefix); ok {
			return rest
		}
	}
	return location
}

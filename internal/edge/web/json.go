package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/moment"
)

// maxDepth is how deeply JSON may be nested.
const maxDepth = 32

// times reads every time in a body, so that no field takes year 1 for none.
var times = json.UnmarshalFunc(func(raw []byte, t *time.Time) (err error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	*t, err = moment.Parse(text)
	return err
})

// DecodeJSON reads one JSON value strictly: names match by case, none repeats, nothing follows, nesting is bounded and
// text is UTF-8. The error names no content.
func DecodeJSON(data []byte, v any) error { return decodeJSON(data, v) }

func decodeJSON(data []byte, v any, options ...json.Options) error {
	if depth(data) > maxDepth {
		return fault.Invalidf("body", "is nested more than %d deep", maxDepth)
	}
	if hasNUL(data) {
		return fault.Invalidf("body", "has a NUL character in a text")
	}
	err := json.Unmarshal(data, v, append(options, json.WithUnmarshalers(times))...)
	if err == nil {
		return nil
	}
	where := "body"
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntactic):
		if p := syntactic.JSONPointer; p != "" {
			where = "body" + string(p)
		}
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fault.Invalidf(where, "is given twice")
		}
		return fault.Invalidf(where, "is not valid JSON at byte %d", syntactic.ByteOffset)
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return fault.Invalidf("body"+string(semantic.JSONPointer), "is not known here")
	case errors.Is(err, moment.ErrRange) && errors.As(err, &semantic):
		return fault.Invalidf("body"+string(semantic.JSONPointer), "%v", moment.ErrRange).Because(moment.ErrRange)
	case errors.As(err, &semantic):
		return fault.Invalidf("body"+string(semantic.JSONPointer), "has the wrong type")
	}
	return fault.Invalidf(where, "is not valid JSON")
}

// ReadJSON reads the body of a request as DecodeJSON does; an empty one is an error.
func ReadJSON(r *http.Request, v any) error { return readJSON(r, v) }

func readJSON(r *http.Request, v any, options ...json.Options) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return fault.New(fault.TooLarge, fault.CodeTooLarge,
			fmt.Sprintf("The body may have at most %d bytes.", tooLarge.Limit))
	case err != nil && fault.Of(err).Kind != fault.Internal: // refused at its end
		return err
	case err != nil:
		return fault.Invalidf("body", "could not be read").Because(err)
	case len(bytes.TrimSpace(body)) == 0:
		return fault.Invalidf("body", "is missing: send a JSON object")
	case bytes.TrimSpace(body)[0] != '{':
		return fault.Invalidf("body", "must be a JSON object")
	}
	return decodeJSON(body, v, options...)
}

// ReadExactly is ReadJSON for bodies in which a misspelled member would do harm: unknown ones are refused.
func ReadExactly(r *http.Request, v any) error {
	return readJSON(r, v, json.RejectUnknownMembers(true))
}

// WriteJSON answers with a value.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = EncodeJSON(w, v) // what it makes of our own types always encodes; a caller who is gone needs no answer
}

// hasNUL finds the escape of U+0000, which PostgreSQL cannot keep in a text.
func hasNUL(data []byte) bool {
	for rest := data; ; {
		i := bytes.Index(rest, []byte(`\u0000`))
		if i < 0 {
			return false
		}
		slashes := 0
		for k := i - 1; k >= 0 && rest[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return true
		}
		rest = rest[i+1:]
	}
}

// depth counts how deeply brackets nest, outside strings, before anything is built from them.
func depth(data []byte) int {
	deepest, now, inString, escaped := 0, 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if now++; now > deepest {
				deepest = now
			}
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is the largest buffer that is used again.
const maxKept = 64 << 10

// EncodeJSON writes a value in one piece; nil lists become [].
func EncodeJSON(w io.Writer, v any) error {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	defer func() {
		if b.Cap() <= maxKept {
			clear(b.Bytes()) // a secret need not stay here
			buffers.Put(b)
		}
	}()
	if err := json.MarshalWrite(b, v, jsontext.AllowInvalidUTF8(true)); err != nil {
		// text of an old row may be anything; it is shown with replacement characters
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

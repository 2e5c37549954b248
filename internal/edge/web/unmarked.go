package web

import (
	"bytes"
	"errors"
	"io"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
)

// unmarked is a body without the byte-order mark that may stand before it: JSON may be read so (RFC 8259 §8.1), and the
// first name of a form would have a character that nobody sees.
type unmarked struct {
	io.ReadCloser
	rest io.Reader // nil before the first byte
}

func (u *unmarked) Read(p []byte) (int, error) {
	if u.rest == nil {
		head := make([]byte, len(bom.Mark))
		n, err := io.ReadFull(u.ReadCloser, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		u.rest = io.MultiReader(bytes.NewReader(bom.Skip(head[:n])), u.ReadCloser)
	}
	return u.rest.Read(p)
}

package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// Cursors makes and reads the opaque positions of lists. One is bound to its list, organization and filters, and bears
// a MAC.
type Cursors struct{ key []byte }

// NewCursors takes the key of the MACs.
func NewCursors(key []byte) Cursors { return Cursors{key} }

const macBytes = 16

// maxCursor is the longest cursor that is looked at.
const maxCursor = 256

func (c Cursors) mac(position string, scope []string) []byte {
	m := hmac.New(sha256.New, c.key)
	for _, part := range append([]string{position}, scope...) { // length-prefixed: no two lists of parts look alike
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		m.Write([]byte(part))
	}
	return m.Sum(nil)[:macBytes]
}

// Encode gives the cursor of a position in the list that scope describes.
func (c Cursors) Encode(position string, scope ...string) string {
	return base64.RawURLEncoding.EncodeToString(append(c.mac(position, scope), position...))
}

// Decode gives the position back; an empty cursor is the beginning.
func (c Cursors) Decode(cursor string, scope ...string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	wrong := fault.Invalidf("cursor", "is not one that this list gave; use the last answer's cursor unchanged, with "+
		"the same filters")
	if len(cursor) > maxCursor {
		return "", wrong
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) <= macBytes || base64.RawURLEncoding.EncodeToString(raw) != cursor {
		// the decoder skips line breaks
		return "", wrong
	}
	position := string(raw[macBytes:])
	if !hmac.Equal(raw[:macBytes], c.mac(position, scope)) {
		return "", wrong
	}
	return position, nil
}

package mfa

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"rsc.io/qr"
)

// The parameters that every authenticator app understands (RFC 6238, and RFC 4226 §4 for the size of the seed).
const (
	seedBytes  = 20
	codeDigits = 6
	Period     = 30 * time.Second
	// driftSteps is how many steps back a code is taken: the one before, for a clock that is slow or a person who is.
	driftSteps = 1
)

// App is what an authenticator app is told.
type App struct {
	Secret string // base32
	URI    string // otpauth
	SVG    string
	PNG    []byte
}

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// newApp makes a seed and the ways of handing it over.
func newApp(issuer, account string) (*App, []byte, error) {
	seed := make([]byte, seedBytes)
	rand.Read(seed)
	a := &App{Secret: base32Plain.EncodeToString(seed)}
	issuer = cut(strings.ReplaceAll(issuer, ":", " "), maxIssuerBytes) // the colon parts issuer and account
	a.URI = "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?secret=" + a.Secret +
		"&issuer=" + url.QueryEscape(issuer) +
		fmt.Sprintf("&algorithm=SHA1&digits=%d&period=%d", codeDigits, int(Period.Seconds()))
	a.URI = strings.ReplaceAll(a.URI, "+", "%20") // apps read the query as a URI, not as a form
	code, err := qr.Encode(a.URI, qr.L)
	if err != nil {
		return nil, nil, fmt.Errorf("second factor: QR code: %w", err)
	}
	code.Scale = 6
	a.PNG, a.SVG = code.PNG(), svg(code)
	return a, seed, nil
}

// maxIssuerBytes keeps the QR code one that cameras read.
const maxIssuerBytes = 90

// cut shortens a text to whole characters.
func cut(s string, most int) string {
	for len(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// quietZone is the margin a scanner needs, in modules (ISO/IEC 18004).
const quietZone = 4

func svg(c *qr.Code) string {
	var b bytes.Buffer
	size := c.Size + 2*quietZone
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, size, size, size, size)
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			if !c.Black(x, y) {
				continue
			}
			from := x
			for x < c.Size && c.Black(x, y) {
				x++
			}
			fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, x-from, x-from)
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String()
}

// matchStep tells which time step a code is of: the present one or the one before, and later than the last that was
// accepted. All of them are compared, whatever the outcome.
func matchStep(seed []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	if len(code) != codeDigits {
		return 0, false
	}
	secret := base32Plain.EncodeToString(seed)
	current := now.Unix() / int64(Period.Seconds())
	for back := range int64(driftSteps + 1) {
		candidate := current - back
		want, err := totp.GenerateCodeCustom(secret, time.Unix(candidate*int64(Period.Seconds()), 0),
			totp.ValidateOpts{Period: uint(Period.Seconds()), Digits: codeDigits, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && candidate > last && !ok {
			step, ok = candidate, true
		}
	}
	return step, ok
}

package secret

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// Mark is the recognisable form of a kind of long-lived secret: a prefix that a scanner finds in a leak, random hex
// digits, and a checksum that tells a garbled value from an unknown one without asking anybody. The checksum is no
// secret and proves nothing.
type Mark struct {
	Prefix  string // ends with an underscore
	Stamped bool   // ten digits of Unix seconds stand before the random part
}

const (
	markRandomBytes = 24 // 192 random bits
	stampDigits     = 10
	checksumDigits  = 8
)

// New makes a value.
func (m Mark) New(now time.Time) Secret {
	var b strings.Builder
	b.WriteString(m.Prefix)
	if m.Stamped {
		fmt.Fprintf(&b, "%0*d", stampDigits, now.Unix())
	}
	random := make([]byte, markRandomBytes)
	rand.Read(random) // never fails (crypto/rand, Go 1.24)
	b.WriteString(hex.EncodeToString(random))
	return Secret{b.String() + "_" + checksum(b.String())}
}

func checksum(s string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s))) }

// Matches tells whether a value has exactly the form that New gives: prefix, length, lower-case digits, checksum.
func (m Mark) Matches(value string) bool {
	rest, ok := strings.CutPrefix(value, m.Prefix)
	want := 2*markRandomBytes + 1 + checksumDigits
	if m.Stamped {
		want += stampDigits
	}
	if !ok || len(rest) != want {
		return false
	}
	digits := len(rest) - 1 - checksumDigits
	for i := range digits {
		c := rest[i]
		if decimal := '0' <= c && c <= '9'; !decimal && (c < 'a' || c > 'f' || m.Stamped && i < stampDigits) {
			return false
		}
	}
	if rest[digits] != '_' {
		return false
	}
	crc := crc32.ChecksumIEEE([]byte(value[:len(m.Prefix)+digits]))
	for i := range checksumDigits {
		if rest[digits+1+i] != "0123456789abcdef"[crc>>(28-4*i)&0xf] {
			return false
		}
	}
	return true
}

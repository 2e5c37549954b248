// Package password hashes and judges the passwords people choose: argon2id in PHC strings, NFC, never cut (NIST SP
// 800-63B-4 §3.1.1). It is pure; how many hashes may run at once is decided by whoever calls it.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Params are the costs of argon2id (RFC 9106).
type Params struct {
	MemoryKiB   uint32
	Iterations  uint32
	Parallelism uint8
}

// Default is OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
var Default = Params{MemoryKiB: 19 * 1024, Iterations: 2, Parallelism: 1}

// The most a stored hash may ask for, so that a row planted in the database cannot exhaust the machine.
const (
	maxMemoryKiB   = 256 * 1024
	maxIterations  = 16
	maxParallelism = 8
	saltBytes      = 16
	keyBytes       = 32
)

// MaxBytes is the longest input that is looked at: 256 characters, each in its most decomposed form.
const MaxBytes = 4096

// ErrTooLong means that the input is refused before any work.
var ErrTooLong = errors.New("password: longer than 4096 bytes")

// Hash makes a PHC string with a fresh salt.
func Hash(plain string, p Params) (string, error) {
	if len(plain) > MaxBytes {
		return "", ErrTooLong
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	key := argon2.IDKey(norm.NFC.Bytes([]byte(plain)), salt, p.Iterations, p.MemoryKiB, p.Parallelism, keyBytes)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.MemoryKiB, p.Iterations, p.Parallelism,
		b64(salt), b64(key)), nil
}

// Verify tells whether plain is the password of a PHC string, and with which costs it was made.
func Verify(plain, encoded string) (ok bool, p Params, err error) {
	if len(plain) > MaxBytes {
		return false, p, ErrTooLong
	}
	p, salt, key, err := parse(encoded)
	if err != nil {
		return false, p, err
	}
	got := argon2.IDKey(norm.NFC.Bytes([]byte(plain)), salt, p.Iterations, p.MemoryKiB, p.Parallelism, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, p, nil
}

func parse(encoded string) (p Params, salt, key []byte, err error) {
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, errors.New("password: stored hash is not argon2id version 19")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.MemoryKiB, &p.Iterations, &p.Parallelism); err != nil {
		return p, nil, nil, errors.New("password: stored hash has unreadable costs")
	}
	if p.MemoryKiB < 8 || p.Iterations < 1 || p.Parallelism < 1 || p.MemoryKiB > maxMemoryKiB ||
		p.Iterations > maxIterations || p.Parallelism > maxParallelism {
		return p, nil, nil, errors.New("password: stored hash asks for costs out of bounds")
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(key) < 16 || len(key) > 64 {
		return p, nil, nil, errors.New("password: stored hash has an unreadable salt or key")
	}
	return p, salt, key, nil
}

// Weaker tells whether hashes made with p should be made again with q.
func (p Params) Weaker(q Params) bool {
	return p.MemoryKiB < q.MemoryKiB || p.Iterations < q.Iterations
}

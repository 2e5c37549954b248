package jwt

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// A8: the same key, type and payload sign to the same bytes, which the refresh overlap relies on.
func TestSignIsDeterministic(t *testing.T) {
	t.Parallel()
	key := PrivateKey{ID: "k", Algorithm: RS256, Signer: testKey()}
	a, err1 := Sign(key, TypeRefresh, []byte(`{"a":1}`))
	b, err2 := Sign(key, TypeRefresh, []byte(`{"a":1}`))
	if err1 != nil || err2 != nil || a != b {
		t.Errorf("%v %v %v", err1, err2, a == b)
	}
	h, err := ReadHeader(a)
	if err != nil || h != (Header{RS256, "k", TypeRefresh}) {
		t.Errorf("%+v, %v", h, err)
	}
	payload, err := Verify(a, PublicKey{"k", RS256, &testKey().PublicKey})
	if err != nil || !bytes.Equal(payload, []byte(`{"a":1}`)) {
		t.Errorf("%s, %v", payload, err)
	}
}

// ATK33: the last character of a signature of 256 bytes says four bits too many; a decoder may skip them, so four
// spellings would be one token.
func TestATK33_OneSpelling(t *testing.T) {
	t.Parallel()
	token, err := Sign(PrivateKey{ID: "k", Algorithm: RS256, Signer: testKey()}, TypeAccess, []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, last := range alphabet {
		altered := token[:len(token)-1] + string(last)
		if _, err := Verify(altered, PublicKey{"k", RS256, &testKey().PublicKey}); (err == nil) != (altered == token) {
			t.Errorf("…%s for …%s: %v", altered[len(altered)-3:], token[len(token)-3:], err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	good := Registered{Issuer: "i", Subject: "s", Audience: "a", IssuedAt: 999_999, NotBefore: 999_999,
		Expires: 1_000_001, ID: "j"}
	for _, c := range []struct {
		name   string
		change func(r *Registered)
		want   error
	}{
		{"good", func(*Registered) {}, nil},
		{"expires this second", func(r *Registered) { r.Expires = 1_000_000 }, ErrExpired},
		{"never expires", func(r *Registered) { r.Expires = 0 }, ErrExpired},
		{"expired long ago", func(r *Registered) { r.Expires = -5 }, ErrExpired},
		{"not before, within leeway", func(r *Registered) { r.NotBefore = 1_000_005 }, nil},
		{"not before, beyond it", func(r *Registered) { r.NotBefore = 1_000_006 }, ErrNotYetValid},
		{"issued in the future", func(r *Registered) { r.IssuedAt = 1_000_006 }, ErrNotYetValid},
		{"issuer", func(r *Registered) { r.Issuer = "I" }, ErrWrongPlace},
		{"audience", func(r *Registered) { r.Audience = "" }, ErrWrongPlace},
		{"subject", func(r *Registered) { r.Subject = "" }, ErrWrongPlace},
		{"id", func(r *Registered) { r.ID = "" }, ErrWrongPlace},
	} {
		r := good
		c.change(&r)
		if err := r.Check(now, "i", "a"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// ATK39, ATK40: whatever comes, the reader answers at once, without a panic, and what it accepts is a plain compact
// JWS.
func FuzzReadHeader(f *testing.F) {
	good, err := Sign(PrivateKey{ID: "k", Algorithm: RS256, Signer: testKey()}, TypeAccess, []byte(`{}`))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, "", ".", "..", "...", strings.Repeat(".", 1000), "e30.e30.",
		"eyJhbGciOiJub25lIn0.e30.", good + ".", "a." + good} {
		f.Add(seed)
	}
	public := PublicKey{"k", RS256, &testKey().PublicKey}
	f.Fuzz(func(t *testing.T, token string) {
		h, err := ReadHeader(token)
		payload, verr := Verify(token, public)
		if err != nil {
			return
		}
		if len(token) > maxTokenBytes || strings.Count(token, ".") != 2 || h.Algorithm == "" || h.KeyID == "" ||
			h.Type == "" {
			t.Errorf("accepted %q as %+v", token, h)
		}
		if verr == nil && token != good {
			t.Errorf("verified a token that was never signed: %q → %s", token, payload)
		}
	})
}

package keyring

import (
	"bytes"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
)

// G4: sealed values open only in their place and unaltered; a new key in front opens the old values and changes no
// derived key.
func TestG4_SealAndRotate(t *testing.T) {
	t.Parallel()
	first, second := Generate(), Generate()
	before, err := New([]secret.Secret{first})
	if err != nil {
		t.Fatal(err)
	}
	sealed := before.Seal([]byte("private"), "signing_keys/a")
	after, err := New([]secret.Secret{second, first})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := after.Open(sealed, "signing_keys/a"); err != nil || !bytes.Equal(plain, []byte("private")) {
		t.Errorf("%q, %v", plain, err)
	}
	if !bytes.Equal(before.Subkey("x"), after.Subkey("x")) || bytes.Equal(after.Subkey("x"), after.Subkey("y")) {
		t.Error("derived keys")
	}
	fresh := after.Seal([]byte("private"), "signing_keys/a")
	if _, err := before.Open(fresh, "signing_keys/a"); err == nil {
		t.Error("the former key opens what the new one sealed")
	}
	if again := after.Seal([]byte("private"), "signing_keys/a"); again == fresh {
		t.Error("sealed twice to the same text")
	}
	b := []byte(sealed)
	b[len(b)-3] ^= 1
	for name, v := range map[string]string{"altered": string(b), "empty": "", "without key": "abc",
		"unknown key": "00000000." + sealed[9:]} {
		if _, err := after.Open(v, "signing_keys/a"); err == nil {
			t.Errorf("%s opens", name)
		}
	}
	if _, err := after.Open(sealed, "signing_keys/b"); err == nil {
		t.Error("opens in another row")
	}
}

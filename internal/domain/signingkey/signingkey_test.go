package signingkey

import "testing"

// G2: RSA keys of 2048, 3072 and 4096 bits; nothing weaker, nothing odd.
func TestG2_KeySizes(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{0, 512, 1024, 2047, 2049, 8192} {
		if _, err := Generate(bits); err == nil {
			t.Errorf("a key of %d bits was made", bits)
		}
	}
	for _, bits := range []int{2048, 3072} {
		k, err := Generate(bits)
		if err != nil || k.N.BitLen() != bits || k.Validate() != nil {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

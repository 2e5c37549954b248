package password

import (
	"errors"
	"strings"
	"testing"
)

var cheap = Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

// A12: hashes verify what was typed and nothing near it; composed and decomposed characters are one; nothing is cut.
func TestA12_Verify(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255) + "y"
	for _, c := range []struct {
		set, typed string
		ok         bool
	}{
		{"correct horse", "correct horse", true},
		{"correct horse", "Correct horse", false},
		{"correct horse", "correct horse ", false},
		{"correct horse", "correct hors", false},
		{"caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301", true}, // NFC
		{"\u2460", "1", false},                                 // not NFKC
		{long, long[:255] + "z", false},                        // the last byte counts
		{strings.Repeat("a", 72) + "b", strings.Repeat("a", 72) + "c", false},
		{"nul\x00a", "nul\x00b", false},
	} {
		h, err := Hash(c.set, cheap)
		if err != nil {
			t.Fatal(err)
		}
		if ok, p, err := Verify(c.typed, h); ok != c.ok || err != nil || p != cheap {
			t.Errorf("%q against %q: %v, %v, %v", c.typed, c.set, ok, p, err)
		}
	}
	a, _ := Hash("same", cheap)
	b, _ := Hash("same", cheap)
	if a == b {
		t.Error("two hashes of one password are equal: no salt")
	}
}

// ATK58: what is too long is refused before any work, and a planted row cannot ask for more than the bounds.
func TestATK58_Bounds(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", MaxBytes+1)
	if _, err := Hash(huge, cheap); !errors.Is(err, ErrTooLong) {
		t.Errorf("hash: %v", err)
	}
	if _, _, err := Verify(huge, "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"); !errors.Is(err,
		ErrTooLong) {
		t.Errorf("verify: %v", err)
	}
	for _, planted := range []string{
		"", "$", "plain", "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=18$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1000000,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=0,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=1$AA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AA",
		"$argon2id$v=19$m=64,t=1,p=1$!$!",
	} {
		if ok, _, err := Verify("x", planted); ok || err == nil {
			t.Errorf("%q: %v, %v", planted, ok, err)
		}
	}
}

// A12: every listed common password is refused, also hung with digits to reach the length; good ones of any script
// pass.
func TestA12_Policy(t *testing.T) {
	t.Parallel()
	p := Policy{MinLength: MinAlone, ContextWords: []string{"Acme Corp", "acme-corp", "gatehouse", "ana"}}
	loose := Policy{MinLength: 1}
	n := 0
	for word := range dictionary().breached {
		n++
		if len(word) >= 3 && loose.Check(word) == nil {
			t.Errorf("%q passes", word)
		}
	}
	if n < 3000 {
		t.Errorf("only %d common passwords", n)
	}
	for _, bad := range []string{"password1234567", "!!!iloveyou!!!!!", "PASSWORD12345678", "aaaaaaaaaaaaaaa",
		"ababababababababab", "passwordpassword", "abcdefghijklmnop", "qwertyuiopasdfg",
		strings.Repeat("ab c", 64)[:255] + "!", "zyxwvutsrqponmlkj",
		"123456789012345678", "fourteen chars", "acme-corp 2026!!", "gatehouse!123456", "\xff\xfe not utf-8 at all"} {
		if p.Check(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
	for _, good := range []string{"a perfectly fine passphrase", "all lower case words", "739104628350173",
		"пароль для примера", "これは長い合言葉ですからね大丈夫", "🐢🐇🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦",
		strings.Join(examples(t, "good.txt"), " ")[:256]} {
		if err := p.Check(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if err := p.Check(strings.Repeat("ab c", 65)); err == nil {
		t.Error("longer than 256 passes")
	}
}

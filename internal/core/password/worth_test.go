package password

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// examples are the lines of a file in testdata.
func examples(t testing.TB, name string) []string {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

var acme = Policy{MinLength: MinAlone, ContextWords: []string{"Acme Corp", "acme-corp", "gatehouse", "ana"}}

// A12: what people hang together from common words, repetitions, digits, years, rows of keys and known phrases is
// refused, and passphrases, sentences and random characters of any script pass.
func TestA12_WeakAndGood(t *testing.T) {
	t.Parallel()
	weak, good := examples(t, "weak.txt"), examples(t, "good.txt")
	if len(weak) < 300 || len(good) < 300 {
		t.Errorf("only %d weak and %d good examples", len(weak), len(good))
	}
	for _, plain := range weak {
		if utf8.RuneCountInString(plain) < MinAlone {
			t.Errorf("%q is too short to tell anything", plain)
		}
		if acme.Check(plain) == nil {
			t.Errorf("%q passes with %d", plain, worth(fold(plain), acme.ownWords()))
		}
	}
	for _, plain := range good {
		if err := acme.Check(plain); err != nil {
			t.Errorf("%q (%d): %v", plain, worth(fold(plain), acme.ownWords()), err)
		}
	}
}

// A12: where a second factor is always asked for, eight characters that follow from nothing do; words hung with a year
// do not.
func TestA12_WorthBesideASecondFactor(t *testing.T) {
	t.Parallel()
	p := Policy{MinLength: MinWithMFA, ContextWords: acme.ContextWords}
	for _, weak := range []string{
		"password1", "Summer2026", "Summer2026!", "qwerty12", "abcd1234", "1q2w3e4r",
		"letmein2", "Acme2026!", "P@ssw0rd", "abc123xyz", "dragonmonkey", "monkey!monkey", "aaaaaaab", "12344321",
		"John1984", "ana!ana!ana"} {
		if p.Check(weak) == nil {
			t.Errorf("%q passes with %d", weak, worth(fold(weak), p.ownWords()))
		}
	}
	for _, good := range []string{"kX9#mQ2v", "vqkzjwpb", "7hq2-xw9", "73920618", "otter violin", "Bm!4rt,u"} {
		if err := p.Check(good); err != nil {
			t.Errorf("%q (%d): %v", good, worth(fold(good), p.ownWords()), err)
		}
	}
}

// A12: random passwords are hardly ever taken for weak ones.
func TestA12_RandomPasses(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		alphabet string
		length   int
		policy   Policy
		most     int // refused of a thousand
	}{
		{"abcdefghijklmnopqrstuvwxyz", 15, acme, 0},
		{"abcdefghijklmnopqrstuvwxyz0123456789", 15, acme, 0},
		{"0123456789abcdef", 20, acme, 0},
		{"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&()*+,-./:;<=>?@[]^_", 15, acme, 0},
		{"abcdefghijklmnopqrstuvwxyz0123456789!#$%&()*+,-./:;<=>?@[]^_", 10, Policy{MinLength: MinWithMFA}, 2},
		{"0123456789", 20, acme, 10},
	} {
		refused := 0
		for range 1000 {
			var plain strings.Builder
			for range c.length {
				plain.WriteByte(c.alphabet[random.IntN(len(c.alphabet))])
			}
			if err := c.policy.Check(plain.String()); err != nil {
				if refused++; refused > c.most {
					t.Errorf("%q of %q: %v", plain.String(), c.alphabet, err)
				}
			}
		}
	}
}

// BenchmarkCheck judges what people type, and the longest and the most repetitive that is looked at.
func BenchmarkCheck(b *testing.B) {
	for name, plain := range map[string]string{
		"word":      "Summer2026Summer2026!",
		"words":     "brisk otter counts velvet stairs",
		"sentences": strings.Repeat("My grandmother kept bees behind the old railway station. ", 5)[:256],
		"random":    strings.Join(examples(b, "good.txt")[110:125], "")[:256],
		"one":       strings.Repeat("a", 256),
		"wide":      strings.Repeat("\ufdfa", 256), // eighteen characters each, when it is folded
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = acme.Check(plain)
			}
		})
	}
}

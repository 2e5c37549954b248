package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The lengths NIST SP 800-63B-4 §3.1.1.2 asks for, in code points.
const (
	MinAlone   = 15  // the password is the only factor
	MinWithMFA = 8   // a second factor is always asked for
	MaxLength  = 256 // longer is refused, never cut
)

// Policy judges a new password.
type Policy struct {
	MinLength    int
	ContextWords []string // words an attacker of this account would try: organization, product, name, e-mail
}

// Check returns nil, or the one reason why the password is refused, worded for the person who chose it.
func (p Policy) Check(plain string) error {
	if !utf8.ValidString(plain) {
		return fmt.Errorf("must be valid UTF-8")
	}
	plain = norm.NFC.String(plain)
	n := utf8.RuneCountInString(plain)
	switch {
	case n < p.MinLength:
		return fmt.Errorf("must have at least %d characters", p.MinLength)
	case n > MaxLength:
		return fmt.Errorf("must have at most %d characters", MaxLength)
	}
	folded, own := fold(plain), p.ownWords()
	switch {
	case isCommon(folded):
		return fmt.Errorf("is one of the passwords that attackers try first")
	case isMadeOf(folded, own):
		return fmt.Errorf("is little more than the name of the account, the organization or the product")
	case worth(folded, own) < p.leastWorth():
		return fmt.Errorf("is too easy to guess: known words, names, dates, rows of keys and what is said again add " +
			"little; take four words that do not belong together, or random characters")
	}
	return nil
}

// leastWorth is what a password must be worth: three words, or nine characters that follow from nothing. Where a second
// factor is always asked for it is less, as its length is.
func (p Policy) leastWorth() int {
	if p.MinLength < MinAlone {
		return 16
	}
	return 27
}

// fold leaves out what adds nothing: capital letters, accents, and other forms of the same character.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(strings.ToLower(s)))
}

// once is the unit of a text that is one unit repeated, else the text itself. A text is such if it is found inside its
// own double before the end.
func once(s string) string {
	if unit := strings.Index((s + s)[min(1, len(s)):], s) + 1; unit < len(s) {
		return s[:unit]
	}
	return s
}

// ownWords are the context words without signs, and their parts: of "Acme Corp" acmecorp, acme and corp.
func (p Policy) ownWords() []string {
	var words []string
	for _, word := range p.ContextWords {
		parts := strings.FieldsFunc(fold(word), func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		for _, w := range append(parts, strings.Join(parts, "")) {
			if utf8.RuneCountInString(w) >= 4 && !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	return words
}

// isMadeOf tells whether no letter is left of a text when the words are taken out.
func isMadeOf(s string, words []string) bool {
	left := s
	for _, w := range words {
		left = strings.ReplaceAll(left, w, "")
	}
	return left != s && strings.IndexFunc(left, unicode.IsLetter) < 0
}

// isCommon finds a password seen most often in breaches, also when it is repeated or digits and signs are hung on.
func isCommon(s string) bool {
	breached := dictionary().breached
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	for i, word := range words {
		words[i] = once(word)
	}
	if words = slices.Compact(words); len(words) == 1 && len(words[0]) >= 4 {
		if _, ok := breached[words[0]]; ok {
			return true
		}
	}
	_, ok := breached[s]
	return ok
}

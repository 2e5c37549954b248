package password

import (
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/nbutton23/zxcvbn-go/data"
	"golang.org/x/text/unicode/norm"
)

// The lengths NIST SP 800-63B-4 §3.1.1.2 asks for, in code points.
const (
	MinAlone    = 15  // the password is the only factor
	MinWithMFA  = 8   // a second factor is always asked for
	MaxLength   = 256 // longer is refused, never cut
	minDistinct = 3   // fewer distinct characters than this is no password
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
	folded := strings.ToLower(plain)
	switch {
	case isCommon(folded):
		return fmt.Errorf("is one of the passwords that attackers try first")
	case distinct(folded) < minDistinct:
		return fmt.Errorf("repeats the same few characters")
	case isRepeated(folded):
		return fmt.Errorf("is a short text repeated")
	case isRun(folded):
		return fmt.Errorf("is a row of neighbouring characters")
	}
	for _, word := range p.ContextWords {
		if w := strings.ToLower(norm.NFC.String(word)); utf8.RuneCountInString(w) >= 4 && onlyDecorates(folded, w) {
			return fmt.Errorf("is little more than the name of the account, the organization or the product")
		}
	}
	return nil
}

// common is the list of passwords seen most often in breaches. Only the list is read, on first use: the estimator's own
// package would parse five dictionaries at every start.
var common = sync.OnceValue(func() map[string]struct{} {
	raw, err := data.Asset("data/Passwords.json")
	if err != nil {
		panic(err) // it is compiled in
	}
	var file struct{ List []string }
	if err := json.Unmarshal(raw, &file, json.MatchCaseInsensitiveNames(true)); err != nil || len(file.List) == 0 {
		panic(fmt.Sprintf("password: the embedded list is unreadable: %v", err))
	}
	set := make(map[string]struct{}, len(file.List))
	for _, word := range file.List {
		set[strings.ToLower(word)] = struct{}{}
	}
	return set
})

// isCommon finds a listed password, also when digits or signs are hung on to reach the length.
func isCommon(s string) bool {
	if _, ok := common()[s]; ok {
		return true
	}
	bare := strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	_, ok := common()[bare]
	return ok && bare != "" && len(bare) < len(s)
}

func distinct(s string) int {
	seen := make(map[rune]struct{})
	for _, r := range s {
		seen[r] = struct{}{}
	}
	return len(seen)
}

func isRepeated(s string) bool {
	for unit := 1; unit <= len(s)/2; unit++ {
		if len(s)%unit == 0 && strings.Repeat(s[:unit], len(s)/unit) == s {
			return true
		}
	}
	return false
}

var rows = []string{"abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm",
	"1234567890qwertyuiop"}

func isRun(s string) bool {
	for _, row := range rows {
		doubled := row + row
		if strings.Contains(doubled, s) || strings.Contains(reversed(doubled), s) {
			return true
		}
	}
	return false
}

func reversed(s string) string {
	b := []rune(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// onlyDecorates tells whether s is the word, perhaps several times, with nothing but digits and signs around it.
func onlyDecorates(s, word string) bool {
	if !strings.Contains(s, word) {
		return false
	}
	return strings.IndexFunc(strings.ReplaceAll(s, word, ""), unicode.IsLetter) < 0
}

package search

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What somebody types finds a text by the beginning of any of its words, whatever the case, the accents and what stands
// between the words; an address is found by its beginning alone.
func TestQuery_Matches(t *testing.T) {
	t.Parallel()
	name := func(s string) Terms { return Terms{}.Words(s) }
	whole := func(s string) Terms { return Terms{}.Whole(s) }
	for _, c := range []struct {
		terms  Terms
		finds  []string
		misses []string
	}{
		{name("Anna-Maria Müller"), []string{"a", "ANNA", "anna m", "anna-maria", "maria  mul", "muller", "MÜLL",
			"Müller", "mu\u0308", "anna.maria.muller"}, []string{"nna", "anna muller", "mariam", "anna-maria müllers"}},
		{whole("Anna.Smith@acme-corp.example"), []string{"anna", "anna.smith@", "anna smith", "ANNA.S",
			"anna.smith@acme-corp.example"}, []string{"smith", "acme", "annasmith"}},
		{name("İstanbul Straße ΑΘΗΝΑ"), []string{"istanbul", "i", "stra", "αθηνα", "straße",
			"STRASSE"}, []string{"tanbul"}},
		{name("Αθηνάς"), []string{"ΑΘΗΝΑΣ", "αθηνας"}, nil},
		{name(strings.Repeat("слово ", 7) + "последнее"), []string{"последнее"}, nil},
		{name("한국어 사전"), []string{"한", "한국", "사전"}, []string{"국"}},
		{name("ｆｕｌｌ ①st"), []string{"full", "1st", "ＦＵＬＬ"}, nil},
		{name("100%_of\\it'; --"), []string{"100", "100%", "of it", "it'"}, []string{"1_0", "f%"}},
		{name("-- 🚀 --"), nil, []string{"a"}},
		{name(strings.Repeat("word ", 20)), []string{"word", "word word word"}, nil},
		{name(strings.Repeat("ä", 300)), []string{"ä", strings.Repeat("ä", 99), strings.Repeat("ä", 400)}, nil},
	} {
		matches := func(text string) bool {
			q, err := Parse(text)
			if err != nil || !q.Any() {
				t.Fatalf("%q: %+v %v", text, q, err)
			}
			return slices.ContainsFunc(c.terms, func(term string) bool { return q.Prefix <= term && term < q.Beyond })
		}
		for _, text := range c.finds {
			if !matches(text) {
				t.Errorf("%q does not find %q", text, c.terms)
			}
		}
		for _, text := range c.misses {
			if matches(text) {
				t.Errorf("%q finds %q", text, c.terms)
			}
		}
		for _, term := range c.terms {
			if len(term) > maxTerm || !utf8.ValidString(term) || strings.TrimSpace(term) != term {
				t.Errorf("a term %q of %d bytes", term, len(term))
			}
		}
		if len(c.terms) > maxWords || !slices.IsSorted(c.terms) {
			t.Errorf("terms %q", c.terms)
		}
	}
}

func TestParse_NothingToLookFor(t *testing.T) {
	t.Parallel()
	if q, err := Parse(""); err != nil || q.Any() {
		t.Errorf("no search: %+v %v", q, err)
	}
	for _, text := range []string{" ", "%", "-_.", "\u0301", "🚀"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "a letter or a digit") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A position leads on behind the term that matched, and without a search is the id.
func TestQuery_Position(t *testing.T) {
	t.Parallel()
	if position := (Query{}).Position("usr_1", ""); position != "usr_1" {
		t.Errorf("without a search: %q", position)
	}
	q, err := Parse("an")
	if err != nil {
		t.Fatal(err)
	}
	next, id := q.After(q.Position("usr_1", "anna"))
	if next.Past != "anna" || id != "usr_1" || next.Prefix != "an" || next.Beyond != q.Beyond {
		t.Errorf("%+v %q", next, id)
	}
	if again, id := q.After(""); again != q || id != "" {
		t.Errorf("the beginning: %+v %q", again, id)
	}
}

// Those of a few whom a search finds come once each, by the first term that matches, and behind a position.
func TestAmong(t *testing.T) {
	t.Parallel()
	names := []string{"Zoe Anna", "Anna Andrews", "Bert", "andrews", "🚀", "Annabel"}
	of := func(i int) (string, Terms) { return string(rune('a' + i)), Terms{}.Words(names[i]) }
	q, err := Parse("an")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"b andrews", "d andrews", "a anna", "f annabel"}
	for size := 1; size <= 5; size++ {
		var got []string
		for next, after := q, ""; ; {
			page := Among(next, after, size, []int{0, 1, 2, 3, 4, 5}, of)
			for _, h := range page {
				id, _ := of(h.V)
				got = append(got, id+" "+h.Term)
				next, after = q.After(q.Position(id, h.Term))
			}
			if len(page) < size {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d at a time: %q, want %q", size, got, want)
		}
	}
}

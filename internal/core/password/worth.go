package password

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/nbutton23/zxcvbn-go/data"
)

// What a piece of a password is worth, in thirds of a letter that follows from nothing. Attackers try whole pieces, so
// a piece that they know counts once, however long it is.
const (
	worthAgain  = 1 // what stands further left already
	worthDigit  = 2
	worthOther  = 3 // a letter or sign
	worthRun    = 3 // a row of the alphabet, of digits or of a keyboard, or one character over and over
	worthWalk   = 6 // neighbouring keys in any direction
	worthOwn    = 3 // a word of the account, the organization or the product
	worthYear   = 3
	worthDate   = 6
	worthTop    = 6 // one of the first passwords of the list of breaches
	worthWord   = 9 // another word or name
	worthPhrase = 9
)

const (
	minPiece    = 3 // shorter pieces are judged by their characters
	minWalk     = 4 // three neighbouring keys are in too many words
	minPhrase   = 6
	maxWord     = 24
	topWords    = 500
	topSurnames = 5000
	maxJudged   = 1024 // bytes; what follows can only add
)

// worth is what the cheapest way to put a folded text together costs, with its spaces and dashes or without them.
func worth(s string, own []string) int {
	s = strings.ToValidUTF8(s[:min(len(s), maxJudged)], "")
	bare := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -_.,", r) {
			return -1
		}
		return r
	}, s)
	if bare == s {
		return cheapest(s, own)
	}
	return min(cheapest(s, own), cheapest(bare, own))
}

// cheapest goes through a text once and keeps, for each place, what the text before it is worth.
func cheapest(s string, own []string) int {
	least := slices.Repeat([]int{worthOther * maxJudged}, len(s)+1)
	least[0] = 0
	readings, keys := readings(s), shifted.Replace(s)
	for i, r := range s {
		size := utf8.RuneLen(r)
		upTo := func(shortest, longest, worth int) {
			for n := shortest; n <= longest; n++ {
				least[i+n] = min(least[i+n], least[i]+worth)
			}
		}
		if unicode.IsDigit(r) {
			upTo(size, size, worthDigit)
		} else {
			upTo(size, size, worthOther)
		}
		upTo(minPiece*size, longest(s[i:], func(piece string) bool {
			return strings.Contains(s[:i+len(piece)-1], piece) // begins further left
		}), worthAgain)
		upTo(minPiece*size, run(keys[i:]), worthRun)
		upTo(minWalk*size, walk(keys[i:]), worthWalk)
		upTo(minPhrase, longest(s[i:], func(piece string) bool {
			return strings.Contains(phrases, piece)
		}), worthPhrase)
		if n, worth := date(s, i); n > 0 {
			upTo(n, n, worth)
		}
		for n := minPiece; n <= min(maxWord, len(s)-i); n++ {
			for _, reading := range readings {
				upTo(n, n, wordWorth(reading(i, i+n), own))
			}
		}
	}
	return least[len(s)]
}

// longest is the length of the longest beginning of s that is known; of a known one each beginning is known.
func longest(s string, known func(string) bool) int {
	return sort.Search(len(s), func(n int) bool { return !known(s[:n+1]) })
}

// readings are the ways to read a part of a text as a word: as it stands, with digits and signs for letters, and from
// right to left.
func readings(s string) []func(from, to int) string {
	var ways []func(from, to int) string
	for _, text := range slices.Compact([]string{s, oneIsI.Replace(s), oneIsL.Replace(s)}) {
		ways = append(ways, func(from, to int) string { return text[from:to] })
	}
	bytes := []byte(s)
	slices.Reverse(bytes)
	back := string(bytes)
	return append(ways, func(from, to int) string { return back[len(s)-to : len(s)-from] })
}

// lookalikes are digits and signs that are often written for a letter; some are written for two.
const lookalikes = "4a@a8b3e6g9g0o5s$s7t+t"

var (
	oneIsI = strings.NewReplacer(strings.Split(lookalikes+"1i!i|i", "")...)
	oneIsL = strings.NewReplacer(strings.Split(lookalikes+"1l!l|l", "")...)
)

var (
	year = regexp.MustCompile(`^(19|20)\d\d$`)
	day  = regexp.MustCompile(`^((19|20)\d\d[01]\d[0-3]\d|[0-3]\d[0-3]\d(19|20)\d\d)$`)
)

// date finds a year or a whole date that stands alone among digits.
func date(s string, from int) (length, worth int) {
	isDigit := func(r rune) bool { return r >= '0' && r <= '9' }
	digits := s[from:]
	if end := strings.IndexFunc(digits, func(r rune) bool { return !isDigit(r) }); end >= 0 {
		digits = digits[:end]
	}
	switch {
	case from > 0 && isDigit(rune(s[from-1])):
		return 0, 0
	case year.MatchString(digits):
		return len(digits), worthYear
	case day.MatchString(digits):
		return len(digits), worthDate
	}
	return 0, 0
}

// shifted gives the digit keys of signs.
var shifted = strings.NewReplacer(strings.Split("!1@2#3$4%5^6&7*8(9)0", "")...)

// keyboards are rows of keys, each row half a key to the right of the one above.
var keyboards = [][]string{
	{"1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"},
	{"1234567890", "qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-"},
	{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn,;:!"},
	{"1234567890", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"},
}

type keys struct{ from, to rune }

// neighbours are the keys beside and below each other. Two digits are none: random ones would be too often.
var neighbours = sync.OnceValue(func() []map[keys]bool {
	var all []map[keys]bool
	for _, rows := range keyboards {
		pairs := make(map[keys]bool)
		for y, row := range rows {
			row := []rune(row)
			var below []rune
			if y+1 < len(rows) {
				below = []rune(rows[y+1])
			}
			for x, key := range row {
				near := []rune{key}
				if x+1 < len(row) && !unicode.IsDigit(key) {
					near = append(near, row[x+1])
				}
				near = append(near, below[min(max(x-1, 0), len(below)):min(x+1, len(below))]...)
				for _, other := range near {
					pairs[keys{key, other}], pairs[keys{other, key}] = true, true
				}
			}
		}
		all = append(all, pairs)
	}
	return all
})

// columns are rows that go down a keyboard, and two rows in turn.
const columns = "q1w2e3r4t5y6u7i8o9p0 a1b2c3d4e5f6g7h8i9j0 1a2b3c4d5e6f7g8h9i0j " +
	"qazwsxedcrfvtgbyhnujmikolp 1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p 147258369 741852963"

// rows are the rows and columns of all keyboards, and the same from right to left.
var rows = sync.OnceValue(func() string {
	all := []rune(columns)
	for _, board := range keyboards {
		all = append(all, []rune(" "+strings.Join(board, " "))...)
	}
	back := slices.Clone(all)
	slices.Reverse(back)
	return string(all) + " " + string(back)
})

// run is the length of the row with which s begins.
func run(s string) int {
	most := longest(s, func(piece string) bool { return strings.Contains(rows(), piece) })
	for step := rune(-1); step <= 1; step++ {
		most = max(most, follows(s, func(k keys) bool { return k.to-k.from == step }))
	}
	return most
}

// walk is the length of the beginning of s that goes from key to neighbouring key.
func walk(s string) int {
	most := 0
	for _, pairs := range neighbours() {
		most = max(most, follows(s, func(k keys) bool { return pairs[k] }))
	}
	return most
}

// follows is the length of the beginning of s in which each character follows from the one before.
func follows(s string, next func(keys) bool) int {
	var before rune
	for i, r := range s {
		if i > 0 && !next(keys{before, r}) {
			return i
		}
		before = r
	}
	return len(s)
}

// words are those of dictionaries, and what one is worth.
type words struct {
	breached map[string]struct{} // passwords seen most often in breaches
	worth    map[string]int8
}

// dictionary is read on first use: the estimator's own package would read its lists at every start.
var dictionary = sync.OnceValue(func() words {
	w := words{breached: make(map[string]struct{}), worth: make(map[string]int8)}
	for i, word := range list("Passwords") {
		w.breached[word] = struct{}{}
		if w.worth[word] = worthWord; i < topWords {
			w.worth[word] = worthTop
		}
	}
	surnames := list("Surnames")
	for _, more := range [][]string{list("English"), list("MaleNames"), list("FemaleNames"), surnames[:topSurnames]} {
		for _, word := range more {
			if _, ok := w.worth[word]; !ok {
				w.worth[word] = worthWord
			}
		}
	}
	return w
})

// list reads one of the estimator's lists, most frequent first.
func list(name string) []string {
	raw, err := data.Asset("data/" + name + ".json")
	if err != nil {
		panic(err) // it is compiled in
	}
	var file struct{ List []string }
	if err := json.Unmarshal(raw, &file, json.MatchCaseInsensitiveNames(true)); err != nil || len(file.List) == 0 {
		panic(fmt.Sprintf("password: the embedded list %s is unreadable: %v", name, err))
	}
	for i, word := range file.List {
		file.List[i] = strings.ToLower(word)
	}
	return file.List
}

// wordWorth is what a word is worth: its letters, if nobody knows it.
func wordWorth(s string, own []string) int {
	if slices.Contains(own, s) {
		return worthOwn
	}
	if worth, ok := dictionary().worth[s]; ok {
		return int(worth)
	}
	return worthOther * len(s)
}

// phrases are known texts, without spaces, and rows of digits that are no neighbours.
const phrases = `
thequickbrownfoxjumpsoverthelazydog
tobeornottobethatisthequestion
correcthorsebatterystaple
maytheforcebewithyou
onceuponatimeinalandfarfaraway
inthebeginninggodcreatedtheheavensandtheearth
itwasthebestoftimesitwastheworstoftimes
itwasabrightcolddayinapril
itwasadarkandstormynight
callmeishmael
loremipsumdolorsitametconsecteturadipiscingelit
openthepodbaydoorshal
winteriscoming
youshallnotpass
oneringtorulethemallonringtofindthem
thereisnospoon
liveforlongandprosper
livelongandprosper
toinfinityandbeyond
illbeback
iamyourfather
lukeiamyourfather
houstonwehaveaproblem
nevergonnagiveyouupnevergonnaletyoudown
allyourbasearebelongtous
hakunamatata
supercalifragilisticexpialidocious
happybirthdaytoyou
merrychristmasandahappynewyear
happynewyear
iloveyousomuch
iloveyouforever
iloveyoutothemoonandback
iloveyoubaby
iloveyoumore
youaremysunshine
twinkletwinklelittlestarhowiwonderwhatyouare
maryhadalittlelamb
ringaroundtherosie
humptydumptysatonawall
heyjudedontmakeitbad
weallliveinayellowsubmarine
imagineallthepeople
wearethechampions
wewillrockyou
highwaytohell
stairwaytoheaven
ourfatherwhoartinheaven
thelordismyshepherdishallnotwant
jesuslovesme
ilovejesus
godisgoodallthetime
godblessamerica
ingodwetrust
wethepeopleoftheunitedstates
fourscoreandsevenyearsago
ihaveadream
ithinkthereforeiam
carpediem
thisismypassword
thisisapassword
thisisasecurepassword
thisisnotapassword
thisisastrongpassword
mypasswordis
mypasswordissecret
mysecretpassword
mysupersecretpassword
averysecretpassword
verysecurepassword
pleaseletmein
letmeinplease
opensesame
changemenow
changethispassword
changeme
defaultpassword
temporarypassword
enterpassword
choosepassword
newpassword
iforgotmypassword
nopassword
passwordispassword
dontknow
whatisthepassword
idontknowmypassword
trustnoone
helloworld
hellohowareyou
goodmorning
goodnight
howmuchwoodwouldawoodchuckchuck
peterpiperpickedapeckofpickledpeppers
shesellsseashellsbytheseashore
franzjagtimkomplettverwahrlostentaxi
ichliebedich
tequieromucho
jetaimebeaucoup
tiamotanto
thelastofus
gameofthrones
lordoftherings
harrypotter
starwars
startrek
spiderman
onetwothreefourfivesixseveneightnineten
mondaytuesdaywednesdaythursdayfridaysaturdaysunday
januaryfebruarymarchaprilmayjunejulyaugustseptemberoctobernovemberdecember
redorangeyellowgreenblueindigoviolet
789456123
159357
357159
13579246810
24681013579
112358132134
314159265358979323846
271828182845904523536
`

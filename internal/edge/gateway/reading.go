package gateway

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// An API may read a path as another than it is written: Express, Rails, Django, Spring, ASP.NET, IIS and databases
// behind them do not tell /admin from /admin/, /Admin, /admin%20, /admin. or /admin.json, some not from /ádmin. A rule
// is found by the path as it is written. Then every other rule is looked at that a reading of the path could reach, and
// if one that would win there needs something else, the request is ambiguous and refused.

// shape is the path of a rule: its names, folded, in their order.
type shape struct {
	names []string // "": a wildcard
	open  bool     // more may follow: {rest...} or a closing slash
	end   bool     // {$}: the path with a closing slash alone
}

// shapeOf reads a pattern that net/http has accepted.
func (r *Rules) shapeOf(pattern string) (s shape) {
	for name := range strings.SplitSeq(pattern[1:], "/") {
		switch {
		case name == "" || strings.HasSuffix(name, "...}"):
			s.open = true
		case name == "{$}":
			s.end = true
		case name[0] == '{':
			s.names = append(s.names, "")
		default:
			if plain, err := url.PathUnescape(name); err == nil {
				name = plain
			}
			s.names = append(s.names, r.fold(name))
		}
	}
	return s
}

// within tells whether every path of s is one of o, with and without a closing slash alike.
func (s shape) within(o shape) bool {
	if len(s.names) < len(o.names) || (len(s.names) > len(o.names) || s.open) && !o.open {
		return false
	}
	for i, name := range o.names {
		if name != "" && name != s.names[i] {
			return false
		}
	}
	return true
}

// outranks tells whether r wins wherever both rules match (net/http: the host first, then the path, then the method).
func (r *Rule) outranks(o *Rule) bool {
	if (r.Host == "") != (o.Host == "") {
		return r.Host != ""
	}
	return r.shape.within(o.shape) && (!o.shape.within(r.shape) || len(r.Methods) > 0 && len(o.Methods) == 0)
}

// concerns tells whether the rule is about such requests, whatever their path.
func (r *Rule) concerns(method, host string) bool {
	return (r.Host == "" || r.host == host) && (len(r.Methods) == 0 || slices.Contains(r.Methods, method) ||
		method == "HEAD" && slices.Contains(r.Methods, "GET"))
}

// needsAs tells whether two rules need the same.
func (r *Rule) needsAs(o *Rule) bool { return r.covers(o) && o.covers(r) }

// covers tells whether whoever passes r passes o too.
func (r *Rule) covers(o *Rule) bool {
	switch {
	case o.Public:
		return true
	case r.Public:
		return false
	case o.Authenticated:
		return true
	case r.Authenticated:
		return false
	}
	return r.want.permission().Includes(o.want.permission())
}

// ambiguous tells whether a request for which a rule was found could be read as one that needs something else.
func (r *Rules) ambiguous(q Request, found *Rule) bool {
	path := q.Path
	closing := len(path) > 1 && path[len(path)-1] == '/'
	if closing {
		path = path[:len(path)-1]
	}
	if path == "/" || !r.crooked && !closing && r.depths>>min(strings.Count(path, "/"), 63)&1 == 0 && simple(path) {
		return false
	}
	var few [16]string // most paths need no more
	names := few[:0]
	for name := range strings.SplitSeq(path[1:], "/") {
		names = append(names, name)
	}
	candidates := r.slashed
	if r.crooked || closing {
		candidates = r.list
	}
	for i, name := range names {
		if plain(name) {
			continue
		}
		if folded := r.fold(name); folded != name {
			names[i] = folded
			if r.names[folded] {
				candidates = r.list
			}
		}
	}
	var stems []string // the last name without its suffix, unless the rule itself names it with one
	last := len(names) - 1
	if named := last < len(found.shape.names) && found.shape.names[last] != ""; !r.suffixes && !named {
		if stems = r.stems(names[last]); len(stems) > 0 {
			candidates = r.list
		}
	}
	for _, other := range candidates {
		if other != found && other.concerns(q.Method, q.Host) && r.reaches(other, names, stems, closing) &&
			!found.outranks(other) && !found.needsAs(other) &&
			// without a closing slash it is asked for as it is written; with one added, less may be needed
			(closing || !other.shape.closing(len(names)) || !found.covers(other)) {
			return true
		}
	}
	return false
}

// closing tells whether a path of so many names is one of the shape only with a closing slash.
func (s shape) closing(names int) bool { return (s.open || s.end) && len(s.names) == names }

// reaches tells whether some reading of a path, which is given by its folded names, is one of the rule.
func (r *Rules) reaches(rule *Rule, names, stems []string, closing bool) bool {
	s := rule.shape
	if len(names) < len(s.names) || len(names) > len(s.names) && !s.open ||
		r.slashes && len(names) == len(s.names) && closing != s.closing(len(names)) {
		return false
	}
	for i, want := range s.names {
		if want != "" && want != names[i] && (i != len(names)-1 || !slices.Contains(stems, want)) {
			return false
		}
	}
	return true
}

// stems gives what some rule names of a folded name without its suffix (Rails, Spring: a format): all that follows one
// of its dots.
func (r *Rules) stems(name string) (stems []string) {
	for i := 1; i < len(name); i++ {
		if name[i] != '.' {
			continue
		}
		if stem := r.fold(name[:i]); r.names[stem] {
			stems = append(stems, stem)
		}
	}
	return stems
}

// simple tells whether all APIs read a path alike, whatever the rules are, but for a closing slash.
func simple(path string) bool {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c >= 'A' && c <= 'Z' || c == '.' {
			return false
		}
	}
	return true
}

// plain tells whether folding leaves a name as it is.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c >= 'A' && c <= 'Z' || c == '.' && i == len(name)-1 {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// fold gives the one name for all spellings that an API may take for it.
func (r *Rules) fold(name string) string {
	if !isASCII(name) {
		name = beforeEnd(letters(name))
	}
	name = strings.TrimRight(strings.TrimLeft(name, " "), " .") // as Windows and IIS do
	if r.caseSensitive {
		return name
	}
	if isASCII(name) {
		return strings.ToLower(name)
	}
	return strings.ToLower(strings.ToUpper(name))
}

// beforeEnd gives the name for who takes the plain letter of a full-width ; % ? or # for its end.
func beforeEnd(name string) string {
	if i := strings.IndexAny(name, ";%?#"); i >= 0 {
		return name[:i]
	}
	return name
}

// letters gives the plain letters for those that normalization (UAX #15, NFKC), a database's collation or a reader
// takes for the same: without accents, without what nobody sees, and with Latin letters for their look-alikes
// (UTS #39).
func letters(s string) string {
	var b strings.Builder
	for _, c := range norm.NFKD.String(s) {
		if c < 0x80 {
			b.WriteByte(byte(c))
			continue
		}
		switch lower := unicode.ToLower(c); {
		case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point):
		case unicode.IsSpace(c):
			b.WriteByte(' ')
		case lookalikes[lower] != 0 && lower != c:
			b.WriteRune(unicode.ToUpper(lookalikes[lower]))
		case lookalikes[lower] != 0:
			b.WriteRune(lookalikes[lower])
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// lookalikes are letters that look like Latin ones: pairs of the letter and the Latin one, small.
var lookalikes = func() map[rune]rune {
	pairs := []rune("аaαaɑaᴀaьbвbβbʙbƅbсcϲcςcᴄcԁdδdđdðdᴅdеeєeεeəeᴇeƒfԍgɡgցgɢgгrһhнhհhħhʜhіiιiıiɩiɪiӏlјjϳjȷjյjᴊjкkκkᴋk" +
		"łlʟlмmμmᴍmпnηnոnɴnоoοoօoσoøoᴏoрpρpᴘpԛqզqʀrѕsꜱsтtτtᴛtυuսuʋuᴜuνvѵvᴠvԝwωwաwᴡwхxχxуyγyʏyζzᴢz" +
		"ᎪaᏴbᏟcᎠdᎬeᏀgᎻhᎫjᏦkᏞlᎷmᏢpᏚsᎢtᏙvᎳwᏃz‐-‑-‒-–-—-−-")
	m := map[rune]rune{}
	for i := 0; i < len(pairs); i += 2 {
		m[unicode.ToLower(pairs[i])] = pairs[i+1]
	}
	return m
}()

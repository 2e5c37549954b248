package mail

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// Each kind has one text: a first line with the subject, then paragraphs. A paragraph in brackets is the label of the
// link. The two layouts put it into plain text and HTML. Nothing that a person typed is ever read as a template.
//
//go:embed templates
var files embed.FS

var (
	texts      = make(map[Kind]*template.Template)
	htmlLayout = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/layout.html"))
)

func init() {
	for _, k := range kinds {
		texts[k] = template.Must(template.New(string(k)+".txt").Option("missingkey=error").
			ParseFS(files, "templates/"+string(k)+".txt"))
	}
}

// content is what waits in the outbox.
type content struct {
	Kind         Kind              `json:"kind"`
	To           string            `json:"to"`
	Name         string            `json:"name"`
	Organization string            `json:"organization"`
	Link         string            `json:"link"`
	Minutes      int               `json:"minutes"`
	Facts        map[string]string `json:"facts"`
}

// Mail is one that is ready to be sent.
type Mail struct {
	ID      string // stable over attempts
	To      string
	Subject string
	Text    string
	HTML    string
}

// Lifetime says how long a link works, for people.
func (c content) Lifetime() string {
	switch {
	case c.Minutes >= 2*24*60:
		return fmt.Sprintf("%d days", c.Minutes/(24*60))
	case c.Minutes >= 2*60:
		return fmt.Sprintf("%d hours", c.Minutes/60)
	}
	return fmt.Sprintf("%d minutes", c.Minutes)
}

type paragraph struct {
	Text string
	Link bool
}

// render writes a mail from its content.
func render(c content) (Mail, error) {
	t := texts[c.Kind]
	if t == nil {
		return Mail{}, fmt.Errorf("there is no mail of the kind %q", c.Kind)
	}
	c.Name, c.Organization = oneLine(c.Name), oneLine(c.Organization)
	facts := make(map[string]string, len(c.Facts))
	for k, v := range c.Facts {
		facts[k] = oneLine(v)
	}
	c.Facts = facts
	var b strings.Builder
	if err := t.Execute(&b, c); err != nil {
		return Mail{}, fmt.Errorf("write a mail: %w", err)
	}
	subject, body, ok := strings.Cut(b.String(), "\n\n")
	if !ok {
		return Mail{}, fmt.Errorf("the template of %q has no body", c.Kind)
	}
	m := Mail{To: c.To, Subject: strings.TrimSpace(subject)}
	var text strings.Builder
	var paragraphs []paragraph
	if isName(c.Name) {
		paragraphs = append(paragraphs, paragraph{Text: "Hello " + c.Name + ","})
	}
	for p := range strings.SplitSeq(body, "\n\n") {
		p = strings.Join(strings.Fields(p), " ")
		if label, isLink := strings.CutPrefix(p, "["); isLink && c.Link != "" {
			paragraphs = append(paragraphs, paragraph{Text: strings.TrimSuffix(label, "]"), Link: true})
		} else if p != "" {
			paragraphs = append(paragraphs, paragraph{Text: p})
		}
	}
	for _, p := range paragraphs {
		if p.Link {
			fmt.Fprintf(&text, "%s:\n%s\n\n", p.Text, c.Link)
			continue
		}
		text.WriteString(p.Text + "\n\n")
	}
	fmt.Fprintf(&text, "-- \n%s\n", c.Organization)
	var html strings.Builder
	err := htmlLayout.Execute(&html, struct {
		Subject, Organization, Link string
		Paragraphs                  []paragraph
	}{m.Subject, c.Organization, c.Link, paragraphs})
	if err != nil {
		return Mail{}, fmt.Errorf("write a mail: %w", err)
	}
	m.Text, m.HTML = text.String(), html.String()
	return m, nil
}

// maxName is how long a name is that is greeted.
const maxName = 60

// isName tells whether a text can be greeted with: what reads like a message or an address is not put into somebody's
// mailbox under our name.
func isName(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxName && !strings.ContainsAny(s, "/:@") &&
		!strings.Contains(strings.ToLower(s), "www.")
}

// oneLine takes out what could begin a new line, a new header or a new paragraph.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}), " ")
}

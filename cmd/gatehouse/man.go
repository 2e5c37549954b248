package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/itsm-automation/gatehouse/internal/platform/config"
)

// manCommand writes the manual page from what the commands say of themselves: gatehouse man > gatehouse.1
type manCommand struct{}

func (manCommand) Run(e *env) error {
	root := e.parser.Model.Node
	fmt.Fprintf(e.stdout, ".TH GATEHOUSE 1\n.SH NAME\ngatehouse \\- %s\n.SH SYNOPSIS\n.B gatehouse\n"+
		"[flags] command [arguments]\n.SH OPTIONS\n", roff(root.Help))
	manFlags(e.stdout, root)
	fmt.Fprintln(e.stdout, ".SH COMMANDS")
	for _, command := range root.Leaves(true) {
		fmt.Fprintf(e.stdout, ".SS %s\n%s\n", roff(command.Summary()), roff(command.Help))
		for _, argument := range command.Positional {
			manItem(e.stdout, argument.Summary(), argument.Help)
		}
		for n := command; n != root; n = n.Parent {
			manFlags(e.stdout, n)
		}
	}
	fmt.Fprintln(e.stdout, ".SH ENVIRONMENT")
	for _, s := range config.Settings() {
		help := s.Doc
		if s.Default != "" {
			help += " Default: " + s.Default + "."
		}
		manItem(e.stdout, s.Variable, help)
	}
	fmt.Fprintln(e.stdout, ".SH EXIT STATUS")
	manItem(e.stdout, "0", "It is done.")
	manItem(e.stdout, "1", "It failed.")
	manItem(e.stdout, "2", "The command line or the configuration is wrong.")
	return nil
}

func manFlags(w io.Writer, n *kong.Node) {
	for _, f := range n.Flags {
		manItem(w, f.String(), f.Help)
	}
}

func manItem(w io.Writer, name, help string) {
	fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(name), roff(help))
}

// roff keeps a text from being read as a request: a backslash and a dash mean something everywhere, a point and an
// apostrophe at the beginning of a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

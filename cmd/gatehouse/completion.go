package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints a line for the shell's start file. With it the shell runs this program with the line so far
// in COMP_LINE, as bash does by itself (complete -C), and takes what is printed.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (k completionCommand) Run(e *env) error {
	fmt.Fprintln(e.stdout, map[string]string{
		"bash": "complete -o default -C gatehouse gatehouse",
		"zsh": "autoload -U +X compinit && compinit; autoload -U +X bashcompinit && bashcompinit; " +
			"complete -o default -C gatehouse gatehouse",
		"fish": "complete -c gatehouse -a '(env COMP_LINE=(commandline -cp) gatehouse)'",
	}[k.Shell])
	return nil
}

// complete prints what may follow a line: commands, flags, and the values that a flag or an argument is one of.
func complete(root *kong.Node, line string, w io.Writer) {
	words := strings.Fields(line)
	last := ""
	if !strings.HasSuffix(line, " ") && len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	node := root
	var before *kong.Flag // whose value comes next
	for _, word := range words[min(1, len(words)):] {
		if before != nil {
			before = nil
			continue
		}
		if i := slices.IndexFunc(flags(node), func(f *kong.Flag) bool {
			return word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)
		}); i >= 0 {
			if f := flags(node)[i]; !f.IsBool() {
				before = f
			}
		} else if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word }); i >= 0 {
			node = node.Children[i]
		}
	}
	var candidates []string
	switch {
	case before != nil:
		candidates = before.EnumSlice()
	case strings.HasPrefix(last, "-"):
		for _, f := range flags(node) {
			candidates = append(candidates, "--"+f.Name)
		}
	default:
		for _, child := range node.Children {
			candidates = append(candidates, child.Name)
		}
		for _, argument := range node.Positional {
			candidates = append(candidates, argument.EnumSlice()...)
		}
	}
	for _, candidate := range candidates {
		if candidate != "" && strings.HasPrefix(candidate, last) {
			fmt.Fprintln(w, candidate)
		}
	}
}

// flags are those of a command and of the commands above it.
func flags(n *kong.Node) []*kong.Flag {
	return slices.Concat(n.AllFlags(false)...)
}

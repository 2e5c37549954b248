package config

import (
	"fmt"
	"strings"
)

// Reference is the table of all settings in Markdown; docs/configuration.md holds it and a check keeps it equal.
func Reference() string {
	var b strings.Builder
	b.WriteString("| key | variable | default | what it is |\n| --- | --- | --- | --- |\n")
	for _, s := range Settings() {
		variable := "`" + s.Variable + "`"
		if s.Secret {
			variable += " or `" + s.Variable + "_FILE`"
		}
		value := s.Default
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Key, variable, value, s.Doc)
	}
	return b.String()
}

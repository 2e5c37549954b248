package connection

import (
	"slices"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// Decision is the role that a sign-in gives, and why.
type Decision struct {
	Role string // empty: it changes none
	Why  string // for the audit log and the test sign-in
}

// ErrNoRole says that no rule holds for somebody and that there is no default.
func ErrNoRole() error {
	return fault.Forbiddenf("Your company's groups give you no role here. Ask your administrator.")
}

// Decide gives the role of somebody in groups: by the first rule whose group is among them, else the default. Groups
// are compared byte by byte. Without rules a sign-in changes no role.
func (r Roles) Decide(groups []string) (Decision, error) {
	if len(r.Rules) == 0 {
		return Decision{Why: "there are no rules"}, nil
	}
	for _, rule := range r.Rules {
		if slices.Contains(groups, rule.Group) {
			return Decision{rule.Role, "the group " + rule.Group}, nil
		}
	}
	if r.Default == "" {
		return Decision{Why: "no rule holds, and there is no default"}, ErrNoRole()
	}
	return Decision{r.Default, "the default: no rule holds"}, nil
}

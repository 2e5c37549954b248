package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// inTenant are the flags of commands that act in one organization.
type inTenant struct {
	Organization string `required:"" short:"o" help:"Slug of the organization."`
	JSON         bool   `name:"json" help:"Print JSON."`
}

// run opens the server and acts as the command line in the organization.
func (t inTenant) run(c *cli, e *env, fn func(s *server.Server, org organization.Organization,
	p principal.Principal) error) error {
	s, err := c.open(e)
	if err != nil {
		return err
	}
	defer closeServer(s, slog.Default())
	org, err := s.Organizations.BySlug(e.ctx, t.Organization)
	if fault.Is(err, fault.NotFound) {
		return fault.NotFoundf("There is no organization with the slug %s.", t.Organization)
	}
	if err != nil {
		return err
	}
	return fn(s, org, principal.NewSystem("command line", org.ID))
}

// credentialLine is a credential as these commands print it.
type credentialLine struct {
	ID                 string     `json:"id"`
	Kind               string     `json:"kind"`
	Name               string     `json:"name"`
	Purpose            string     `json:"purpose"`
	Owner              string     `json:"owner"`
	Permissions        []string   `json:"permissions"`
	Resources          []string   `json:"resources,omitempty"`
	State              string     `json:"state"`
	RateLimitPerMinute *int       `json:"rateLimitPerMinute"`
	AllowedAddresses   []string   `json:"allowedAddresses"`
	ExpiresAt          *time.Time `json:"expiresAt"`
	CreatedAt          time.Time  `json:"createdAt"`
	CreatedBy          string     `json:"createdBy"`
	LastUsedAt         *time.Time `json:"lastUsedAt"`
	RotatedAt          *time.Time `json:"rotatedAt"`
	OverlapUntil       *time.Time `json:"overlapUntil"`
	RevokedAt          *time.Time `json:"revokedAt"`
}

func lineOf(c credential.Credential) credentialLine {
	l := credentialLine{ID: string(c.ID), Kind: string(c.Kind), Name: c.Name, Purpose: c.Purpose, Owner: c.Owner.ID,
		Permissions: c.Permissions.Strings(), Resources: c.Resources, State: string(c.State),
		AllowedAddresses: []string{}, ExpiresAt: optionalTime(c.ExpiresAt), CreatedAt: c.CreatedAt,
		CreatedBy: c.CreatedBy, LastUsedAt: optionalTime(c.LastUsedAt), RotatedAt: optionalTime(c.RotatedAt),
		OverlapUntil: optionalTime(c.OverlapUntil), RevokedAt: optionalTime(c.RevokedAt)}
	if c.RateLimit > 0 {
		l.RateLimitPerMinute = &c.RateLimit
	}
	for _, p := range c.Addresses {
		l.AllowedAddresses = append(l.AllowedAddresses, p.String())
	}
	return l
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printTable(w io.Writer, head []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

func shown(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}

// kindOf names the kind of credential by the prefix of its id.
func kindOf(text string) (credential.Kind, id.Credential, error) {
	for _, k := range credential.Kinds {
		if c, err := k.ParseID(text); err == nil {
			return k, c, nil
		}
	}
	return "", "", fmt.Errorf("%q is no credential id: key_…, act_…, sat_…, app_… or sec_… and 26 characters", text)
}

// oneOf makes sure that an id is of one of the kinds of a command.
func oneOf(text string, kinds ...credential.Kind) (credential.Kind, id.Credential, error) {
	k, c, err := kindOf(text)
	for _, want := range kinds {
		if err == nil && k == want {
			return k, c, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%q is of the kind %s, which another command manages", text,
			strings.ReplaceAll(string(k), "_", " "))
	}
	return k, c, err
}

// listing prints all credentials of some kinds.
func (t inTenant) listing(c *cli, e *env, kinds ...credential.Kind) error {
	return t.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		lines := []credentialLine{}
		for _, k := range kinds {
			err := pages(func(last credential.Credential) ([]credential.Credential, error) {
				return s.Credentials.List(e.ctx, p, k, credential.Filter{Past: last.ID, Limit: pageSize})
			}, func(found credential.Credential) { lines = append(lines, lineOf(found)) })
			if err != nil {
				return err
			}
		}
		if t.JSON {
			return printJSON(e.stdout, lines)
		}
		var rows [][]string
		for _, l := range lines {
			rows = append(rows, []string{l.ID, l.State, l.Owner, shown(l.ExpiresAt), shown(l.LastUsedAt), l.Name})
		}
		return printTable(e.stdout, []string{"ID", "STATE", "OWNER", "EXPIRES", "LAST USED", "NAME"}, rows)
	})
}

const pageSize = 500

// pages hands all of a list to fn. list gives the page of pageSize behind the last of the page before; behind the zero
// value it is the first.
func pages[T any](list func(last T) ([]T, error), fn func(T)) error {
	for last := *new(T); ; {
		page, err := list(last)
		if err != nil {
			return err
		}
		for _, found := range page {
			fn(found)
			last = found
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// showing prints one credential.
func (t inTenant) showing(c *cli, e *env, text string, kinds ...credential.Kind) error {
	kind, cred, err := oneOf(text, kinds...)
	if err != nil {
		return err
	}
	return t.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		found, err := s.Credentials.Get(e.ctx, p, kind, cred)
		if err != nil {
			return err
		}
		l := lineOf(found)
		if t.JSON {
			return printJSON(e.stdout, l)
		}
		limit := "none"
		if l.RateLimitPerMinute != nil {
			limit = fmt.Sprint(*l.RateLimitPerMinute)
		}
		return printTable(e.stdout, []string{"FIELD", "VALUE"},
			[][]string{{"id", l.ID}, {"kind", l.Kind}, {"name", l.Name}, {"purpose", l.Purpose}, {"owner", l.Owner},
				{"state", l.State},
				{"permissions", strings.Join(l.Permissions, " ")}, {"resources", strings.Join(l.Resources, " ")},
				{"requests a minute", limit}, {"addresses", strings.Join(l.AllowedAddresses, " ")},
				{"expires", shown(l.ExpiresAt)}, {"created", l.CreatedAt.Format(time.RFC3339) + " by " + l.CreatedBy},
				{"last used", shown(l.LastUsedAt)}})
	})
}

// revoking ends one credential.
func (t inTenant) revoking(c *cli, e *env, text string, kinds ...credential.Kind) error {
	kind, cred, err := oneOf(text, kinds...)
	if err != nil {
		return err
	}
	return t.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		if err := s.Credentials.Revoke(e.ctx, p, kind, cred); err != nil {
			return err
		}
		if t.JSON {
			return printJSON(e.stdout, map[string]any{"id": cred, "revoked": true})
		}
		fmt.Fprintf(e.stdout, "%s is revoked.\n", cred)
		return nil
	})
}

// rotating gives one credential a new value and prints it.
func (t inTenant) rotating(c *cli, e *env, text string, overlap time.Duration, kinds ...credential.Kind) error {
	kind, cred, err := oneOf(text, kinds...)
	if err != nil {
		return err
	}
	return t.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		if err := s.Keys.Prepare(e.ctx); err != nil {
			return err
		}
		i, err := s.Credentials.Rotate(e.ctx, p, kind, cred, overlap)
		if err != nil {
			return err
		}
		return t.print(e, i)
	})
}

// print shows a new credential with its value, once: the value alone on standard output, for scripts, and the rest
// beside it.
func (t inTenant) print(e *env, i credential.Issued) error {
	if t.JSON {
		raw, err := json.Marshal(lineOf(i.Credential))
		if err != nil {
			return err
		}
		out := make(map[string]any)
		if err := json.Unmarshal(raw, &out); err != nil {
			return err
		}
		out[i.Kind.ValueName()] = i.Value.Reveal()
		return printJSON(e.stdout, out)
	}
	fmt.Fprintf(e.stderr, "%s (%s). The value is shown only now:\n", i.ID, i.Name)
	fmt.Fprintln(e.stdout, i.Value.Reveal())
	return nil
}

// creation are the flags of a new credential.
type creation struct {
	Name      string         `required:"" help:"What to call it."`
	Purpose   string         `help:"What it is for; the name if left out."`
	RateLimit *int           `name:"rate-limit" help:"Requests a minute, 1 to 100000."`
	Address   []string       `help:"Address or network it may be used from; repeat for several."`
	ExpiresIn *time.Duration `name:"expires-in" help:"How long it works, such as 30d; never ends if left out."`
}

func (n creation) request(kind credential.Kind) (credential.Request, error) {
	addresses, err := credential.ParseAddresses(n.Address)
	r := credential.Request{Kind: kind, Name: n.Name, Purpose: n.Purpose, RateLimit: n.RateLimit, Addresses: addresses}
	if n.ExpiresIn == nil {
		return r, err
	}
	if *n.ExpiresIn <= 0 {
		return r, errors.New("--expires-in must be positive")
	}
	r.ExpiresAt = server.Clock().Add(*n.ExpiresIn)
	return r, err
}

// issuing makes a credential; owner is an e-mail address, or empty.
func (t inTenant) issuing(c *cli, e *env, r credential.Request, owner string) error {
	return t.run(c, e, func(s *server.Server, org organization.Organization, p principal.Principal) error {
		if owner != "" {
			u, err := userNamed(e, s, p, owner)
			if err != nil {
				return err
			}
			r.Owner = &credential.Owner{Kind: credential.OwnedByUser, ID: string(u.ID)}
		}
		if err := s.Keys.Prepare(e.ctx); err != nil {
			return err
		}
		i, err := s.Credentials.Issue(e.ctx, p, r)
		if err != nil {
			return err
		}
		return t.print(e, i)
	})
}

// userNamed finds a user by id or e-mail address.
func userNamed(e *env, s *server.Server, p principal.Principal, name string) (user.User, error) {
	if u, err := id.Parse[id.User](name); err == nil {
		return s.Users.Get(e.ctx, p, u)
	}
	found, err := s.Users.List(e.ctx, p, user.Filter{Email: name, Limit: 1})
	if err != nil {
		return user.User{}, err
	}
	if len(found) == 0 {
		return user.User{}, fault.NotFoundf("There is no user %s in the organization.", name)
	}
	return found[0], nil
}

type credentialsCommand struct {
	Report reportCommand `cmd:"" help:"List credentials that never expire, are old or are idle."`
}

type reportCommand struct {
	inTenant
	OlderThan int `name:"older-than-days" default:"365" help:"What counts as old, in days since it was made or last rotated."`
	IdleFor   int `name:"idle-days" default:"90" help:"What counts as idle, in days since it was made or last used."`
}

type findingLine struct {
	credentialLine
	NeverExpires bool `json:"neverExpires"`
	Old          bool `json:"old"`
	Idle         bool `json:"idle"`
}

func (r reportCommand) Run(c *cli, e *env) error {
	if r.OlderThan < 1 || r.IdleFor < 1 {
		return errors.New("--older-than-days and --idle-days must be at least 1")
	}
	return r.run(c, e, func(s *server.Server, _ organization.Organization, p principal.Principal) error {
		lines := []findingLine{}
		var rows [][]string
		const day = 24 * time.Hour
		f := credential.ReportFilter{OlderThan: time.Duration(r.OlderThan) * day,
			IdleFor: time.Duration(r.IdleFor) * day, Limit: pageSize}
		err := pages(func(last credential.Finding) ([]credential.Finding, error) {
			f.After = last.ID
			return s.Credentials.Report(e.ctx, p, f)
		}, func(found credential.Finding) {
			l := findingLine{lineOf(found.Credential), found.NeverExpires, found.Old, found.Idle}
			lines = append(lines, l)
			rows = append(rows, []string{l.ID, l.Kind, reasons(found), shown(l.LastUsedAt), l.Name})
		})
		if err != nil {
			return err
		}
		if r.JSON {
			return printJSON(e.stdout, lines)
		}
		return printTable(e.stdout, []string{"ID", "KIND", "WHY", "LAST USED", "NAME"}, rows)
	})
}

func reasons(f credential.Finding) string {
	var why []string
	for _, r := range []struct {
		is   bool
		word string
	}{{f.NeverExpires, "never expires"}, {f.Old, "old"}, {f.Idle, "idle"}} {
		if r.is {
			why = append(why, r.word)
		}
	}
	return strings.Join(why, ", ")
}

package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

// What a list may cost: a page of a large table takes little longer than one of a small table.
const (
	growthAim = 1.2
	pageAim   = 2 * time.Millisecond
)

// list is one way to ask for a page.
type list struct {
	name string
	as   string // who asks
	path string
	deep int // how many rows come before the page
	rows int // how many rows the page has: one that found less would be quick for that
}

// page is how many rows a list shows if nobody says how many.
const page = 25

func (p people) lists() []list {
	events, tickets, users := "/v1/audit-events", "/v1/tickets", "/v1/users"
	busy, calm := string(p.IDs["busy"]), string(p.IDs["calm"])
	sessions := func(name string) string { return "/v1/users/" + string(p.IDs[name]) + "/sessions" }
	part := p.Until.Sub(p.Since) / 5
	within := url.Values{"since": {p.Since.Add(2 * part).Format(time.RFC3339)},
		"until": {p.Since.Add(3 * part).Format(time.RFC3339)}}.Encode()
	return []list{
		{"events", "admin", events, 0, page},
		{"events, deep", "admin", events, p.Rows / 2, page},
		{"events, actor of a tenth", "admin", events + "?actor=" + busy, 0, page},
		{"events, actor of a tenth, deep", "admin", events + "?actor=" + busy, p.Rows / 20, page},
		{"events, actor of 40", "admin", events + "?actor=" + calm, 0, page},
		{"events, target of a tenth", "admin", events + "?target=" + busy, 0, page},
		{"events, target of a tenth, deep", "admin", events + "?target=" + busy, p.Rows / 20, page},
		{"events, target of 40", "admin", events + "?target=" + calm, 0, page},
		{"events, act of most", "admin", events + "?act=session.created", 0, page},
		{"events, act of most, deep", "admin", events + "?act=session.created", p.Rows / 2, page},
		{"events, act of 40", "admin", events + "?act=role.deleted", 0, page},
		{"events, actor and act, often", "admin", events + "?act=session.created&actor=" + busy, 0, page},
		{"events, actor and act, 40", "admin", events + "?act=role.deleted&actor=" + busy, 0, page},
		{"events, since and until", "admin", events + "?" + within, 0, page},
		{"events, since and until, deep", "admin", events + "?" + within, p.Rows / 10, page},
		{"events, actor, since and until", "admin", events + "?actor=" + busy + "&" + within, 0, page},
		{"sessions of the busy", "admin", sessions("busy"), 0, page},
		{"sessions of the busy, deep", "admin", sessions("busy"), p.Rows / 20, page},
		{"sessions, 40", "admin", sessions("calm"), 0, page},
		{"sessions, 40 beside many that ran out", "admin", sessions("stale"), 0, page},
		{"tickets", "admin", tickets, 0, page},
		{"tickets, deep", "admin", tickets, p.Rows / 2, page},
		{"tickets, status of most", "admin", tickets + "?status=closed", 0, page},
		{"tickets, status of most, deep", "admin", tickets + "?status=closed", p.Rows / 2, page},
		{"tickets, status of 40", "admin", tickets + "?status=on_hold", 0, page},
		{"tickets, priority of most", "admin", tickets + "?priority=medium", 0, page},
		{"tickets, priority of 40", "admin", tickets + "?priority=critical", 0, page},
		{"tickets, status and priority, often", "admin", tickets + "?status=closed&priority=medium", 0, page},
		{"tickets, status and priority, 40", "admin", tickets + "?status=open&priority=high", 0, page},
		{"tickets, assignee of a tenth", "admin", tickets + "?assigneeId=" + busy, 0, page},
		{"tickets of a team", "agent", tickets, 0, page},
		{"tickets of a team, deep", "agent", tickets, p.Rows / 20, page},
		{"tickets of a team, status of 40", "agent", tickets + "?status=open", 0, page},
		{"tickets of an end user, 40", "calm", tickets, 0, page},
		{"users", "admin", users, 0, page},
		{"users, deep", "admin", users, min(p.Rows, mostUsers) / 2, page},
		{"users, state of most", "admin", users + "?state=active", 0, page},
		{"users, state of a tenth, deep", "admin", users + "?state=disabled", min(p.Rows, mostUsers) / 20, page},
		{"users, role of most", "admin", users + "?role=end_user", 0, page},
		{"users, role of 40", "admin", users + "?role=tenant_admin", 0, page},
		{"users, role and state, 40", "admin", users + "?role=service_desk_manager&state=disabled", 0, page},
		{"users, search for all", "admin", users + "?q=member", 0, page},
		{"users, search for all, deep", "admin", users + "?q=member", min(p.Rows, mostUsers) / 2, page},
		{"users, search and state of a tenth", "admin", users + "?q=member&state=disabled", 0, page},
		{"users, search for one", "admin", users + "?q=" + url.QueryEscape("user-77"+domain), 0, 1},
		{"users, email", "admin", users + "?email=" + url.QueryEscape("user-7"+domain), 0, 1},
	}
}

// grownLists is a server on filled tables, and the ways to ask it.
type grownLists struct {
	*process
	lists []list
}

// listClients is how many connections ask at once: few, so that the figure tells what a page takes, and not how long it
// waits for the processors.
const listClients = 2

// measureLists compares the median latency of pages of small tables and of large ones.
func measureLists(name, address string) error {
	defer func(n int) { *clients = n }(*clients)
	*clients = listClients
	var servers []grownLists
	for i, rows := range []int{*small, *large} {
		database, drop, err := emptyDatabase(address, fmt.Sprint("_lists_", i))
		if err != nil {
			return err
		}
		defer drop()
		s, err := openLists(name, database, rows)
		if err != nil {
			return err
		}
		defer s.stop()
		servers = append(servers, s)
	}
	for i, l := range servers[0].lists {
		p50, err := measureList(servers, i)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		ratio, beyond := float64(p50[1])/float64(p50[0]), ""
		if ratio > growthAim {
			beyond += fmt.Sprintf("  beyond %.1f times", growthAim)
		}
		if p50[1] > pageAim {
			beyond += fmt.Sprintf("  beyond %v", pageAim)
		}
		fmt.Printf("  %-37s p50 %8v → %8v  ratio %6.2f%s\n", l.name, p50[0], p50[1], ratio, beyond)
	}
	fmt.Printf("  (%d connections; aims: at most %.1f times as long, and %v)\n\n", listClients, growthAim, pageAim)
	return nil
}

// openLists fills a database and serves it.
func openLists(name, database string, rows int) (grownLists, error) {
	key := growthKey + "=" + keyring.Generate().Reveal()
	begin := time.Now()
	fill, err := spawn("fill-lists", database, key, fmt.Sprint(growthRows, "=", rows))
	if err != nil {
		return grownLists{}, err
	}
	fill.cmd.Wait()
	var p people
	if err := json.Unmarshal([]byte(fill.Data["people"]), &p); err != nil {
		return grownLists{}, err
	}
	fmt.Printf("%s: %d users, and %d audit events, sessions and tickets each, filled in %v\n", name,
		min(rows, mostUsers), rows, time.Since(begin).Round(time.Second))
	s, err := spawn("grown", database, key)
	return grownLists{s, p.lists()}, err
}

// measureList asks both servers in turn for one list.
func measureList(servers []grownLists, i int) (p50 [2]time.Duration, err error) {
	var requests [2]request
	for k, s := range servers {
		if requests[k], err = s.lists[i].request(s.URL); err != nil {
			return p50, err
		}
	}
	var times [2][]time.Duration
	for range *rounds {
		for k, s := range servers {
			got, err := load(inTurn(requests[k]), s.cmd.Process.Pid)
			if err != nil {
				return p50, err
			}
			times[k] = append(times[k], got.p50)
		}
	}
	return [2]time.Duration{middle(times[0]), middle(times[1])}, nil
}

// request signs in, goes to the page and looks at it once.
func (l list) request(base string) (request, error) {
	token, _, err := signIn(base, l.as+domain, demo.Password)
	if err != nil {
		return request{}, err
	}
	u, err := url.Parse(base + l.path)
	if err != nil {
		return request{}, err
	}
	query := u.Query()
	for passed := 0; passed < l.deep; {
		query.Set("limit", fmt.Sprint(min(1000, l.deep-passed)))
		u.RawQuery = query.Encode()
		shown, err := show(u.String(), token)
		if err != nil {
			return request{}, err
		}
		passed += len(shown.Data)
		if shown.Cursor == "" {
			return request{}, fmt.Errorf("%s ends after %d rows", u, passed)
		}
		query.Set("cursor", shown.Cursor)
	}
	query.Del("limit")
	u.RawQuery = query.Encode()
	shown, err := show(u.String(), token)
	if err == nil && len(shown.Data) != l.rows {
		err = fmt.Errorf("%s has %d rows on its page instead of %d", u, len(shown.Data), l.rows)
	}
	return prepare("GET", u.String(), token, nil), err
}

// shown is what a list answers.
type shown struct {
	Data   []json.RawMessage
	Cursor string
}

func show(address, token string) (s shown, err error) {
	raw, err := send("GET", address, token, nil)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(raw, &s)
}

// Package demo fills an empty installation with two tenants, a user for each role, one of each credential of machines
// and sample tickets. The demo and the tests use it.
package demo

import (
	"context"
	"fmt"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/permission"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/servicedesk"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// Password is the password of every demo user. The demo listens on loopback only and its data is thrown away.
const Password = "only-for-the-demo-7431"

// Seeds is what the demo seeds, as `gatehouse demo --json` prints it.
type Seeds struct {
	URL           string         `json:"url"`
	Organizations []Organization `json:"organizations"`
	Users         []User         `json:"users"`

	APIKeys            []APIKey `json:"apiKeys"`
	AccessTokens       []Token  `json:"accessTokens"`
	SystemAccessTokens []Token  `json:"systemAccessTokens"`
	ApplicationTokens  []Token  `json:"applicationTokens"`
	Clients            []Client `json:"clients"`
}

// APIKey is a seeded API key; Owner is a user's or the organization's id.
type APIKey struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Key          string   `json:"key"`
	Permissions  []string `json:"permissions"`
	Owner        string   `json:"owner"`
	Organization string   `json:"organization"`
}

// Token is a seeded token for Authorization: Bearer.
type Token struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Token        string `json:"token"`
	Owner        string `json:"owner"`
	Organization string `json:"organization"`
}

// Client is a seeded OAuth client.
type Client struct {
	Organization string   `json:"organization"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	Name         string   `json:"name"`
	Permissions  []string `json:"permissions"`
}

// Organization is a seeded tenant.
type Organization struct {
	Slug          string `json:"slug"`
	ID            string `json:"id"`
	AccountNumber string `json:"accountNumber"`
}

// User is a seeded user; Organization is the slug. Those of the type application are programs.
type User struct {
	Type         string `json:"type"`
	Email        string `json:"email"`
	Username     string `json:"username"`
	Password     string `json:"password"`
	Role         string `json:"role"`
	Organization string `json:"organization"`
}

var tenants = []struct{ slug, account, name, domain string }{
	{Tenant, "50001", "Acme Corp", "acme-corp.example"},
	{"second-tenant", "50002", "Second Tenant", "second-tenant.example"},
}

// Tenant is the organization that the demo is about; ItemPath sign-ins mean it.
const Tenant = "acme-corp"

var users = []struct{ name, display, role string }{
	{"enduser", "Demo end user", permission.RoleEndUser},
	{"agent", "Demo agent", permission.RoleAgent},
	{"manager", "Demo manager", permission.RoleManager},
	{"admin", "Demo administrator", permission.RoleAdmin},
}

// seeder makes what is seeded.
type seeder struct{ *server.Server }

// Seed fills an empty installation. All users share one password hash, computed once.
func Seed(ctx context.Context, node *server.Server) (Seeds, error) {
	s := &seeder{node}
	d := Seeds{URL: s.Public.String()}
	if err := s.Keys.Prepare(ctx); err != nil { // the long-lived set signs some of what is seeded
		return d, err
	}
	hash, err := s.Hasher.Hash(ctx, "demo", Password)
	if err != nil {
		return d, err
	}
	platform, err := s.EnsurePlatform(ctx)
	if err != nil {
		return d, err
	}
	for _, t := range tenants {
		if err := s.seedTenant(ctx, &d, t.slug, t.account, t.name, t.domain, hash); err != nil {
			return d, fmt.Errorf("demo: %s: %w", t.slug, err)
		}
	}
	d.Organizations = append(d.Organizations, Organization{platform.Slug, string(platform.ID), ""})
	p := principal.NewSystem("demo", platform.ID)
	_, err = s.addUser(ctx, &d, p, platform, user.NewUser{Email: "operator@platform.example", Username: "operator",
		Name: "Demo operator", Role: permission.RoleSuperUser, PasswordHash: hash})
	if err != nil {
		return d, err
	}
	master, err := s.Credentials.Issue(ctx, p, credential.Request{Kind: credential.SystemToken,
		Name: "Demo provisioning token", Permissions: []string{"organizations:manage:all", "system_tokens:manage:all"}})
	if err != nil {
		return d, fmt.Errorf("demo: provisioning token: %w", err)
	}
	d.SystemAccessTokens = append(d.SystemAccessTokens,
		Token{string(master.ID), master.Name, master.Value.Reveal(), master.Owner.ID, platform.Slug})
	return d, nil
}

func (s *seeder) addUser(ctx context.Context, d *Seeds, p principal.Principal, org organization.Organization,
	n user.NewUser) (id.User, error) {
	u, err := s.Users.Create(ctx, p, n)
	if err != nil {
		return "", err
	}
	d.Users = append(d.Users, User{Type: string(u.Kind), Email: u.Email, Username: u.Username,
		Password: Password, Role: u.Role, Organization: org.Slug})
	return u.ID, nil
}

func (s *seeder) seedTenant(ctx context.Context, d *Seeds, slug, account, name, domain, hash string) error {
	org, err := s.Organizations.Create(ctx, principal.NewSystem("demo", ""),
		organization.NewOrganization{Slug: slug, AccountNumber: account, Name: name,
			Profile: organization.Profile{Email: "admin@" + domain, Domain: domain}})
	if err != nil {
		return err
	}
	d.Organizations = append(d.Organizations, Organization{slug, string(org.ID), account})
	p := principal.NewSystem("demo", org.ID)
	first, err := s.Users.CreateTeam(ctx, p, user.Team{Name: "First line", Description: "Answers what comes in"})
	if err != nil {
		return err
	}
	if _, err := s.Users.CreateTeam(ctx, p, user.Team{Name: "Field service", Description: "Goes there"}); err != nil {
		return err
	}
	ids := make(map[string]id.User)
	for _, u := range users {
		n := user.NewUser{Email: u.name + "@" + domain, Username: u.name, Name: u.display, Role: u.role,
			PasswordHash: hash}
		if u.role == permission.RoleAgent || u.role == permission.RoleManager {
			n.Teams = []id.Team{first.ID}
		}
		if ids[u.name], err = s.addUser(ctx, d, p, org, n); err != nil {
			return err
		}
	}
	application, err := s.addUser(ctx, d, p, org,
		user.NewUser{Email: "integration@" + domain, Username: "integration", Name: "Demo integration",
			Kind: user.Application, Role: permission.RoleManager, PasswordHash: hash})
	if err != nil {
		return err
	}
	if err := s.seedCredentials(ctx, d, org, ids["manager"], application); err != nil {
		return err
	}
	for _, t := range []servicedesk.Ticket{
		{Type: "incident", Title: "The printer on floor 2 is offline", Priority: "medium", Requester: ids["enduser"],
			Team: first.ID, Assignee: ids["agent"]},
		{Type: "service_request", Title: "A second monitor, please", Priority: "low", Requester: ids["enduser"]},
		{Type: "problem", Title: "The network is slow every Monday", Priority: "high", Requester: ids["manager"],
			Team: first.ID},
		{Type: "change", Title: "Renew the certificate of the intranet", Priority: "critical", Requester: ids["admin"]},
	} {
		if _, err := s.Desk.Create(ctx, p, t); err != nil {
			return err
		}
	}
	return nil
}

// seedCredentials makes one of each kind of long-lived credential.
func (s *seeder) seedCredentials(ctx context.Context, d *Seeds, org organization.Organization, manager,
	application id.User) error {
	p := principal.NewSystem("demo", org.ID)
	issue := func(r credential.Request) (credential.Issued, error) {
		i, err := s.Credentials.Issue(ctx, p, r)
		if err != nil {
			err = fmt.Errorf("%s: %w", r.Kind, err)
		}
		return i, err
	}
	all := []string{"tickets:manage:all", "reports:read:all"}
	key, err := issue(credential.Request{Kind: credential.APIKey, Name: "Demo API key", Permissions: all})
	if err != nil {
		return err
	}
	d.APIKeys = append(d.APIKeys, APIKey{string(key.ID), key.Name, key.Value.Reveal(), key.Permissions.Strings(),
		key.Owner.ID, org.Slug})
	for _, t := range []struct {
		list *[]Token
		r    credential.Request
	}{
		{&d.AccessTokens, credential.Request{Kind: credential.AccessToken, Name: "Demo access token",
			Owner: &credential.Owner{Kind: credential.OwnedByUser, ID: string(manager)}}},
		{&d.SystemAccessTokens, credential.Request{Kind: credential.SystemToken, Name: "Demo system access token"}},
		{&d.ApplicationTokens, credential.Request{Kind: credential.ApplicationToken, Name: "Demo application token",
			Owner: &credential.Owner{Kind: credential.OwnedByUser, ID: string(application)}}},
	} {
		i, err := issue(t.r)
		if err != nil {
			return err
		}
		*t.list = append(*t.list, Token{string(i.ID), i.Name, i.Value.Reveal(), i.Owner.ID, org.Slug})
	}
	c, secret, err := s.Credentials.CreateClient(ctx, p,
		client.Fields{Client: client.Client{Name: "Demo client",
			Authentication: client.Authentication{Method: client.Secret}},
			PermissionList: append(all, "introspection:read:all")})
	if err != nil {
		return err
	}
	d.Clients = append(d.Clients, Client{org.Slug, string(c.ID), secret.Reveal(), c.Name, c.Permissions.Strings()})
	return nil
}

package sqldb

import (
	"context"
	"fmt"
	"strings"
)

// The roles that statements run as. Neither logs in.
const (
	roleApp      = "gatehouse_app"
	rolePlatform = "gatehouse_platform"
)

// Login is what a PostgreSQL login role may and may not do.
type Login struct {
	Name           string
	Superuser      bool
	BypassesRLS    bool
	MayCreateRoles bool
	Roles          map[string]bool // of ours that exist: whether the login is a member
}

// Login looks at the role that this process logs in as.
func (db *DB) Login(ctx context.Context) (Login, error) {
	p, ok := db.engine.(*postgres)
	if !ok {
		return Login{}, fmt.Errorf("%s has no roles", db.kind)
	}
	l := Login{Roles: make(map[string]bool)}
	err := p.pool.QueryRow(ctx,
		`SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user`).
		Scan(&l.Name, &l.Superuser, &l.BypassesRLS, &l.MayCreateRoles)
	if err != nil {
		return l, fmt.Errorf("login role: %w", trouble(err))
	}
	rows, err := p.pool.Query(ctx,
		`SELECT rolname, pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname IN ($1, $2)`, roleApp,
		rolePlatform)
	if err != nil {
		return l, fmt.Errorf("database roles: %w", trouble(err))
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var member bool
		if err := rows.Scan(&name, &member); err != nil {
			return l, err
		}
		l.Roles[name] = member
	}
	return l, trouble(rows.Err())
}

// Missing is the SQL that somebody who may has to run before this login can work; empty: nothing.
func (l Login) Missing() string {
	var sql []string
	for _, name := range []string{roleApp, rolePlatform} {
		member, exists := l.Roles[name]
		if l.MayCreateRoles || l.Superuser {
			continue // the migration makes and grants them
		}
		if !exists {
			sql = append(sql, "CREATE ROLE "+name+" NOLOGIN;")
		}
		if !member {
			sql = append(sql, fmt.Sprintf("GRANT %s TO %q;", name, l.Name))
		}
	}
	return strings.Join(sql, " ")
}

// Unprotected lists tables on which row-level security is not enabled and forced.
func (db *DB) Unprotected(ctx context.Context) ([]string, error) {
	p, ok := db.engine.(*postgres)
	if !ok {
		return nil, nil
	}
	rows, err := p.pool.Query(ctx,
		`SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
		AND relname <> 'goose_db_version' AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY relname`)
	if err != nil {
		return nil, trouble(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, trouble(rows.Err())
}

// ServerFacts are what a PostgreSQL server tells about itself.
type ServerFacts struct {
	Version             int // as server_version_num: 150018
	MaxConnections      int
	SynchronousStandbys string
	TellsTimeline       bool // else failovers are not noticed
}

// Server asks the PostgreSQL server about itself.
func (db *DB) Server(ctx context.Context) (f ServerFacts, err error) {
	p, ok := db.engine.(*postgres)
	if !ok {
		return f, fmt.Errorf("%s is no server", db.kind)
	}
	err = p.pool.QueryRow(ctx,
		`SELECT current_setting('server_version_num')::int, current_setting('max_connections')::int, current_setting('synchronous_standby_names')`).Scan(&f.Version, &f.MaxConnections, &f.SynchronousStandbys)
	if err != nil {
		return f, fmt.Errorf("ask the server about itself: %w", trouble(err))
	}
	f.TellsTimeline = p.line.known() != ""
	return f, nil
}

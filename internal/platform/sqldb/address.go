package sqldb

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// IsPostgres tells which engine a database address names.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// FilePath is the SQLite file that a database address names.
func FilePath(address string) string {
	return strings.TrimPrefix(strings.TrimPrefix(address, "sqlite://"), "sqlite:")
}

// CheckAddress tells what is wrong with the form of a database address. The list of schemes is closed, and a file needs
// its own: whatever is not understood would become the name of a file, with the password in it. No error quotes any
// part of the address, since nobody knows where the password of one that cannot be read begins.
func CheckAddress(address string) error {
	if IsPostgres(address) {
		_, err := parsePostgres(address)
		return err
	}
	path := FilePath(address)
	switch {
	case !strings.HasPrefix(address, "sqlite:"):
		return errors.New("must begin with sqlite: or postgres://, such as sqlite:/var/lib/gatehouse/gatehouse.db or " +
			"postgres://user:password@host/name, without quotes around it")
	case path == "":
		return errors.New("names no file behind sqlite:")
	case strings.Contains(path, "://"):
		return errors.New("has another address behind sqlite: where the path of a file must be")
	}
	return nil
}

// parsePostgres reads an address as pgx does.
func parsePostgres(address string) (*pgxpool.Config, error) {
	_, rest, _ := strings.Cut(address, "://")
	if i := strings.IndexAny(rest, "@/?#"); i >= 0 && rest[i] == '@' {
		rest = rest[i+1:]
	}
	// Where another @ follows, what stands before it would be taken for a host, a port or a database, and be told.
	unreadable := errors.New("cannot be read: in the user name, the password and behind the host write @ as %40, " +
		": as %3A, / as %2F, ? as %3F, # as %23 and % as %25")
	if strings.ContainsAny(rest, "@#") {
		return nil, unreadable
	}
	config, err := pgxpool.ParseConfig(address)
	if err == nil {
		return config, nil
	}
	// pgx quotes the address, and then says what is wrong with it.
	text := err.Error()
	said := strings.LastIndex(text, "`: ")
	if said < 0 {
		return nil, unreadable
	}
	reason := text[said+len("`: "):]
	switch {
	case strings.HasPrefix(reason, "failed to parse as URL"):
		return nil, unreadable
	case strings.Contains(reason, "sslmode is invalid"):
		reason = "sslmode must be disable, allow, prefer, require, verify-ca or verify-full"
	}
	return nil, errors.New("cannot be used: " + reason)
}

package admin

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/platform/config"
	"github.com/itsm-automation/gatehouse/internal/platform/failpoint"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/internal/server"
)

// Verdict is how a check of Doctor ended.
type Verdict string

// The verdicts. Only Bad is a fault; Warn is worth a look.
const (
	Good Verdict = "ok"
	Warn Verdict = "warn"
	Bad  Verdict = "FAIL"
)

// Diagnosis is one thing that Doctor looked at: what it found and, unless it is good, what to do.
type Diagnosis struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Finding string  `json:"finding"`
	Remedy  string  `json:"remedy,omitempty"`
}

// doctor collects what is found.
type doctor struct {
	ctx   context.Context
	c     config.Config
	log   *slog.Logger
	found []Diagnosis
}

func (d *doctor) say(check string, v Verdict, remedy, format string, args ...any) {
	for i, a := range args {
		if err, ok := a.(error); ok {
			args[i] = fault.Plain(err)
		}
	}
	d.found = append(d.found, Diagnosis{check, v, fmt.Sprintf(format, args...), remedy})
}

// Doctor looks at an installation, running or not, and changes nothing in it; a database that no server has opened yet
// gets its first keys.
func Doctor(ctx context.Context, c config.Config, log *slog.Logger) []Diagnosis {
	d := &doctor{ctx: ctx, c: c, log: log}
	if d.database() {
		d.installation()
	}
	d.redis()
	d.public()
	d.proxies()
	return d.found
}

// database checks what is below the tables; false: there is no use in looking at them.
func (d *doctor) database() bool {
	if path := sqldb.FilePath(d.c.Database.Reveal()); !sqldb.IsPostgres(path) {
		info, err := os.Stat(path)
		if err != nil {
			d.say("database", Bad, "Start the server once, or correct `database`.", "there is no file: %v", err)
			return false
		}
		if info.Mode().Perm()&0o077 != 0 {
			d.say("database file", Bad, "chmod 600 "+path, "others on this machine may open it (%v)",
				info.Mode().Perm())
		}
	}
	db, err := server.OpenDatabase(d.ctx, d.c, 2)
	switch {
	case sqldb.IsForbidden(err): // it may connect, and is no member of our roles
		d.say("database role", Bad, "Let somebody who may run: GRANT gatehouse_app TO login; GRANT "+
			"gatehouse_platform TO login; with the login of `database`.",
			"the login may not do what statements need: %v", err)
		return false
	case err != nil:
		reason := strings.Join(strings.Fields(fault.Plain(err)), " ") // one line, also of several servers
		d.say("database", Bad, openRemedy(err, reason), "it cannot be opened: %s", reason)
		return false
	}
	defer db.Close()
	d.say("database", Good, "", "%s answers", db.Engine())
	if err := db.CheckListen(d.ctx); err != nil {
		d.say("database_listen", Bad, "Let `database_listen` be the address of the same database as `database`, at "+
			"PostgreSQL itself.", "%v", err)
		return false
	} else if !d.c.DatabaseListen.IsZero() {
		d.say("database_listen", Good, "", "what is announced by way of `database` is heard there")
	}
	if db.Engine() == sqldb.Postgres {
		d.roles(db)
	}
	if err := db.CheckWrites(d.ctx); err != nil {
		d.say("database writes", Bad, "Point `database` at the primary, or let it write again "+
			"(default_transaction_read_only, free disk space): until then nobody signs in and nothing can be revoked.",
			"%v", err)
	}
	d.clock(db)
	steps, err := db.Migrations(d.ctx)
	if err != nil {
		d.say("schema", Bad, "Run gatehouse migrate.", "its state cannot be read: %v", err)
		return false
	}
	pending := 0
	for _, s := range steps {
		if !s.Applied {
			pending++
		}
	}
	if pending > 0 {
		d.say("schema", Bad, "Run gatehouse migrate, or start the server.", "%d of %d steps are pending", pending,
			len(steps))
		return false
	}
	d.say("schema", Good, "", "all %d steps are applied", len(steps))
	return true
}

// openRemedy is what helps against the reason why a database cannot be opened.
func openRemedy(err error, reason string) string {
	switch sqldb.Code(err) {
	case "28P01", "28000":
		return "Correct the user and the password in `database`, or pg_hba.conf on the server."
	case "3D000":
		return "Create the database, or correct its name in `database`."
	case "53300":
		return "Raise max_connections of the server, or lower database_connections of the nodes: they share them."
	case "42704", "22023":
		return "Correct what stands behind ? in `database`."
	case "57P03":
		return "Wait until the server has started."
	}
	switch {
	case sqldb.IsPooler(err):
		return "Set `database_listen` to the address of the same database at PostgreSQL itself, or let `database` be " +
			"that address."
	case strings.Contains(reason, "unsupported startup parameter"):
		return "Take the parameter out of `database`, or let PgBouncer ignore it (ignore_startup_parameters)."
	case strings.Contains(reason, "SASL authentication failed"), strings.Contains(reason, "no such user"):
		return "Correct the user and the password in `database`, or PgBouncer's auth_file."
	case strings.Contains(reason, "no such database"):
		return "Correct the name in `database`, or add it to PgBouncer's [databases]."
	case sqldb.Code(err) != "": // the server's own words say it
	case strings.Contains(reason, "certificate"):
		return "Name the file with the certificate of who signed the server's, in `database`: ?sslrootcert=/path."
	case strings.Contains(reason, "refused TLS"):
		return "Turn TLS on at the server, or ask for less in `database` (sslmode)."
	}
	return "Check the address in `database`, and that the server runs and can be reached."
}

func (d *doctor) roles(db *sqldb.DB) {
	login, err := db.Login(d.ctx)
	if err != nil {
		d.say("database role", Bad, "Let the login read pg_roles.", "%v", err)
		return
	}
	switch sql := login.Missing(); {
	case sql != "":
		d.say("database role", Bad, "Let somebody who may run: "+sql,
			"%s is no member of the roles that statements run as", login.Name)
	case login.Superuser || login.BypassesRLS:
		d.say("database role", Warn, "Give the server a login of its own: CREATE ROLE gatehouse LOGIN PASSWORD '…'; "+
			"and the two roles.", "%s is a superuser or bypasses row-level security; statements change to other "+
			"roles, but a mistake could reach everything", login.Name)
	default:
		d.say("database role", Good, "", "%s, neither superuser nor bypassing row-level security", login.Name)
	}
	bare, err := db.Unprotected(d.ctx)
	switch {
	case err != nil:
		d.say("row-level security", Bad, "", "%v", err)
	case len(bare) > 0:
		d.say("row-level security", Bad,
			"ALTER TABLE … ENABLE ROW LEVEL SECURITY; ALTER TABLE … FORCE ROW LEVEL SECURITY;", "not forced on %s",
			strings.Join(bare, ", "))
	default:
		d.say("row-level security", Good, "", "forced on every table")
	}
	facts, err := db.Server(d.ctx)
	if err != nil {
		d.say("PostgreSQL", Warn, "", "%v", err)
		return
	}
	if facts.Version < 150000 {
		d.say("PostgreSQL", Bad, "Use PostgreSQL 15 or newer.", "version %d", facts.Version/10000)
	}
	if facts.MaxConnections < 2*d.c.DatabasePool {
		d.say("connections", Warn, "Raise max_connections or lower database_connections: all nodes share them.",
			"the server takes %d, one node up to %d", facts.MaxConnections, d.c.DatabasePool+4)
	}
	if d.c.Failover == config.Keep && facts.SynchronousStandbys == "" {
		d.say("failover", Warn, "Set synchronous_standby_names, or database_failover: sign_in_again.",
			"database_failover is keep, but replication is not synchronous: a failover could bring revoked tokens "+
				"back to life")
	}
	if !facts.TellsTimeline {
		d.say("failover", Warn, "Run gatehouse restore --in-place --keep-machines after each failover or restore.",
			"this service does not tell when it was failed over")
	}
}

func (d *doctor) clock(db *sqldb.DB) {
	before := failpoint.Clock(time.Now())
	there, err := db.Now(d.ctx)
	if err != nil {
		d.say("clock", Bad, "", "%v", err)
		return
	}
	skew := there.Sub(before.Add(failpoint.Clock(time.Now()).Sub(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > server.MaxSkew {
		d.say("clock", Bad, "Let both machines follow NTP.", "this machine is %v off the database's", skew)
		return
	}
	d.say("clock", Good, "", "%v off the database's", skew)
}

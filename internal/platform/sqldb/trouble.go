package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// retryAfter is when a client may find the database well again.
const retryAfter = time.Second

// trouble tells a database that cannot serve now from everything else that may go wrong with a statement: it is
// nobody's fault and passes, so its answer is to come back (503), not that something is broken. Whether the statement
// was carried out is not known.
func trouble(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || !isTrouble(err) {
		return err
	}
	if isReadOnly(err) {
		return fault.Unavailablef(retryAfter, "The database takes no writes at the moment. Try again shortly.").
			Because(fmt.Errorf("%w: %w", errReadOnly, err))
	}
	return fault.Unavailablef(retryAfter, "The database does not answer. Try again shortly.").Because(err)
}

// errReadOnly marks a write that was refused by a database that reads.
var errReadOnly = errors.New("the database takes no writes")

// isReadOnly tells a database that is read-only, or whose disk is full, from one that does not answer.
func isReadOnly(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == readOnly || refused.Code == "53100"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code()&0xff == 8 || lite.Code()&0xff == 13)
}

// CheckWrites tells whether the database would take writes now; an error says why not. A SQLite file is found out when
// it is written to.
func (db *DB) CheckWrites(ctx context.Context) error {
	if db.kind != Postgres {
		return nil
	}
	var standby, readOnly bool
	err := db.Platform("whether the database takes writes").QueryRow(ctx, `SELECT pg_is_in_recovery(),
		current_setting('default_transaction_read_only')::boolean`).Scan(&standby, &readOnly)
	switch {
	case err != nil:
		return err
	case standby:
		return fmt.Errorf("%w: the PostgreSQL server is a standby", errReadOnly)
	case readOnly:
		return fmt.Errorf("%w: default_transaction_read_only is on, for the server, the database or the login",
			errReadOnly)
	}
	return nil
}

// WritesRefused is how many transactions failed because the database took no writes.
func (db *DB) WritesRefused() int64 { return db.refused.Load() }

// readOnly is what a server says that only reads.
const readOnly = "25006"

func isTrouble(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case readOnly, "40001", "40P01", "55P03", "57014":
			// read-only, serialization, deadlock, lock not available, cancelled by a timeout
			return true
		}
		switch refused.Code[:min(2, len(refused.Code))] { // connection, resources, operator intervention, system error
		case "08", "53", "57", "58":
			return true
		}
		return false
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff { // busy, locked, read-only, i/o, full, cannot open
		case 5, 6, 8, 10, 13, 14:
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, errNoConnection) ||
		errors.Is(err, errStandby) || errors.Is(err, errMoved) || errors.Is(err, errPooler) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.Timeout(err) || strings.Contains(err.Error(), "conn closed")
}

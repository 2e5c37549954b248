package sqldb

import (
	"context"
	"errors"
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
	return fault.Unavailablef(retryAfter, "The database does not answer. Try again shortly.").Because(err)
}

func isTrouble(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "25006", "40001", "40P01", "55P03", "57014":
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
		errors.Is(err, errStandby) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.Timeout(err) || strings.Contains(err.Error(), "conn closed")
}

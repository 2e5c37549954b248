package search

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/search/searchdb"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// Entry is something that can be found.
type Entry struct {
	Organization id.Organization
	Kind         string // as the queries of its domain name it
	ID           string
	Terms        Terms
}

// Add lets something new be found, in the transaction that writes it.
func Add(ctx context.Context, tx *sqldb.Tx, e Entry) error {
	if len(e.Terms) == 0 {
		e.Terms = Terms{""} // nobody searches for it; it tells that there is nothing else
	}
	q := searchdb.New(tx.Later())
	for _, term := range e.Terms {
		if err := q.Insert(ctx, e.Organization, e.Kind, term, e.ID); err != nil {
			return fmt.Errorf("search terms: %w", err)
		}
	}
	return nil
}

// Change lets something be found by its terms of now, and by no former ones, in the transaction that changes it.
func Change(ctx context.Context, tx *sqldb.Tx, before, now Entry) error {
	if slices.Equal(before.Terms, now.Terms) {
		return nil
	}
	if err := Drop(ctx, tx, before); err != nil {
		return err
	}
	return Add(ctx, tx, now)
}

// Drop lets something be found no more.
func Drop(ctx context.Context, tx *sqldb.Tx, e Entry) error {
	if err := searchdb.New(tx.Later()).Delete(ctx, e.Organization, e.Kind, e.ID); err != nil {
		return fmt.Errorf("search terms: %w", err)
	}
	return nil
}

// Source gives the next of a table's rows behind one, in the order of organizations and ids, and tells of each whether
// it has terms. It gives limit rows unless these are the last.
type Source func(ctx context.Context, org id.Organization, after string, limit int) ([]Row, error)

// Row is a row that Source has looked at.
type Row struct {
	Entry
	Found bool
}

// Service writes terms that are missing.
type Service struct{ db *sqldb.DB }

// New makes the service.
func New(db *sqldb.DB) *Service { return &Service{db} }

const fillBatch = 500

// Fill gives terms to rows without: a node of a former version wrote them. It goes on to the next source after a
// failure, and ends early if hold says that another node is at it; complete tells whether everything was looked at. A
// change at the same moment may leave a term of before; the next change removes it.
func (s *Service) Fill(ctx context.Context, sources []Source, hold func() (bool, error)) (complete bool, err error) {
	var failed error
	for _, next := range sources {
		held, err := s.fill(ctx, next, hold)
		if failed = errors.Join(failed, err); !held {
			return false, failed
		}
	}
	return failed == nil, failed
}

// fill does it for one source; held tells whether this node is still the one to do it.
func (s *Service) fill(ctx context.Context, next Source, hold func() (bool, error)) (held bool, err error) {
	for last := (Entry{}); ; {
		if held, err := hold(); err != nil || !held {
			return false, err
		}
		rows, err := next(ctx, last.Organization, last.ID, fillBatch)
		if err != nil {
			return true, err
		}
		if err := s.add(ctx, rows); err != nil || len(rows) < fillBatch {
			return true, err
		}
		last = rows[len(rows)-1].Entry
	}
}

func (s *Service) add(ctx context.Context, rows []Row) error {
	if !slices.ContainsFunc(rows, func(r Row) bool { return !r.Found }) {
		return nil
	}
	return s.db.PlatformTx(ctx, "terms that are missing, of all organizations", func(tx *sqldb.Tx) error {
		for _, r := range rows {
			if r.Found {
				continue
			}
			if err := Add(ctx, tx, r.Entry); err != nil {
				return err
			}
		}
		return nil
	})
}

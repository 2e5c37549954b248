package search

import (
	"context"
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

// Source gives the next of a table's rows that have no terms, behind one, in the order of organizations and ids. The
// node that wrote them did not know of terms, or a restore made these void.
type Source func(ctx context.Context, org id.Organization, after string, limit int) ([]Entry, error)

// Service writes terms that are missing.
type Service struct{ db *sqldb.DB }

// New makes the service.
func New(db *sqldb.DB) *Service { return &Service{db} }

const fillBatch = 500

// Fill gives terms to what has none. A change at the same time may leave a term of before; the next change removes it.
func (s *Service) Fill(ctx context.Context, sources []Source) error {
	for _, next := range sources {
		var last Entry
		for {
			entries, err := next(ctx, last.Organization, last.ID, fillBatch)
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				break
			}
			last = entries[len(entries)-1]
			err = s.db.PlatformTx(ctx, "terms that are missing, of all organizations", func(tx *sqldb.Tx) error {
				for _, e := range entries {
					if err := Add(ctx, tx, e); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("search terms: %w", err)
			}
		}
	}
	return nil
}

// Void forgets all terms: what a restore carries over may have other names. They are written anew.
func (s *Service) Void(sqldb.Restore) []sqldb.Step {
	return []sqldb.Step{{SQL: `DELETE FROM search_terms WHERE CAST($1 AS BIGINT) > 0`}}
}

package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatehouse/internal/core/id"
	"gatehouse/internal/domain/session/sessiondb"
	"gatehouse/internal/platform/invalidation"
	"gatehouse/internal/platform/sqldb"
)

// stampEvery is how exactly the last use is known; within it a session is stamped once.
const stampEvery = 10 * time.Second

// FlushEvery is how often stamps are written.
const FlushEvery = 15 * time.Second

type stamp struct {
	used    time.Time
	expires time.Time
	address string
}

// stamps are uses not yet written. A session's use costs one look into a map, and a write into it every stampEvery.
type stamps struct {
	mu      sync.RWMutex
	waiting map[invalidation.Key]stamp
	seen    map[invalidation.Key]time.Time // last stamped in this interval, so that a flush does not begin it anew
}

func newStamps() *stamps {
	return &stamps{waiting: make(map[invalidation.Key]stamp), seen: make(map[invalidation.Key]time.Time)}
}

func (st *stamps) pending(k invalidation.Key) (time.Time, bool) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	s, ok := st.waiting[k]
	return s.used, ok
}

// Touch notes a use of a session. It writes nothing itself.
func (s *Service) Touch(f Session, now time.Time, address string) {
	k := key(f.Organization, f.ID)
	s.stamps.mu.RLock()
	last, ok := s.stamps.seen[k]
	s.stamps.mu.RUnlock()
	if ok && now.Sub(last) < stampEvery {
		return
	}
	s.stamps.mu.Lock()
	s.stamps.seen[k] = now
	s.stamps.waiting[k] = stamp{used: now, expires: f.Deadline(now), address: address}
	s.stamps.mu.Unlock()
}

// Flush writes the waiting stamps, one transaction an organization, rows in order of their ids. What fails stays for the next time.
func (s *Service) Flush(ctx context.Context) error {
	s.stamps.mu.Lock()
	batch := s.stamps.waiting
	s.stamps.waiting = make(map[invalidation.Key]stamp)
	for k, at := range s.stamps.seen {
		if s.now().Sub(at) >= stampEvery {
			delete(s.stamps.seen, k)
		}
	}
	s.stamps.mu.Unlock()

	byOrganization := make(map[id.Organization][]invalidation.Key)
	for k := range batch {
		byOrganization[k.Organization] = append(byOrganization[k.Organization], k)
	}
	var failed error
	for org, keys := range byOrganization {
		slices.SortFunc(keys, func(a, b invalidation.Key) int { return cmp.Compare(a.ID, b.ID) })
		err := s.db.Tx(ctx, org, func(tx *sqldb.Tx) error {
			q := sessiondb.New(tx)
			for _, k := range keys {
				st := batch[k]
				if _, err := q.Stamp(ctx, sessiondb.StampParams{UsedAt: sqldb.MillisOf(st.used), ExpiresAt: sqldb.MillisOf(st.expires), Address: st.address, OrganizationID: org, ID: id.Session(k.ID)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			failed = errors.Join(failed, err)
			s.stamps.mu.Lock()
			for _, k := range keys {
				if _, newer := s.stamps.waiting[k]; !newer {
					s.stamps.waiting[k] = batch[k]
				}
			}
			s.stamps.mu.Unlock()
		}
	}
	return failed
}

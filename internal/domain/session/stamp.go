package session

import (
	"time"
)

// stampEvery is how exactly the last use is known; within it a session is stamped once. It is a tenth of the shortest
// idle limit, so that no session in use seems idle.
const stampEvery = 30 * time.Second

// FlushEvery is how often stamps are written.
const FlushEvery = 15 * time.Second

// use is what is known of a session's last use.
type use struct {
	at      time.Time
	expires time.Time
	address string
}

// Touch notes a use of a session. It writes nothing itself.
func (s *Service) Touch(f Session, now time.Time, address string) {
	if k := key(f.Organization, f.ID); s.uses.Due(k, now) {
		s.uses.Note(k, now, use{now, f.Deadline(now), address})
	}
}

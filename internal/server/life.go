package server

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/domain/attempt"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/client"
	"github.com/itsm-automation/gatehouse/internal/domain/credential"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/onetime"
	"github.com/itsm-automation/gatehouse/internal/domain/organization"
	"github.com/itsm-automation/gatehouse/internal/domain/role"
	"github.com/itsm-automation/gatehouse/internal/domain/search"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/signingkey"
	"github.com/itsm-automation/gatehouse/internal/domain/token"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/jobs"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/ratelimit"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// What an owner of tables may do for the whole. Each is optional; whoever has the method is asked.
type (
	// purger removes what nobody needs any more, at most limit rows of a table, and says how many.
	purger interface {
		Purge(ctx context.Context, now time.Time, limit int) (int64, error)
	}
	// flusher writes what waits in memory, such as last uses.
	flusher interface {
		Flush(ctx context.Context) error
	}
	// voider says what must not come back to life with an earlier state of the database.
	voider interface {
		Void(r sqldb.Restore) []sqldb.Step
	}
	// carrier says what is taken over from a later state of the database.
	carrier interface {
		Carry() []sqldb.Carry
	}
	// finder walks over what a search finds.
	finder interface {
		Findable() []search.Source
	}
	// marker tells the states of an installation apart.
	marker interface {
		Marks() []sqldb.Mark
	}
)

// Who has which method. A signature that changes, or a name that is mistyped, does not compile.
var (
	_ = []purger{(*onetime.Service)(nil), (*attempt.Service)(nil), (*session.Service)(nil), (*token.Service)(nil),
		(*user.Service)(nil), (*mfa.Service)(nil), (*mail.Outbox)(nil), (*ratelimit.Limiter)(nil),
		(*organization.Service)(nil)}
	_ = []flusher{(*session.Service)(nil), (*credential.Service)(nil), (*client.Service)(nil)}
	_ = []voider{(*onetime.Service)(nil), (*session.Service)(nil), (*token.Service)(nil), (*client.Service)(nil),
		(*credential.Service)(nil), (*user.Service)(nil), (*mfa.Service)(nil), (*signingkey.Service)(nil),
		(*mail.Outbox)(nil), (*jobs.Leases)(nil)}
	_ = []carrier{(*organization.Service)(nil), (*role.Service)(nil), (*user.Service)(nil), (*client.Service)(nil),
		(*credential.Service)(nil), (*mfa.Service)(nil), (*signingkey.Service)(nil)}
	_ = []finder{(*organization.Service)(nil), (*user.Service)(nil), (*client.Service)(nil),
		(*credential.Service)(nil)}
	_ = []marker{(*organization.Service)(nil), (*audit.Service)(nil)}
)

// own notes owners of tables.
func (s *Server) own(owners ...any) { s.owners = append(s.owners, owners...) }

// each calls do with every owner that has the methods of T.
func each[T any](s *Server, do func(T)) {
	for _, o := range s.owners {
		if t, ok := o.(T); ok {
			do(t)
		}
	}
}

// Void is what a restore makes void.
func (s *Server) Void(r sqldb.Restore) (steps []sqldb.Step) {
	each(s, func(v voider) { steps = append(steps, v.Void(r)...) })
	return steps
}

// Carry is what a restore takes over from the database that was in use until then.
func (s *Server) Carry() (carried []sqldb.Carry) {
	each(s, func(c carrier) { carried = append(carried, c.Carry()...) })
	return carried
}

// Marks tell whether that database descends from the backup.
func (s *Server) Marks() (marks []sqldb.Mark) {
	each(s, func(m marker) { marks = append(marks, m.Marks()...) })
	return marks
}

// flush writes what waits in memory.
func (s *Server) flush(ctx context.Context) (err error) {
	each(s, func(f flusher) { err = errors.Join(err, f.Flush(ctx)) })
	return err
}

// job is work in the background, until its context ends.
type job func(ctx context.Context)

// run hands over a job.
func (s *Server) run(do job) { s.jobs = append(s.jobs, do) }

// every hands over a job that is done again and again.
func (s *Server) every(name string, pause time.Duration, do func(ctx context.Context) error) {
	s.run(func(ctx context.Context) { jobs.Every(ctx, s.log, name, pause, do) })
}

// Start begins the background work.
func (s *Server) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	if s.Redis != nil {
		s.Redis.Start()
	}
	for _, j := range s.jobs {
		s.running.Go(func() { j(ctx) })
	}
}

// settle is done once in a process: tests build hundreds of servers.
var settle sync.Once

// auditSizePart tells how much the audit log holds.
func auditSizePart(_ context.Context, s *Server) error {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		s.Metrics.MustRegister(g)
		return g
	}
	events := gauge("gatehouse_audit_events", "Events in the audit log; on PostgreSQL an estimate.")
	bytes := gauge("gatehouse_audit_bytes", "What the audit log takes on disk, with its indexes.")
	measure := func(ctx context.Context) error {
		size, err := s.Audit.Size(ctx)
		events.Set(float64(size.Rows))
		bytes.Set(float64(size.Bytes))
		return err
	}
	s.run(func(ctx context.Context) {
		if err := measure(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the audit log was not measured", "error", err)
		}
	})
	s.every("audit size", time.Hour, measure)
	return nil
}

// Terms that are missing are looked for at the start and once a day. A round that fails, or that another node was at,
// is tried again soon: a node of the former version may have gone on writing meanwhile.
const (
	fillEvery = 24 * time.Hour
	fillAgain = 10 * time.Minute
)

// searchPart gives search terms to what a node wrote that did not know of them.
func searchPart(_ context.Context, s *Server) error {
	terms := search.New(s.DB)
	var due time.Time
	fill := func(ctx context.Context) error {
		if s.now().Before(due) {
			return nil
		}
		var sources []search.Source
		each(s, func(f finder) { sources = append(sources, f.Findable()...) })
		complete, err := terms.Fill(ctx, sources, func() (bool, error) { // one node at a time
			return s.Leases.Hold(ctx, "search terms", time.Minute)
		})
		if complete {
			due = s.now().Add(fillEvery)
		}
		return err
	}
	s.run(func(ctx context.Context) {
		if err := fill(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("search terms were not written", "error", err)
		}
		jobs.Every(ctx, s.log, "search terms", fillAgain, fill)
	})
	return nil
}

const (
	purgeBatch = 1000
	quietEvery = 4 * time.Second
)

// housekeepingPart writes what waits, makes keys in time, gives memory back, and removes what expired.
func housekeepingPart(_ context.Context, s *Server) error {
	s.housekeeping = prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_housekeeping_runs_total",
		Help: "Rounds of housekeeping that this node did."})
	s.purged = prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_housekeeping_rows_total",
		Help: "Rows that this node removed, or counted as gone."})
	s.Metrics.MustRegister(s.housekeeping, s.purged)
	s.every("last uses", session.FlushEvery, s.flush)
	s.run(func(ctx context.Context) {
		if err := s.Keys.Prepare(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("signing keys could not be prepared", "error", err)
		}
		settle.Do(debug.FreeOSMemory) // building the server leaves much behind
	})
	s.every("memory", quietEvery, func(context.Context) error {
		if s.Hasher.Quiet() {
			// what hashes leave behind is large, and a server at rest allocates too little to be collected soon
			debug.FreeOSMemory()
		}
		return nil
	})
	s.every("housekeeping", time.Duration(s.Config.Housekeeping), s.housekeep)
	return nil
}

// housekeep removes what nobody needs any more, on one node at a time: the one that holds the lease, and holds it again
// with every batch.
func (s *Server) housekeep(ctx context.Context) error {
	term := 2*time.Duration(s.Config.Housekeeping) + time.Minute
	if held, err := s.Leases.Hold(ctx, "housekeeping", term); err != nil || !held {
		return err
	}
	s.housekeeping.Inc()
	var failed error
	var purgers []purger
	each(s, func(p purger) { purgers = append(purgers, p) })
	for _, p := range purgers {
		for {
			n, err := p.Purge(ctx, s.now(), purgeBatch)
			s.purged.Add(float64(n))
			if failed = errors.Join(failed, err); err != nil || n < purgeBatch {
				break
			}
			if held, err := s.Leases.Hold(ctx, "housekeeping", term); err != nil || !held {
				return errors.Join(failed, err)
			}
		}
	}
	operator, err := s.Organizations.Operator(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, s.Keys.Prepare(ctx),
		s.Keys.Housekeep(ctx, principal.NewSystem("housekeeping", operator.ID)))
}

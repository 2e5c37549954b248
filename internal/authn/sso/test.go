package sso

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/itsm-automation/gatehouse/internal/authn/upstream"
	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/audit"
	"github.com/itsm-automation/gatehouse/internal/domain/connection"
	"github.com/itsm-automation/gatehouse/internal/platform/outbound"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// TestResult is what a test sign-in found. It created nothing.
type TestResult struct {
	State    string           `json:"state" enum:"waiting,passed,failed"`
	Account  string           `json:"account,omitempty" doc:"What a sign-in would do: linked, claimed, created; or why it would be refused"`
	UserID   string           `json:"userId,omitempty" doc:"The account it would open; empty: a new one, or none"`
	Role     string           `json:"role,omitempty" doc:"The role it would give"`
	Why      string           `json:"why,omitempty" doc:"Which rule gives the role"`
	Subject  string           `json:"subject,omitempty"`
	Email    string           `json:"email,omitempty"`
	Verified bool             `json:"emailVerified,omitzero"`
	Groups   []string         `json:"groups,omitempty" nullable:"false"`
	Factors  bool             `json:"secondFactorProven,omitzero" doc:"The connection is trusted for a second factor, and the provider proved one"`
	Checks   []upstream.Check `json:"checks" nullable:"false"`
	Claims   map[string]any   `json:"claims" doc:"Everything the provider told"`

	By id.User `json:"-"`
}

// stored is a result as it is kept.
type storedResult struct {
	Result TestResult `json:"result"`
	By     id.User    `json:"by"`
	// Blind is one for who sets up with a link: whose account it would be is the organization's to know. Bare is one
	// of a connection in use: what people tell is none of theirs either.
	Blind bool `json:"blind,omitempty"`
	Bare  bool `json:"bare,omitempty"`
}

// How long a test can be begun and read, and for how long it counts as proof that a connection works.
const (
	TestLifetime = time.Hour
	testCounts   = 7 * 24 * time.Hour

	purposeTest   = "sso_test"
	purposeTested = "sso_tested"
)

// PrepareTest makes a test sign-in: a handle with which a browser begins it and an administrator reads the result. It
// needs sso:update:all.
func (s *Service) PrepareTest(ctx context.Context, p principal.Principal, c id.Connection) (handle secret.Secret,
	until time.Time, err error) {
	found, err := s.Connections.Get(ctx, p, c)
	if err != nil {
		return handle, until, err
	}
	now := s.Now()
	until = now.Add(TestLifetime)
	stored := storedResult{Result: TestResult{State: "waiting", Checks: []upstream.Check{}}}
	if p.Kind == principal.SetupLink {
		stored.Blind, stored.Bare = true, found.State != connection.Draft
	} else {
		stored.By = p.UserID()
	}
	payload, err := json.Marshal(stored)
	if err != nil {
		return handle, until, err
	}
	err = s.DB.Tx(ctx, p.Organization, func(tx *sqldb.Tx) error {
		handle, err = s.OneTime.Add(ctx, tx, p.Organization, purposeTest, string(found.ID), string(payload), now,
			until)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, now, p, audit.Entry{Act: "connection.test_begun", TargetKind: "connection",
			TargetID: string(found.ID)})
	})
	return handle, until, err
}

// BeginTest sends a browser with the handle of a test to the provider.
func (s *Service) BeginTest(ctx context.Context, handle, browser secret.Secret, source principal.Source) (Begun,
	error) {
	found, err := s.OneTime.Look(ctx, purposeTest, handle, s.Now())
	if fault.Is(err, fault.Unauthenticated) {
		return Begun{}, errRound()
	}
	if err != nil {
		return Begun{}, err
	}
	c, err := s.Connections.Facts(ctx, found.Organization, id.Connection(found.Subject))
	if err != nil {
		return Begun{}, unknown(err)
	}
	if err := s.admit(ctx, c, source); err != nil {
		return Begun{}, err
	}
	return s.send(ctx, c, flow{Kind: c.Kind, Test: handle.Reveal()}, browser)
}

// TestResult gives what a test found so far. It needs sso:read:all.
func (s *Service) TestResult(ctx context.Context, p principal.Principal, c id.Connection,
	handle secret.Secret) (TestResult, error) {
	found, err := s.OneTime.Look(ctx, purposeTest, handle, s.Now())
	if fault.Is(err, fault.Unauthenticated) || err == nil && (found.Organization != p.Organization ||
		found.Subject != string(c)) {
		return TestResult{}, fault.NotFoundf("There is no such test.")
	}
	if err != nil {
		return TestResult{}, err
	}
	var r storedResult
	if err := json.Unmarshal([]byte(found.Payload), &r); err != nil {
		return TestResult{}, fmt.Errorf("test of a sign-in: %w", err)
	}
	return r.Result, nil
}

// Tested tells whether the principal has signed in with a connection in a test that passed, and lately.
func (s *Service) Tested(ctx context.Context, p principal.Principal, c connection.Connection) (bool, error) {
	payload, ok, err := s.OneTime.Has(ctx, p.Organization, purposeTested, testedBy(c.ID, p.UserID()), s.Now())
	return ok && payload == versionOf(c), err
}

func testedBy(c id.Connection, u id.User) string { return string(c) + " " + string(u) }

// versionOf tells settings apart: a test of former ones proves nothing.
func versionOf(c connection.Connection) string { return fmt.Sprint(c.UpdatedAt.UnixMilli()) }

// test ends a round that only tells what it would do.
func (r round) test(ctx context.Context) (Landing, error) {
	handle := secret.New(r.Test)
	found, err := r.OneTime.Look(ctx, purposeTest, handle, r.Now())
	if err != nil {
		return Landing{}, errRound()
	}
	var kept storedResult
	if err := json.Unmarshal([]byte(found.Payload), &kept); err != nil {
		return Landing{}, fmt.Errorf("test of a sign-in: %w", err)
	}
	c, err := r.standing(ctx)
	var answer upstream.Answer
	if err == nil {
		answer, err = r.answer(ctx, c)
	}
	res := resultOf(c, answer, err)
	if kept.Bare {
		res = TestResult{State: res.State, Checks: res.Checks, Claims: map[string]any{}}
	}
	if err == nil && !kept.Blind {
		o, refusal := r.Connections.Admit(ctx, connection.Attempt{Connection: c, Person: answer.Person, DryRun: true,
			Source: r.in.Source})
		res.Account, res.UserID, res.Role, res.Why = o.How, string(o.User.ID), o.Decision.Role, o.Decision.Why
		if refusal != nil {
			res.State, res.Account = "failed", fault.Of(refusal).Message
		} else if res.Role == "" {
			res.Role = o.User.Role
		}
	}
	kept.Result = res
	payload, err := json.Marshal(kept)
	if err != nil {
		return Landing{}, err
	}
	now := r.Now()
	err = r.DB.Tx(ctx, r.org, func(tx *sqldb.Tx) error {
		if err := r.OneTime.Write(ctx, tx, r.org, purposeTest, handle, string(payload), now); err != nil {
			return err
		}
		if res.State == "passed" && kept.By != "" && res.UserID == string(kept.By) { // they themselves came in
			if _, err := r.OneTime.Issue(ctx, tx, r.org, purposeTested, testedBy(c.ID, kept.By), versionOf(c), now,
				now.Add(testCounts)); err != nil {
				return err
			}
		}
		p := principal.NewSystem("connection "+string(r.connection), r.org)
		p.Source = r.in.Source
		return audit.RecordIn(ctx, tx, now, r.org, p, audit.Entry{Act: "connection.tested", TargetKind: "connection",
			TargetID: string(r.connection), Details: map[string]string{"result": res.State}})
	})
	return Landing{Test: &res}, err
}

// resultOf shows an answer, whether it passed or not.
func resultOf(c connection.Connection, a upstream.Answer, err error) TestResult {
	res := TestResult{
		State:    "passed",
		Subject:  a.Subject,
		Email:    a.Email,
		Verified: a.EmailVerified,
		Groups:   a.Groups,
		Factors:  proves(c.Trust, a),
		Checks:   a.Checks,
		Claims:   a.Claims,
	}
	var failed *upstream.Failure
	var unreachable *upstream.Unreachable
	var said *providerError
	switch {
	case err == nil:
	case errors.As(err, &failed):
		res.State, res.Checks = "failed", failed.Checks
	case errors.As(err, &unreachable):
		res.State = "failed"
		res.Checks = append(res.Checks, upstream.Check{Name: "reachable", Found: outbound.Plainly(unreachable.Cause),
			Remedy: "This server must reach the provider over https, and the provider's documents must be as the " +
				"connection says."})
	case errors.As(err, &said):
		res.State = "failed"
		res.Checks = append(res.Checks, upstream.Check{
			Name:   "provider",
			Found:  said.Error(),
			Remedy: "The provider refused. Its own log says why; often the person was not assigned to the application.",
		})
	default:
		res.State = "failed"
		res.Checks = append(res.Checks, upstream.Check{Name: "connection", Found: fault.Of(err).Message})
	}
	if res.Checks == nil {
		res.Checks = []upstream.Check{}
	}
	return res
}

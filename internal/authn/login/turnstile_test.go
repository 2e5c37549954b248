package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
)

// crowd tells whether an error is that of a crowded turnstile.
func crowd(err error) bool {
	f := fault.Of(err)
	return err != nil && f.Kind == fault.Unavailable && f.Code == fault.CodeUnavailable &&
		f.RetryAfter == 2*time.Second
}

// forgotten fails the test if a gate is left behind.
func (t *turnstile) forgotten(test *testing.T) {
	test.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.gates) != 0 {
		test.Errorf("%d gates are left", len(t.gates))
	}
}

// ATK47: two tries at an account are looked at at once; the others wait, in the order in which they came.
func TestATK47_TwoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, began := newTurnstile(), time.Now()
		var mu sync.Mutex
		var order []string
		inside, most := 0, 0
		for i := range 7 {
			go func() {
				leave, err := s.enter(t.Context(), "ana")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				order = append(order, fmt.Sprintf("%d at %s", i, time.Since(began)))
				mu.Unlock()
				time.Sleep(time.Second + time.Duration(i)) // so that one leaves after the other
				mu.Lock()
				inside--
				mu.Unlock()
				leave()
			}()
			synctest.Wait()
		}
		other, err := s.enter(t.Context(), "bo")
		if err != nil || time.Since(began) != 0 {
			t.Errorf("another account waits: %v after %s", err, time.Since(began))
		}
		other()
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"0 at 0s", "1 at 0s", "2 at 1s", "3 at 1.000000001s", "4 at 2.000000002s",
			"5 at 2.000000004s", "6 at 3.000000006s"}
		if most != TriesAtOnce || !slices.Equal(order, want) {
			t.Errorf("%d at once, in the order %v", most, order)
		}
		s.forgotten(t)
	})
}

// ATK47, ATK49: who finds too many waiting is sent away at once, and who waits too long or gives up, then; none of them
// is counted any more afterwards.
func TestATK49_Crowded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, began := newTurnstile(), time.Now()
		var leaves []func()
		for range TriesAtOnce {
			leave, err := s.enter(t.Context(), "ana")
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		ctx, cancel := context.WithCancel(t.Context())
		type outcome struct {
			err  error
			took time.Duration
		}
		outcomes := make(chan outcome, TriesWaiting)
		for i := range TriesWaiting {
			own := t.Context()
			if i == 0 {
				own = ctx
			}
			go func() {
				_, err := s.enter(own, "ana")
				outcomes <- outcome{err, time.Since(began)}
			}()
		}
		synctest.Wait()
		if _, err := s.enter(t.Context(), "ana"); !crowd(err) || time.Since(began) != 0 {
			t.Errorf("one too many: %v after %s", err, time.Since(began))
		}
		time.Sleep(time.Second)
		cancel()
		if o := <-outcomes; !errors.Is(o.err, context.Canceled) || o.took != time.Second {
			t.Errorf("who gave up: %v after %s", o.err, o.took)
		}
		late := make(chan outcome)
		go func() {
			_, err := s.enter(t.Context(), "ana")
			late <- outcome{err, time.Since(began)}
		}()
		synctest.Wait()
		if _, err := s.enter(t.Context(), "ana"); !crowd(err) {
			t.Errorf("one place was left, and two got in line: %v", err)
		}
		for range TriesWaiting - 1 {
			if o := <-outcomes; !crowd(o.err) || o.took != 5*time.Second {
				t.Errorf("who waited: %v after %s", o.err, o.took)
			}
		}
		if o := <-late; !crowd(o.err) || o.took != 6*time.Second {
			t.Errorf("who came later: %v after %s", o.err, o.took)
		}
		for _, leave := range leaves {
			leave()
		}
		s.forgotten(t)
		if leave, err := s.enter(t.Context(), "ana"); err != nil {
			t.Errorf("afterwards: %v", err)
		} else {
			leave()
		}
		s.forgotten(t)
	})
}

package stamp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/platform/invalidation"
	"github.com/itsm-automation/gatehouse/internal/platform/stamp"
)

const every = 30 * time.Second

// noon is some moment.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func key(org, thing string) invalidation.Key {
	return invalidation.Key{Organization: id.Organization(org), ID: thing}
}

var thing = key("org_acme", "key_1")

// journal writes down what is flushed; what fails is told by organization.
type journal struct {
	mu    sync.Mutex
	lines []string
	fails map[id.Organization]error
}

func (j *journal) write(_ context.Context, org id.Organization, uses []stamp.Use[int]) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.fails[org]; err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprint(&b, org)
	for _, u := range uses {
		fmt.Fprintf(&b, " %s=%d", u.ID, u.V)
	}
	j.lines = append(j.lines, b.String())
	return nil
}

// flushed gives what was written since the last time, organizations in order.
func (j *journal) flushed() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	slices.Sort(lines)
	return lines
}

func want(t *testing.T, what string, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Errorf("%s: got %q, want %q", what, got, lines)
	}
}

// C6: a use is worth noting once in an interval, whether a flush comes between or not.
func TestC6_Due(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		noted   time.Duration // of the use before; negative: none
		flushed time.Duration // when it was flushed; negative: never
		at      time.Duration
		want    bool
	}{
		{"the first", -1, -1, 0, true},
		{"at once", 0, -1, 0, false},
		{"just before the interval ends", 0, -1, every - 1, false},
		{"when the interval ends", 0, -1, every, true},
		{"after a flush in the interval", 0, every / 2, every - 1, false},
		{"after a flush when the interval ends", 0, every / 2, every, true},
		{"after a flush behind the interval", 0, every, every + 1, true},
		{"when the clock was set back", every, -1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, j := stamp.New[int](every), &journal{}
			if c.noted >= 0 {
				b.Note(thing, noon.Add(c.noted), 1)
			}
			if c.flushed >= 0 {
				if err := b.Flush(t.Context(), noon.Add(c.flushed), j.write); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.Due(thing, noon.Add(c.at)); got != c.want {
				t.Errorf("due: %v", got)
			}
			if !b.Due(key("org_acme", "key_2"), noon.Add(c.at)) || !b.Due(key("org_other", "key_1"), noon.Add(c.at)) {
				t.Error("another thing is not due")
			}
		})
	}
}

// C6: a flush writes each use once, the last of a thing, one call an organization, in the order of the ids: in two
// orders two nodes could wait for each other for ever.
func TestC6_Flush(t *testing.T) {
	t.Parallel()
	b, j := stamp.New[int](every), &journal{}
	for i, id := range []string{"key_3", "key_1", "key_2", "key_9", "key_4"} {
		b.Note(key("org_acme", id), noon, i)
	}
	b.Note(key("org_other", "key_1"), noon, 7)
	b.Note(thing, noon.Add(every), 8)
	if got, ok := b.Pending(thing); got != 8 || !ok {
		t.Errorf("pending: %d, %v", got, ok)
	}
	if err := b.Flush(t.Context(), noon, j.write); err != nil {
		t.Fatal(err)
	}
	want(t, "the first flush", j.flushed(), "org_acme key_1=8 key_2=2 key_3=0 key_4=4 key_9=3", "org_other key_1=7")
	if _, ok := b.Pending(thing); ok {
		t.Error("what was written is pending")
	}
	if err := b.Flush(t.Context(), noon, j.write); err != nil {
		t.Fatal(err)
	}
	want(t, "the second flush", j.flushed())
}

// C6, ATK29: what could not be written stays for the next time, holds up no other organization, and is told.
func TestC6_FailedFlush(t *testing.T) {
	t.Parallel()
	broken, gone := errors.New("broken"), errors.New("gone")
	b, j := stamp.New[int](every), &journal{fails: map[id.Organization]error{"org_acme": broken, "org_third": gone}}
	for i, org := range []string{"org_acme", "org_other", "org_third"} {
		b.Note(key(org, "key_1"), noon, i)
	}
	if err := b.Flush(t.Context(), noon, j.write); !errors.Is(err, broken) || !errors.Is(err, gone) {
		t.Errorf("told: %v", err)
	}
	want(t, "what could be written", j.flushed(), "org_other key_1=1")
	if got, ok := b.Pending(thing); got != 0 || !ok {
		t.Error("what could not be written is lost")
	}
	if b.Due(thing, noon.Add(every-1)) {
		t.Error("a failed flush begins the interval anew")
	}
	j.fails = nil
	if err := b.Flush(t.Context(), noon.Add(time.Hour), j.write); err != nil {
		t.Fatal(err)
	}
	want(t, "the next time", j.flushed(), "org_acme key_1=0", "org_third key_1=2")
}

// C6: a use that is noted while a flush runs is neither lost nor replaced by the older one that the flush holds.
func TestC6_NotedDuringFlush(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails error
	}{{"a flush that succeeds", nil}, {"a flush that fails", errors.New("broken")}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, j := stamp.New[int](every), &journal{}
				b.Note(thing, time.Now(), 1)
				b.Note(key("org_acme", "key_2"), time.Now(), 1)
				done := make(chan error)
				go func() {
					done <- b.Flush(t.Context(), time.Now(), func(context.Context, id.Organization,
						[]stamp.Use[int]) error {
						time.Sleep(time.Minute)
						return c.fails
					})
				}()
				synctest.Wait() // the flush is writing
				time.Sleep(every)
				if !b.Due(thing, time.Now()) {
					t.Error("a running flush makes a use not worth noting")
				}
				b.Note(thing, time.Now(), 2)
				if err := <-done; !errors.Is(err, c.fails) {
					t.Fatal(err)
				}
				if err := b.Flush(t.Context(), time.Now(), j.write); err != nil {
					t.Fatal(err)
				}
				if c.fails == nil {
					want(t, "the next flush", j.flushed(), "org_acme key_1=2")
				} else {
					want(t, "the next flush", j.flushed(), "org_acme key_1=2 key_2=1")
				}
			})
		})
	}
}

// C6: a thing in use all the time is noted, and written, once an interval.
func TestC6_Rhythm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, j := stamp.New[int](every), &journal{}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // as the server does
			for tick := time.NewTicker(every); ; {
				select {
				case <-tick.C:
					if err := b.Flush(ctx, time.Now(), j.write); err != nil {
						t.Error(err)
					}
				case <-ctx.Done():
					tick.Stop()
					return
				}
			}
		}()
		time.Sleep(time.Second / 2) // so that no request comes at the moment of a flush
		uses := 0
		for i := range 10 * 60 { // ten minutes of requests, one a second
			if b.Due(thing, time.Now()) {
				b.Note(thing, time.Now(), i)
				uses++
			}
			time.Sleep(time.Second)
		}
		time.Sleep(every)
		cancel()
		synctest.Wait()
		lines := j.flushed()
		if uses != 20 || len(lines) != 20 {
			t.Errorf("%d uses noted and %d written in 20 intervals", uses, len(lines))
		}
		if _, ok := b.Pending(thing); ok {
			t.Error("the last use is not written")
		}
	})
}

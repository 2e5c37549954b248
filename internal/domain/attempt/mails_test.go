package attempt

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/platform/keyring"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
	"github.com/itsm-automation/gatehouse/test/sqldbtest"
)

// G8: of many mails at once, over two nodes, exactly as many are counted as the smallest bound allows. A refused one is
// counted nowhere, and when the window has passed the count begins anew.
func TestG8_MailsAreCountedExactly(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ring, err := keyring.New([]secret.Secret{keyring.Generate()})
		if err != nil {
			t.Fatal(err)
		}
		var later atomic.Int64
		now := func() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(later.Load())) }
		nodes := []*Service{New(db, ring, DefaultLimits, now), New(db, ring, DefaultLimits, now)}
		send := func(node int, to string) error {
			return nodes[node].CountMail(context.WithoutCancel(t.Context()), time.Hour, []mail.Bound{
				{Subject: "to\x00" + to, Most: 10, Refusal: "address"},
				{Subject: "of\x00acme", Most: 25, Refusal: "org"},
				{Subject: "all", Most: 1000, Refusal: "all"}})
		}
		burst := func(to string) (sent int64) {
			var n atomic.Int64
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					switch err := send(i%2, to); {
					case err == nil:
						n.Add(1)
					case !fault.Is(err, fault.Limited) || fault.Of(err).RetryAfter != time.Hour:
						t.Errorf("%s: %v", to, err)
					}
				})
			}
			wg.Wait()
			return n.Load()
		}
		for i, want := range []int64{10, 10, 5, 0} { // the organization's bound cuts the third short
			if got := burst(string(rune('a' + i))); got != want {
				t.Errorf("burst %d: %d mails, want %d", i, got, want)
			}
		}
		later.Store(int64(time.Hour))
		if got := burst("c"); got != 10 {
			t.Errorf("an hour later: %d mails, want 10", got)
		}
		later.Store(int64(90 * time.Minute))
		if err := send(0, "c"); fault.Of(err).RetryAfter != 30*time.Minute {
			t.Errorf("half an hour into the window: %v", err)
		}
	})
}

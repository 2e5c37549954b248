package search

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/core/id"
)

// A round is complete when this node looked at everything: a source that fails does not keep the others from their
// turn, and a round that another node is at, or takes over, counts as none.
func TestFill(t *testing.T) {
	t.Parallel()
	const rows = 2*fillBatch + 1
	broken := errors.New("broken")
	for _, c := range []struct {
		name     string
		fails    error // of the first source
		holds    int   // how many batches this node may do
		complete bool
		looked   int // at rows of the second source
	}{
		{"all", nil, 100, true, rows},
		{"one source fails", broken, 100, false, rows},
		{"another node is at it", nil, 0, false, 0},
		{"another node takes over", nil, 5, false, 2 * fillBatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			looked := make([]int, 2)
			source := func(i int, fails error) Source {
				return func(_ context.Context, _ id.Organization, after string, limit int) ([]Row, error) {
					if fails != nil {
						return nil, fails
					}
					var out []Row
					for n := range rows {
						if e := fmt.Sprintf("%06d", n); e > after && len(out) < limit {
							out = append(out, Row{Entry: Entry{ID: e}, Found: true})
						}
					}
					looked[i] += len(out)
					return out, nil
				}
			}
			held := 0
			complete, err := New(nil).Fill(t.Context(), []Source{source(0, c.fails), source(1, nil)},
				func() (bool, error) { held++; return held <= c.holds, nil })
			if complete != c.complete || looked[1] != c.looked || !errors.Is(err, c.fails) {
				t.Errorf("complete %v, looked at %d, %v", complete, looked[1], err)
			}
		})
	}
}

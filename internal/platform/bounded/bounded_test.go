package bounded_test

import (
	"crypto/sha256"
	"strconv"
	"testing"

	"github.com/itsm-automation/gatehouse/internal/platform/bounded"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := bounded.New[int](100)
	a, b := bounded.Key{Scope: "ab", ID: "c"}, bounded.Key{Scope: "a", ID: "bc"}
	if _, ok := c.Get(a); ok {
		t.Error("an empty cache has a value")
	}
	c.Set(a, 1)
	c.Set(b, 2)
	if v, ok := c.Get(a); !ok || v != 1 {
		t.Errorf("%d, %t: two keys of the same letters meet", v, ok)
	}
	if v := c.SetIfAbsent(a, 3); v != 1 {
		t.Errorf("SetIfAbsent gave %d where 1 was", v)
	}
	if v := c.SetIfAbsent(bounded.Key{ID: "new"}, 3); v != 3 {
		t.Errorf("SetIfAbsent gave %d where nothing was", v)
	}
	c.Delete(a)
	if _, ok := c.Get(a); ok {
		t.Error("deleted and there")
	}
	c.Clear()
	if _, ok := c.Get(b); ok {
		t.Error("cleared and there")
	}
}

// WEB11: both kinds keep to their bound.
func TestBound(t *testing.T) {
	t.Parallel()
	const filled, most = 20_000, 100
	counted := bounded.New[int](most)
	weighed := bounded.ByDigest(most*10, func(int) uint32 { return 10 })
	for i := range filled {
		counted.Set(bounded.Key{ID: strconv.Itoa(i)}, i)
		weighed.Set(sha256.Sum256([]byte(strconv.Itoa(i))), i)
	}
	left, heavy := 0, 0
	for i := range filled {
		if _, ok := counted.Get(bounded.Key{ID: strconv.Itoa(i)}); ok {
			left++
		}
		if _, ok := weighed.Get(sha256.Sum256([]byte(strconv.Itoa(i)))); ok {
			heavy++
		}
	}
	if left == 0 || left > filled/10 || heavy == 0 || heavy > filled/10 { // letting go runs a little behind
		t.Errorf("%d and %d of %d are left in caches of %d", left, heavy, filled, most)
	}
}

// A look at a value that is there allocates nothing: it is on the way of every request.
func TestGetAllocatesNothing(t *testing.T) {
	c := bounded.New[*int](100)
	d := bounded.ByDigest(1000, func(*int) uint32 { return 1 })
	v, k, sum := new(int), bounded.Key{Scope: "org", ID: "x"}, sha256.Sum256([]byte("x"))
	c.Set(k, v)
	d.Set(sum, v)
	if n := testing.AllocsPerRun(1000, func() {
		if got, ok := c.Get(k); !ok || got != v {
			t.Fatal("gone")
		}
		if got, ok := d.Get(sum); !ok || got != v {
			t.Fatal("gone")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package main

import (
	"testing"
	"time"

	"github.com/itsm-automation/gatehouse/internal/domain/credential"
)

// A17: --expires-in 0 is refused; only a flag that is left out makes a credential without an end.
func TestA17_ExpiresInZero(t *testing.T) {
	t.Parallel()
	for _, in := range []time.Duration{0, -time.Hour} {
		if r, err := (creation{Name: "x", ExpiresIn: &in}).request(credential.APIKey); err == nil {
			t.Errorf("%s: ends %s", in, r.ExpiresAt)
		}
	}
	hour := time.Hour
	r, err := (creation{Name: "x", ExpiresIn: &hour}).request(credential.APIKey)
	if err != nil || r.ExpiresAt.IsZero() {
		t.Errorf("%s: %v", hour, err)
	}
	if r, err := (creation{Name: "x"}).request(credential.APIKey); err != nil || !r.ExpiresAt.IsZero() {
		t.Errorf("left out: ends %s, %v", r.ExpiresAt, err)
	}
}

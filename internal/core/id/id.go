// Package id makes and reads identifiers: a prefix that names the kind and a 26-character ULID (`usr_01J…`). Each kind
// is a Go type of its own, so that a user's id cannot be passed where an organization's is due.
package id

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// The kinds of identifier.
type (
	Organization string
	User         string
	Team         string
	Role         string
	Session      string
	Event        string
	Ticket       string
	Request      string
	Invitation   string
	SigningKey   string
	Family       string
	Factor       string
	Mail         string
	Connection   string
	SetupLink    string

	APIKey           string
	AccessToken      string
	SystemToken      string
	ApplicationToken string
	Client           string
	ClientSecret     string
)

// Credential is the id of a long-lived secret of any kind, as APIKey or ClientSecret. The kind makes and reads it.
type Credential string

// Prefix gives the text before the ULID, underscore included.
func (Organization) Prefix() string { return "org_" }
func (User) Prefix() string         { return "usr_" }
func (Team) Prefix() string         { return "team_" }
func (Role) Prefix() string         { return "role_" }
func (Session) Prefix() string      { return "ses_" }
func (Event) Prefix() string        { return "evt_" }
func (Ticket) Prefix() string       { return "tkt_" }
func (Request) Prefix() string      { return "req_" }
func (Invitation) Prefix() string   { return "inv_" }
func (SigningKey) Prefix() string   { return "kid_" }
func (Family) Prefix() string       { return "fam_" }
func (Factor) Prefix() string       { return "fac_" }
func (Mail) Prefix() string         { return "mail_" }
func (Connection) Prefix() string   { return "con_" }
func (SetupLink) Prefix() string    { return "sul_" }

func (APIKey) Prefix() string           { return "key_" }
func (AccessToken) Prefix() string      { return "act_" }
func (SystemToken) Prefix() string      { return "sat_" }
func (ApplicationToken) Prefix() string { return "app_" }
func (Client) Prefix() string           { return "cli_" }
func (ClientSecret) Prefix() string     { return "sec_" }

// ID is any of the kinds.
type ID interface {
	~string
	Prefix() string
}

// source is unpredictable and increases within a millisecond.
type source struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
	last    uint64 // the millisecond of the last one
}

// Ids sort by the moment they were made. Those of other moments than now have a source of their own: one that is asked
// for two moments in turn begins anew each time.
var (
	ofNow    = source{entropy: ulid.Monotonic(rand.Reader, 0)}
	ofMoment = source{entropy: ulid.Monotonic(rand.Reader, 0)}
)

// New makes a fresh identifier. Those of one process increase.
func New[T ID]() T {
	ofNow.mu.Lock()
	defer ofNow.mu.Unlock()
	// whoever read the clock first may come second
	ofNow.last = max(ofNow.last, ulid.Timestamp(time.Now()))
	return next[T](ofNow.last, ofNow.entropy)
}

// At makes a fresh identifier of something that happened at a moment: among those of its kind it sorts there, to the
// millisecond, and in the order in which they were made within one.
func At[T ID](moment time.Time) T {
	ofMoment.mu.Lock()
	defer ofMoment.mu.Unlock()
	return next[T](ulid.Timestamp(moment), ofMoment.entropy)
}

func next[T ID](ms uint64, entropy *ulid.MonotonicEntropy) T {
	var zero T
	u, err := ulid.New(ms, entropy)
	if err != nil { // 2^80 ids in one millisecond, or no randomness: neither can be gone on from
		panic(fmt.Sprintf("id: %v", err))
	}
	return T(zero.Prefix() + u.String())
}

// First sorts before every identifier that At made for a moment or later, and after all earlier ones. Moments outside
// what identifiers can hold are the first and the last of them.
func First[T ID](at time.Time) T {
	var zero T
	ms := min(max(at.UnixMilli(), 0), int64(ulid.MaxTime()))
	var u ulid.ULID
	if err := u.SetTime(uint64(ms)); err != nil {
		panic(fmt.Sprintf("id: %v", err))
	}
	return T(zero.Prefix() + u.String())
}

// Parse reads an identifier of the kind T, exactly as New writes it.
func Parse[T ID](s string) (T, error) {
	var zero T
	rest, ok := strings.CutPrefix(s, zero.Prefix())
	if !ok || len(rest) != ulid.EncodedSize {
		return zero, fmt.Errorf("want %s and %d characters", zero.Prefix(), ulid.EncodedSize)
	}
	u, err := ulid.ParseStrict(rest)
	if err != nil || u.String() != rest {
		return zero, fmt.Errorf("want %s and a ULID in upper case", zero.Prefix())
	}
	return T(s), nil
}

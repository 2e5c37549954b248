package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// Authenticator is a WebAuthn authenticator with a browser around it, in software: it speaks the real formats, and
// every field of its answers can be made wrong.
type Authenticator struct {
	Origin  string
	RPID    string
	UV      bool // it verifies who holds it
	Synced  bool // its keys are kept in several places
	Counter uint32

	id         []byte
	key        *ecdsa.PrivateKey
	userHandle []byte
}

// NewAuthenticator makes one that visits the server's own pages and verifies its user.
func NewAuthenticator(t testing.TB) *Authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authenticator{Origin: PublicURL, RPID: "auth.example.com", UV: true, id: make([]byte, 32), key: key}
	rand.Read(a.id)
	return a
}

// Clone makes a copy, as a thief of its memory would.
func (a *Authenticator) Clone() *Authenticator {
	c := *a
	return &c
}

// Answer is what an authenticator and its browser answer; changing a field before it is sent makes it a wrong answer.
type Answer struct {
	ID, RawID, Type string
	ClientData      map[string]any
	AuthData        []byte
	Signature       []byte // over the two; empty: made when it is sent
	UserHandle      []byte
	attestation     bool
	a               *Authenticator
}

var b64 = base64.RawURLEncoding.EncodeToString

const (
	flagUserPresent  = 1
	flagUserVerified = 4
	flagAttested     = 64

	flagBackupEligible = 8
)

func (a *Authenticator) flags() byte {
	flags := byte(flagUserPresent)
	if a.UV {
		flags |= flagUserVerified
	}
	if a.Synced {
		flags |= flagBackupEligible
	}
	return flags
}

func (a *Authenticator) authData(flags byte) []byte {
	hash := sha256.Sum256([]byte(a.RPID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.Counter)
}

func challengeOf(t testing.TB, r Response) (challenge string, userID []byte) {
	t.Helper()
	var o struct {
		PublicKey struct {
			Challenge string
			User      struct{ ID string }
		}
	}
	r.Into(t, &o)
	userID, _ = base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
	if o.PublicKey.Challenge == "" {
		t.Fatalf("no challenge in %s", r.Body)
	}
	return o.PublicKey.Challenge, userID
}

// Create answers the options of a registration.
func (a *Authenticator) Create(t testing.TB, options Response) *Answer {
	t.Helper()
	challenge, user := challengeOf(t, options)
	a.userHandle = user
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		t.Fatal(err)
	}
	data := a.authData(a.flags() | flagAttested)
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), cose...)
	return &Answer{ID: b64(a.id), RawID: b64(a.id), Type: "public-key",
		ClientData: map[string]any{"type": "webauthn.create", "challenge": challenge, "origin": a.Origin,
			"crossOrigin": false}, AuthData: data, attestation: true, a: a}
}

// Get answers the options of a sign-in. It counts on.
func (a *Authenticator) Get(t testing.TB, options Response) *Answer {
	t.Helper()
	challenge, _ := challengeOf(t, options)
	a.Counter++
	return &Answer{ID: b64(a.id), RawID: b64(a.id), Type: "public-key",
		ClientData: map[string]any{"type": "webauthn.get", "challenge": challenge, "origin": a.Origin,
			"crossOrigin": false}, AuthData: a.authData(a.flags()), UserHandle: a.userHandle, a: a}
}

// JSON is the answer as the browser's toJSON() gives it.
func (n *Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	client, err := json.Marshal(n.ClientData)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{"id": n.ID, "rawId": n.RawID, "type": n.Type, "clientExtensionResults": map[string]any{},
		"authenticatorAttachment": "platform"}
	if n.attestation {
		object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": n.AuthData})
		if err != nil {
			t.Fatal(err)
		}
		out["response"] = map[string]any{"clientDataJSON": b64(client), "attestationObject": b64(object),
			"transports": []string{"internal"}}
		return out
	}
	if n.Signature == nil {
		hash := sha256.Sum256(client)
		sum := sha256.Sum256(append(append([]byte(nil), n.AuthData...), hash[:]...))
		if n.Signature, err = ecdsa.SignASN1(rand.Reader, n.a.key, sum[:]); err != nil {
			t.Fatal(err)
		}
	}
	response := map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(n.AuthData),
		"signature": b64(n.Signature)}
	if n.UserHandle != nil {
		response["userHandle"] = b64(n.UserHandle)
	}
	out["response"] = response
	return out
}

// EnrollKey gives whoever as is an authenticator, and its id.
func (s *Server) EnrollKey(t testing.TB, a *Authenticator, as Change) string {
	t.Helper()
	origin := Header("Origin", a.Origin)
	r := s.Do(t, "POST", "/v1/auth/mfa/factors", map[string]any{"method": "webauthn", "name": "key"}, as, origin).
		Want(t, 201)
	id := r.String("id")
	s.Do(t, "POST", "/v1/auth/mfa/factors/"+id+"/confirm", map[string]any{"credential": a.Create(t, r).JSON(t)}, as,
		origin).Want(t, 200)
	return id
}

// ChallengeOf asks for what the browser is asked, to complete a sign-in that waits.
func (s *Server) ChallengeOf(t testing.TB, a *Authenticator, mfaToken string) Response {
	t.Helper()
	return s.Do(t, "POST", "/v1/auth/mfa/challenge", map[string]any{"mfaToken": mfaToken}, Header("Origin", a.Origin))
}

// PasskeyLogin signs in with an authenticator alone.
func (s *Server) PasskeyLogin(t testing.TB, a *Authenticator, changes ...Change) Response {
	t.Helper()
	options := s.Do(t, "POST", "/v1/auth/passkey/challenge", nil, Header("Origin", a.Origin)).Want(t, 200)
	return s.Do(t, "POST", "/v1/auth/passkey", map[string]any{"credential": a.Get(t, options).JSON(t)}, changes...)
}

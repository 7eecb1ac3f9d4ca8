package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a JWS algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
type Algorithm string

const (
	EdDSA Algorithm = "EdDSA" // Ed25519; the default
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
)

// method is the library's implementation of the algorithm, nil for one that
// Gatehouse doesn't have.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case EdDSA:
		return jwt.SigningMethodEdDSA
	case ES256:
		return jwt.SigningMethodES256
	case RS256:
		return jwt.SigningMethodRS256
	}
	return nil
}

// Valid reports whether a is one of the algorithms above.
func (a Algorithm) Valid() bool { return a.method() != nil }

// Realm is all that one key speaks for. A token that verifies under a key is a
// token of that key's realm, whatever its claims say.
type Realm struct {
	Environment string
	Format      string // "oauth2", or the name of a dialect
	Algorithm   Algorithm
}

// Key is one signing key over its whole life. Its times are instants from which
// something holds; a zero time is an instant that hasn't been set. Don't change
// a Key that is in a Ring.
type Key struct {
	ID     string // the JWS "kid", unique in the installation
	Realm  Realm
	Index  int // counts the keys of one format, for dialects that name keys by number
	Public crypto.PublicKey
	Signer crypto.Signer `json:"-"` // nil where the private half is not at hand

	PublishedAt time.Time // shown in the key set from here on
	SignsFrom   time.Time
	RetiredAt   time.Time // signs no more
	GoneAt      time.Time // verifies no more, and leaves the key set
}

// Format and LogValue print the key's id in place of the key, so that its private
// half never comes into a log or a message.

func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.ID) }
func (k Key) LogValue() slog.Value       { return slog.StringValue(k.ID) }

// Signs reports whether k signs new tokens at now.
func (k *Key) Signs(now time.Time) bool {
	return k.Signer != nil && !now.Before(k.SignsFrom) && !reached(k.RetiredAt, now) && k.Verifies(now)
}

// Verifies reports whether tokens signed by k are accepted at now. It doesn't
// ask whether k was published: with two nodes' clocks apart, one may see a
// token before its own clock has come to the key's publication.
func (k *Key) Verifies(now time.Time) bool { return !reached(k.GoneAt, now) }

// reached reports whether now is at or after t, never for an unset t.
func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// maxKeyID is far above any id of ours, and low enough to look up at no cost.
const maxKeyID = 64

// validKeyID keeps key ids to what needs no escape in JSON, logs or a URL query.
func validKeyID(id string) bool {
	if id == "" || len(id) > maxKeyID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '&' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// check reports, as ErrKey, a key that isn't what its realm says it is.
func (k *Key) check() error {
	if !validKeyID(k.ID) {
		return fmt.Errorf("%w: its id must have 1 to %d printable ASCII characters", ErrKey, maxKeyID)
	}
	if err := checkPublic(k.Realm.Algorithm, k.Public); err != nil {
		return fmt.Errorf("key %s: %w", k.ID, err)
	}
	if k.Signer != nil && !samePublic(k.Public, k.Signer.Public()) {
		return fmt.Errorf("key %s: %w: the private half belongs to another key", k.ID, ErrKey)
	}
	return nil
}

// checkPublic holds a public key to its algorithm and to sizes and parameters
// that are sound today: P-256, RSA of 2048, 3072 or 4096 bits with the exponent
// 65537 (NIST SP 800-131A; e = 1 and odd sizes are known attacks).
func checkPublic(alg Algorithm, public crypto.PublicKey) error {
	switch pub := public.(type) {
	case ed25519.PublicKey:
		if alg == EdDSA && len(pub) == ed25519.PublicKeySize {
			return nil
		}
	case *ecdsa.PublicKey:
		// ECDH refuses a point that is not on the curve.
		if _, err := pub.ECDH(); alg == ES256 && err == nil && pub.Curve == elliptic.P256() {
			return nil
		}
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); alg == RS256 && pub.E == 65537 && (bits == 2048 || bits == 3072 || bits == 4096) {
			return nil
		}
	}
	return fmt.Errorf("%w: not a sound public key for %q", ErrKey, string(alg))
}

func samePublic(a, b crypto.PublicKey) bool {
	pub, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(b)
}

// rsaBits is the size of new RSA keys: what the contracts that ask for RS256
// were written for, and sound until 2030 by NIST SP 800-57.
const rsaBits = 2048

// GenerateKey makes a private key for realm's algorithm.
func GenerateKey(realm Realm) (crypto.Signer, error) {
	switch realm.Algorithm {
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return nil, fmt.Errorf("%w: no algorithm %q", ErrKey, string(realm.Algorithm))
}

// MarshalPrivate writes a private key as PKCS #8 in DER (RFC 5958). Seal the
// result before it is stored.
func MarshalPrivate(private crypto.Signer) ([]byte, error) {
	return x509.MarshalPKCS8PrivateKey(private)
}

// ParsePrivate reads what MarshalPrivate wrote.
func ParsePrivate(der []byte) (crypto.Signer, error) {
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PKCS #8 private key", ErrKey)
	}
	switch signer := private.(type) {
	case ed25519.PrivateKey:
		return signer, nil
	case *ecdsa.PrivateKey:
		return signer, nil
	case *rsa.PrivateKey:
		return signer, nil
	}
	return nil, fmt.Errorf("%w: a private key of another kind", ErrKey)
}

// MarshalPublic writes a public key as SubjectPublicKeyInfo in DER (RFC 5280).
func MarshalPublic(public crypto.PublicKey) ([]byte, error) {
	return x509.MarshalPKIXPublicKey(public)
}

// ParsePublic reads what MarshalPublic wrote.
func ParsePublic(der []byte) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PKIX public key", ErrKey)
	}
	return public, nil
}

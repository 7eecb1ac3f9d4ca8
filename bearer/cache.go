package bearer

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Cache keeps tokens where other processes, and the next start, find them. It
// sees sealed data under names that tell nothing. [Dir] is one for the processes
// of a machine, [Redis] one for many machines.
//
// A Cache that fails costs more visits to the token endpoint, and nothing else.
type Cache interface {
	// Load returns what was stored last; nil where there is nothing.
	Load(ctx context.Context, name string) ([]byte, error)
	// Store keeps data, which is of no use after end; zero is never.
	Store(ctx context.Context, name string, data []byte, end time.Time) error
	// Lock waits for its turn with a name, until ctx is done. A lock must end
	// with the process that holds it. One that is lost early does no harm
	// beyond a visit too many.
	Lock(ctx context.Context, name string) (unlock func(), err error)
	// SetAside takes data that can't be read out of Load's way.
	SetAside(ctx context.Context, name string) error
}

// shelf is one source's place in a Cache.
type shelf struct {
	cache Cache
	name  string
	seal  cipher.AEAD
}

// newShelf derives what seals and names the entries from the key. The name is
// a keyed digest of the fingerprint, which would else let a weak secret be
// guessed from it.
func newShelf(c Cache, key [32]byte, fingerprint [32]byte) (*shelf, error) {
	sealing, err := hkdf.Key(sha256.New, key[:], nil, "gatehouse bearer cache: entries", 32)
	if err != nil {
		return nil, err
	}
	naming, err := hkdf.Key(sha256.New, key[:], nil, "gatehouse bearer cache: names", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, naming)
	mac.Write(fingerprint[:])
	return &shelf{c, hex.EncodeToString(mac.Sum(nil)[:16]), aead}, nil
}

// entry is a token as it is stored.
type entry struct {
	AccessToken  string            `json:"access_token"`
	RefreshToken string            `json:"refresh_token,omitzero"`
	ObtainedAt   time.Time         `json:"obtained_at"`
	ExpiresAt    time.Time         `json:"expires_at,omitzero"`
	RefreshEnd   time.Time         `json:"refresh_end,omitzero"`
	Scopes       []string          `json:"scopes,omitempty"`
	Extra        map[string]string `json:"extra,omitempty"`
}

var errDamaged = errors.New("the cache entry is damaged, or was sealed with another key")

func (s *shelf) open(sealed []byte) (*Token, error) {
	plain, err := s.seal.Open(nil, nil, sealed, []byte(s.name))
	if err != nil {
		return nil, errDamaged
	}
	var e entry
	if err := json.Unmarshal(plain, &e); err != nil || e.AccessToken == "" {
		return nil, errDamaged
	}
	t := &Token{
		AccessToken: secret.New(e.AccessToken), ObtainedAt: e.ObtainedAt, Scopes: e.Scopes, Extra: e.Extra,
		refresh: secret.New(e.RefreshToken), refreshEnd: e.RefreshEnd,
	}
	if e.ExpiresAt.IsZero() {
		t.lasts(e.ObtainedAt, 0, 0)
		return t, nil
	}
	life := e.ExpiresAt.Sub(e.ObtainedAt)
	if life <= 0 {
		return nil, errDamaged
	}
	t.lasts(e.ObtainedAt, life, margin(life))
	return t, nil
}

func (s *shelf) close(t *Token) ([]byte, error) {
	plain, err := json.Marshal(entry{
		t.AccessToken.Reveal(), t.refresh.Reveal(), t.ObtainedAt, t.ExpiresAt, t.refreshEnd, t.Scopes, t.Extra,
	})
	if err != nil {
		return nil, err
	}
	return s.seal.Seal(nil, nil, plain, []byte(s.name)), nil
}

// NewKey makes a key for a Cache.
func NewKey() (key [32]byte) {
	_, _ = rand.Read(key[:]) // it never fails
	return key
}

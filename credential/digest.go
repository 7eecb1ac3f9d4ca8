package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// Digest is the keyed digest of a secret. It may be stored: without the key it
// can't be tested against guesses.
type Digest = [sha256.Size]byte

// Digester makes keyed digests (HMAC-SHA-256, RFC 2104). A fast digest is enough
// for secrets of 256 random bits; for people's passwords it is not.
type Digester struct{ pool sync.Pool }

// digesting is one HMAC with the key's two blocks already hashed, and room to
// lay out its input.
type digesting struct {
	mac   hash.Hash
	input []byte
	sum   Digest
}

// NewDigester returns a Digester under key, which should be random.
func NewDigester(key [32]byte) *Digester {
	d := &Digester{}
	d.pool.New = func() any {
		return &digesting{mac: hmac.New(sha256.New, key[:]), input: make([]byte, 0, 256)}
	}
	return d
}

// What is digested, after its purpose, is either a secret or the SHA-256 of one.
const (
	ofSecret byte = iota
	ofSHA256
)

// Digest returns the digest of s for purpose. Digests for different purposes
// have nothing in common. Purpose is a constant of the caller's, at most 255
// bytes long.
func (d *Digester) Digest(purpose string, s secret.Text) Digest {
	g := d.pool.Get().(*digesting)
	g.begin(purpose, ofSecret)
	g.input = append(g.input, s.Reveal()...)
	return d.finish(g)
}

// DigestOfSHA256 returns the digest under which a secret is found that came to
// us as a plain SHA-256: see Hash.Wrap.
func (d *Digester) DigestOfSHA256(purpose string, s secret.Text) Digest {
	g := d.pool.Get().(*digesting)
	g.input = append(g.input[:0], s.Reveal()...)
	inner := sha256.Sum256(g.input)
	clear(g.input)
	return d.wrap(g, purpose, inner)
}

// Wrap returns what DigestOfSHA256 returns for a secret of which only the
// SHA-256 is known.
func (d *Digester) Wrap(purpose string, sum [sha256.Size]byte) Digest {
	return d.wrap(d.pool.Get().(*digesting), purpose, sum)
}

func (d *Digester) wrap(g *digesting, purpose string, inner Digest) Digest {
	g.begin(purpose, ofSHA256)
	g.input = append(g.input, inner[:]...)
	return d.finish(g)
}

// begin lays out what separates one use from another: the length keeps the end
// of a purpose from being taken for the beginning of a secret.
func (g *digesting) begin(purpose string, of byte) {
	g.input = append(g.input[:0], byte(len(purpose)))
	g.input = append(g.input, purpose...)
	g.input = append(g.input, of)
}

func (d *Digester) finish(g *digesting) Digest {
	g.mac.Reset()
	_, _ = g.mac.Write(g.input)
	g.mac.Sum(g.sum[:0])
	sum := g.sum
	clear(g.input) // the secret doesn't stay behind in the pool
	d.pool.Put(g)
	return sum
}

// Equal compares two digests in constant time.
func Equal(a, b Digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

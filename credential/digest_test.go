package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/secret"
)

var testDigester = NewDigester([32]byte{1, 2, 3})

func TestDigestIsHMAC(t *testing.T) {
	key := [32]byte{1, 2, 3}
	hmacOf := func(message string) Digest {
		m := hmac.New(sha256.New, key[:])
		m.Write([]byte(message))
		return Digest(m.Sum(nil))
	}
	for _, s := range []string{"", "a", strings.Repeat("long ", 1000)} {
		if got := testDigester.Digest("client secret", secret.New(s)); got != hmacOf("\x0dclient secret\x00"+s) {
			t.Errorf("Digest of %d characters is not the HMAC", len(s))
		}
		inner := sha256.Sum256([]byte(s))
		if got := testDigester.DigestOfSHA256("client secret", secret.New(s)); got != hmacOf("\x0dclient secret\x01"+string(inner[:])) {
			t.Errorf("DigestOfSHA256 of %d characters is not the HMAC", len(s))
		}
	}
}

// No two of (key, purpose, kind, secret) may share a digest.
func TestDigestsAreApart(t *testing.T) {
	seen := map[Digest]string{}
	add := func(what string, d Digest) {
		if other, twice := seen[d]; twice {
			t.Errorf("%s and %s have one digest", what, other)
		}
		seen[d] = what
	}
	inner := sha256.Sum256([]byte("ab"))
	for name, d := range map[string]*Digester{"key 1": testDigester, "key 2": NewDigester([32]byte{9})} {
		for _, purpose := range []string{"", "p", "pa", "p\x00"} {
			for _, s := range []string{"", "a", "ab", "b", string(inner[:])} {
				what := name + " purpose " + purpose + " secret " + s
				add(what, d.Digest(purpose, secret.New(s)))
				add(what+" wrapped", d.DigestOfSHA256(purpose, secret.New(s)))
			}
		}
	}
}

func TestDigestConcurrently(t *testing.T) {
	want := testDigester.Digest("p", secret.New("s"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if testDigester.Digest("p", secret.New("s")) != want {
					t.Error("a digest changed")
				}
				testDigester.DigestOfSHA256("other", secret.New("x"))
			}
		})
	}
	wg.Wait()
}

func TestEqual(t *testing.T) {
	a := testDigester.Digest("p", secret.New("s"))
	b := a
	if !Equal(a, b) {
		t.Error("equal digests differ")
	}
	for i := range b {
		b[i] ^= 1
		if Equal(a, b) {
			t.Errorf("a change of byte %d is not seen", i)
		}
		b[i] ^= 1
	}
}

func BenchmarkDigest(b *testing.B) {
	s := secret.New("gate_live_cs_" + strings.Repeat("x", 49))
	b.ReportAllocs()
	for b.Loop() {
		testDigester.Digest("client secret", s)
	}
}

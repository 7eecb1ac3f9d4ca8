package credential

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// Argon2 are the parameters of Argon2id. The zero value is the second of the
// two that RFC 9106 §4 recommends: 3 passes over 64 MiB in 4 lanes.
type Argon2 struct {
	Passes    uint32
	MemoryKiB uint32
	Lanes     uint8
}

const (
	saltBytes = 16
	sumBytes  = 32
)

// orDefault are the parameters that the zero value stands for.
func (a Argon2) orDefault() Argon2 {
	if a == (Argon2{}) {
		return Argon2{Passes: 3, MemoryKiB: 64 << 10, Lanes: 4}
	}
	return a
}

// encode writes the PHC string format.
func (a Argon2) encode(salt, sum []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.MemoryKiB, a.Passes, a.Lanes, b64(salt), b64(sum))
}

// Nobodys returns a hash that no password has, and that takes as long to check
// as those made by HashPassword.
func (a Argon2) Nobodys() (Hash, error) {
	random := make([]byte, saltBytes+sumBytes)
	_, _ = rand.Read(random)
	return ParseHash(a.orDefault().encode(random[:saltBytes], random[saltBytes:]))
}

// HashPassword hashes a password that a person has chosen, in the form that
// ParseHash reads. It takes as long as a check, so it waits for its turn among
// them; the error is ErrBusy.
func (c *Checker) HashPassword(ctx context.Context, a Argon2, s secret.Text) (encoded secret.Text, err error) {
	a = a.orDefault()
	err = c.turn(ctx, func() {
		salt := make([]byte, saltBytes)
		_, _ = rand.Read(salt)
		sum := argon2.IDKey([]byte(s.Reveal()), salt, a.Passes, a.MemoryKiB, a.Lanes, sumBytes)
		encoded = secret.New(a.encode(salt, sum))
	})
	return encoded, err
}

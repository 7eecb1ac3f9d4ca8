package credential

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
)

var (
	// ErrWrongKey: sealed under another key-encryption key.
	ErrWrongKey = errors.New("sealed under another key-encryption key: give the server the key that this data was made with")
	// ErrDamaged: sealed under this key, but altered since, or for another purpose.
	ErrDamaged = errors.New("sealed data is damaged or is not what it was taken for")
	// ErrSealFormat: not written by a Sealer that this version knows.
	ErrSealFormat = errors.New("not sealed data of a known version")
)

// What Seal writes: a version byte, a mark of the key, and what
// cipher.NewGCMWithRandomNonce writes (nonce, ciphertext, tag).
const (
	sealVersion = 1
	keyMarkSize = 8
	sealHeader  = 1 + keyMarkSize
)

// Sealer encrypts under one key-encryption key (AES-256-GCM, NIST SP 800-38D).
// Its nonces are random, which is sound for 2^32 seals under one key: far more
// than the signing keys and small documents it is for.
type Sealer struct {
	aead   cipher.AEAD
	header [sealHeader]byte
}

// NewSealer returns a Sealer under kek, which must be random.
func NewSealer(kek [32]byte) (*Sealer, error) {
	block, err := aes.NewCipher(kek[:])
	if err != nil {
		return nil, fmt.Errorf("preparing the key-encryption key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("preparing the key-encryption key: %w", err)
	}
	s := &Sealer{aead: aead}
	s.header[0] = sealVersion
	// The mark tells a wrong key from damaged data. It is one-way, and a random
	// key of 256 bits can't be guessed from it.
	mark := sha256.Sum256(append([]byte("gatehouse key-encryption key mark\x00"), kek[:]...))
	copy(s.header[1:], mark[:])
	return s, nil
}

// Seal encrypts plaintext for purpose. Only Open with the same purpose reads it,
// so that one sealed value can't be put in another's place. Name in the purpose
// what the value belongs to, such as a key's id.
func (s *Sealer) Seal(purpose string, plaintext []byte) ([]byte, error) {
	sealed := make([]byte, sealHeader, sealHeader+len(plaintext)+s.aead.Overhead())
	copy(sealed, s.header[:])
	return s.aead.Seal(sealed, nil, plaintext, s.additional(purpose)), nil
}

// Open decrypts what Seal made. Errors are ErrWrongKey, ErrDamaged and
// ErrSealFormat.
func (s *Sealer) Open(purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealHeader+s.aead.Overhead() || sealed[0] != sealVersion {
		return nil, ErrSealFormat
	}
	if !bytes.Equal(sealed[:sealHeader], s.header[:]) {
		return nil, ErrWrongKey
	}
	plaintext, err := s.aead.Open(nil, nil, sealed[sealHeader:], s.additional(purpose))
	if err != nil {
		return nil, ErrDamaged
	}
	return plaintext, nil
}

// additional is what the tag vouches for beside the ciphertext.
func (s *Sealer) additional(purpose string) []byte {
	return append(bytes.Clone(s.header[:]), purpose...)
}

package credential

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// ErrHash: a hash that can't be imported. The error says which part is at fault,
// and never holds the hash itself.
var ErrHash = errors.New("unusable hash")

func badHash(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrHash, fmt.Sprintf(format, args...))
}

// Bounds on what an imported hash may ask for at each check. They are well above
// every library's defaults and low enough that a hostile import can't stop us.
const (
	maxHashText   = 1024
	maxMemoryKiB  = 256 << 10 // Argon2
	maxPasses     = 16        // Argon2
	maxLanes      = 16        // Argon2
	maxBcryptCost = 15
	maxIterations = 2_000_000 // PBKDF2
	minSum        = 16        // bytes of the hash itself
	maxSum        = 64
	maxSalt       = 64
)

// Hash is a hash of a client secret that was made elsewhere. It prints as
// "[redacted]". The zero Hash verifies nothing.
type Hash struct {
	text  secret.Text
	check func(given []byte) bool
	plain *Digest // the hash itself where it is a plain SHA-256
}

// ParseHash reads a hash in one of the forms that other systems export:
//
//	$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH              PHC string format
//	$2a$12$…  $2b$…  $2y$…                                bcrypt
//	$pbkdf2-sha256$29000$SALT$HASH  $pbkdf2-sha512$…      passlib
//	pbkdf2_sha256$720000$SALT$HASH                        Django
//	sha256:HEX  {SHA256}BASE64  64 hexadecimal digits     plain SHA-256
//
// Errors are ErrHash, and say what is wrong in the words of the form.
func ParseHash(s string) (Hash, error) {
	if len(s) > maxHashText {
		return Hash{}, badHash("longer than %d characters", maxHashText)
	}
	parse := parsePlain
	switch {
	case strings.HasPrefix(s, "$argon2"):
		parse = parseArgon2id
	case strings.HasPrefix(s, "$2"):
		parse = parseBcrypt
	case strings.HasPrefix(s, "$pbkdf2-"):
		parse = parsePasslib
	case strings.HasPrefix(s, "pbkdf2_"):
		parse = parseDjango
	case strings.HasPrefix(s, "$"):
		return Hash{}, badHash("only $argon2id$, $2a$, $2b$, $2y$, $pbkdf2-sha256$ and $pbkdf2-sha512$ are known")
	}
	h, err := parse(s)
	if err != nil {
		return Hash{}, err
	}
	h.text = secret.New(s)
	return h, nil
}

// Verify reports whether s is the secret that was hashed. If the hash is Slow,
// go through a Checker.
func (h Hash) Verify(s secret.Text) bool {
	return h.check != nil && h.check([]byte(s.Reveal()))
}

// Slow reports whether Verify is made to take milliseconds and, for Argon2, much
// memory.
func (h Hash) Slow() bool { return h.check != nil && h.plain == nil }

// Wrap turns a plain SHA-256 into our keyed digest of it, so that what is stored
// can't be tested against guesses without the key. A secret that is given later
// is compared by Digester.DigestOfSHA256 for the same purpose. ok is false for a
// slow hash, which is safe to store as it is.
func (h Hash) Wrap(d *Digester, purpose string) (digest Digest, ok bool) {
	if h.plain == nil {
		return Digest{}, false
	}
	return d.Wrap(purpose, *h.plain), true
}

// Encoded returns the text that ParseHash read, for the store.
func (h Hash) Encoded() secret.Text { return h.text }

// String and the others keep the hash out of logs and messages.

func (h Hash) String() string               { return h.text.String() }
func (h Hash) GoString() string             { return h.text.String() }
func (h Hash) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, h.text.String()) }
func (h Hash) LogValue() slog.Value         { return h.text.LogValue() }
func (h Hash) MarshalText() ([]byte, error) { return h.text.MarshalText() }

func parsePlain(s string) (Hash, error) {
	var sum []byte
	var err error
	if encoded, ok := strings.CutPrefix(s, "{SHA256}"); ok {
		sum, err = decode(base64.StdEncoding, encoded)
	} else {
		sum, err = hex.DecodeString(strings.TrimPrefix(s, "sha256:"))
	}
	if err != nil || len(sum) != sha256.Size {
		return Hash{}, badHash("not a known form; a plain SHA-256 is sha256: and 64 hexadecimal digits, {SHA256} and base64, or the 64 digits alone")
	}
	want := Digest(sum)
	return Hash{plain: &want, check: func(given []byte) bool { return Equal(sha256.Sum256(given), want) }}, nil
}

// decode is strict: one value has one spelling. Go's decoder skips line ends.
func decode(encoding *base64.Encoding, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return encoding.Strict().DecodeString(s)
}

// saltAndSum reads the last two parts of a modular hash.
func saltAndSum(encoding *base64.Encoding, salt, sum string) ([]byte, []byte, error) {
	rawSalt, err := decode(encoding, salt)
	if err != nil || len(rawSalt) == 0 || len(rawSalt) > maxSalt {
		return nil, nil, badHash("the salt must be 1 to %d bytes in base64", maxSalt)
	}
	rawSum, err := decode(encoding, sum)
	if err != nil || len(rawSum) < minSum || len(rawSum) > maxSum {
		return nil, nil, badHash("the hash must be %d to %d bytes in base64", minSum, maxSum)
	}
	return rawSalt, rawSum, nil
}

// number reads a decimal number in its shortest spelling, from 1 to most.
func number(what, s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != s {
		return 0, badHash("%s must be a number from 1 to %d", what, most)
	}
	return n, nil
}

func sameBytes(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

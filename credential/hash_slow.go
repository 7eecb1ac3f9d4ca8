package credential

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// parseArgon2id reads the PHC string format
// (github.com/P-H-C/phc-string-format), version 0x13 of RFC 9106.
func parseArgon2id(s string) (Hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return Hash{}, badHash("of Argon2 only $argon2id$v=19$m=…,t=…,p=…$salt$hash is known")
	}
	if parts[2] != "v=19" {
		return Hash{}, badHash("of Argon2id only v=19 is known")
	}
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != 3 {
		return Hash{}, badHash("the parameters of Argon2id are m, t and p, in this order")
	}
	var values [3]int
	for i, p := range []struct {
		name string
		most int
	}{{"m", maxMemoryKiB}, {"t", maxPasses}, {"p", maxLanes}} {
		value, ok := strings.CutPrefix(parameters[i], p.name+"=")
		if !ok {
			return Hash{}, badHash("the parameters of Argon2id are m, t and p, in this order")
		}
		n, err := number("Argon2id's "+p.name, value, p.most)
		if err != nil {
			return Hash{}, err
		}
		values[i] = n
	}
	memory, passes, lanes := values[0], values[1], values[2]
	if memory < 8*lanes {
		return Hash{}, badHash("Argon2id's m must be at least 8 times its p (RFC 9106 §3.1)")
	}
	salt, want, err := saltAndSum(base64.RawStdEncoding, parts[4], parts[5])
	if err != nil {
		return Hash{}, err
	}
	return Hash{check: func(given []byte) bool {
		return sameBytes(argon2.IDKey(given, salt, uint32(passes), uint32(memory), uint8(lanes), uint32(len(want))), want)
	}}, nil
}

// parseBcrypt reads the modular crypt format of OpenBSD's bcrypt. $2x$ marks
// hashes of a broken implementation and is refused.
func parseBcrypt(s string) (Hash, error) {
	const length = 60
	switch {
	case !strings.HasPrefix(s, "$2a$") && !strings.HasPrefix(s, "$2b$") && !strings.HasPrefix(s, "$2y$"):
		return Hash{}, badHash("of bcrypt only $2a$, $2b$ and $2y$ are known")
	case len(s) != length || s[6] != '$':
		return Hash{}, badHash("a bcrypt hash has %d characters", length)
	}
	for _, c := range s[7:] {
		if (c < '.' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return Hash{}, badHash("a character that is not of bcrypt's base64")
		}
	}
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || cost < bcrypt.MinCost || cost > maxBcryptCost {
		return Hash{}, badHash("bcrypt's cost must be from %02d to %d", bcrypt.MinCost, maxBcryptCost)
	}
	want := []byte(s)
	return Hash{check: func(given []byte) bool { return bcrypt.CompareHashAndPassword(want, given) == nil }}, nil
}

// parsePasslib reads passlib's PBKDF2 form: "adapted base64" has "." for "+" and
// no padding.
func parsePasslib(s string) (Hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 5 {
		return Hash{}, badHash("passlib's PBKDF2 is $pbkdf2-sha256$rounds$salt$hash")
	}
	if strings.Contains(parts[3]+parts[4], "+") {
		return Hash{}, badHash("passlib's base64 has . in place of +")
	}
	salt, want, err := saltAndSum(base64.RawStdEncoding, strings.ReplaceAll(parts[3], ".", "+"), strings.ReplaceAll(parts[4], ".", "+"))
	if err != nil {
		return Hash{}, err
	}
	return newPBKDF2(strings.TrimPrefix(parts[1], "pbkdf2-"), parts[2], salt, want)
}

// parseDjango reads the form of Django's PBKDF2 hashers, whose salt is text.
func parseDjango(s string) (Hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 4 {
		return Hash{}, badHash("Django's PBKDF2 is pbkdf2_sha256$iterations$salt$hash")
	}
	salt := []byte(parts[2])
	if len(salt) == 0 || len(salt) > maxSalt {
		return Hash{}, badHash("the salt must be 1 to %d bytes", maxSalt)
	}
	want, err := decode(base64.StdEncoding, parts[3])
	if err != nil || len(want) < minSum || len(want) > maxSum {
		return Hash{}, badHash("the hash must be %d to %d bytes in base64", minSum, maxSum)
	}
	if parts[0] != "pbkdf2_sha256" {
		return Hash{}, badHash("of Django's hashers only pbkdf2_sha256 is known")
	}
	return newPBKDF2("sha256", parts[1], salt, want)
}

func newPBKDF2(digest, rounds string, salt, want []byte) (Hash, error) {
	var h func() hash.Hash
	switch digest {
	case "sha256":
		h = sha256.New
	case "sha512":
		h = sha512.New
	default:
		return Hash{}, badHash("PBKDF2 is known with sha256 and sha512")
	}
	iterations, err := number("PBKDF2's iterations", rounds, maxIterations)
	if err != nil {
		return Hash{}, err
	}
	return Hash{check: func(given []byte) bool {
		// The one error is a parameter that FIPS 140-only mode refuses.
		sum, err := pbkdf2.Key(h, string(given), salt, iterations, len(want))
		return err == nil && sameBytes(sum, want)
	}}, nil
}

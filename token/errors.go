package token

import (
	"errors"
	"fmt"
)

// The reasons for which a token, an id or a set of keys is refused. They are
// for the owner's eyes (logs, explain): an anonymous caller must not learn
// which one it was. Test for them with errors.Is.
var (
	// ErrMalformed: not in the one form that this package reads.
	ErrMalformed = errors.New("malformed")
	// ErrAlgorithm: the header names an algorithm that is not the key's own.
	ErrAlgorithm = errors.New("algorithm is not the key's own")
	// ErrUnknownKey: no key of that id verifies at this moment.
	ErrUnknownKey = errors.New("unknown key")
	// ErrSignature: the signature is not the named key's.
	ErrSignature = errors.New("signature does not match")
	// ErrExpired: the expiry time has come.
	ErrExpired = errors.New("expired")
	// ErrNotYet: issued, or valid only from, too far in the future.
	ErrNotYet = errors.New("not valid yet")
	// ErrNoSigningKey: the realm has no key that signs at this moment.
	ErrNoSigningKey = errors.New("no key signs for this realm now")
	// ErrKey: a key that can't be used as what it claims to be.
	ErrKey = errors.New("unusable key")
)

// malformed says what is wrong with the form. The text is always a constant:
// parts of the input never go into an error.
func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// Package credential keeps secrets checkable without keeping them: keyed digests
// of the secrets that Gatehouse makes, the hashes that a provider brings along
// from elsewhere, and the sealing of what must be read again (private keys)
// under a key-encryption key.
//
// Everything here is safe for concurrent use, and no error or printed value of
// this package holds a secret, a hash or a key.
package credential

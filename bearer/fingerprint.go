package bearer

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
)

// fingerprint is a digest of everything that a token depends on. Two sources
// share tokens only where all of it is equal, so a token obtained with one
// secret is never found with another.
func (c *Config) fingerprint() [sha256.Size]byte {
	h := sha256.New()
	add := func(s string) {
		_ = binary.Write(h, binary.BigEndian, uint64(len(s))) // a hash never fails
		h.Write([]byte(s))
	}
	add("gatehouse bearer 1")
	add(string(c.Dialect.Source))
	for _, s := range []string{
		c.TokenURL, c.Environment, c.ClientID, c.ClientSecret.Reveal(), c.Audience, strconv.FormatInt(int64(c.Life), 10), c.TokenName,
		c.AccessCode.Reveal(), c.ConnectionID, c.UserID, c.UserSecret.Reveal(), c.AccessToken.Reveal(),
	} {
		add(s)
	}
	add(strconv.Itoa(len(c.Scopes)))
	for _, s := range c.Scopes {
		add(s)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		add(name)
		add(c.Fields[name])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// keyVariable holds the cache's key: 32 bytes in standard base64. With _FILE
// at its end it names a file that does.
const keyVariable = "GATEHOUSE_KEY_ENCRYPTION_KEY"

type cache struct {
	path string
	dir  *bearer.Dir
	key  [32]byte
}

// or returns before, where it is the same cache, and closes c then: a reload
// needs no second one.
func (c *cache) or(before *cache) *cache {
	if c == nil || before == nil || before.path != c.path || before.key != c.key {
		return c
	}
	c.dir.Close()
	return before
}

func openCache(path string) (*cache, error) {
	key, err := cacheKey(path)
	if err != nil {
		return nil, err
	}
	dir, err := bearer.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &cache{path, dir, key}, nil
}

func cacheKey(path string) (key [32]byte, err error) {
	encoded := os.Getenv(keyVariable)
	if file := os.Getenv(keyVariable + "_FILE"); encoded == "" && file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return key, fmt.Errorf("%s_FILE: %w", keyVariable, err)
		}
		encoded = string(b)
	}
	if encoded == "" {
		return bearer.KeyFile(strings.TrimRight(path, "/") + ".key")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(encoded))
	if err != nil || len(raw) != len(key) {
		return key, errors.New(keyVariable + ": it must be 32 bytes in base64 (44 characters); `openssl rand -base64 32` makes one")
	}
	return [32]byte(raw), nil
}

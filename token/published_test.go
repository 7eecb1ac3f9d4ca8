package token_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/token"
)

// What secret scanners are given must be what finds our values.
func TestPublishedPattern(t *testing.T) {
	for _, path := range []string{"../packaging/gitleaks.toml", "../docs/security.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), token.Pattern()) {
			t.Errorf("%s does not hold the pattern %s", path, token.Pattern())
		}
	}
}

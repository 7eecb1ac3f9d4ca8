package credential

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/secret"
)

func TestHashPassword(t *testing.T) {
	c := NewChecker(1)
	password := secret.New("correct horse battery")
	first, err := c.HashPassword(t.Context(), Argon2{Passes: 1, MemoryKiB: 64, Lanes: 1}, password)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.HashPassword(t.Context(), Argon2{Passes: 1, MemoryKiB: 64, Lanes: 1}, password)
	if err != nil || first.Reveal() == second.Reveal() {
		t.Errorf("two hashes of one password are the same: %v", err)
	}
	h, err := ParseHash(first.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]bool{"correct horse battery": true, "correct horse batterz": false, "": false} {
		if ok, err := c.Verify(t.Context(), h, secret.New(given)); ok != want || err != nil {
			t.Errorf("Verify(%q) = %v, %v", given, ok, err)
		}
	}
	nobodys, err := Argon2{Passes: 1, MemoryKiB: 64, Lanes: 1}.Nobodys()
	if err != nil || !nobodys.Slow() {
		t.Fatal(err)
	}
	if ok, err := c.Verify(t.Context(), nobodys, password); ok || err != nil {
		t.Errorf("nobody's password: %v, %v", ok, err)
	}
	recommended, err := c.HashPassword(t.Context(), Argon2{}, password)
	if err != nil || !strings.HasPrefix(recommended.Reveal(), "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("the zero parameters are not those of RFC 9106: %v", err)
	}
}

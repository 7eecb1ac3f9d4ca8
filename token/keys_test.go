package token

import (
	"sync"
	"testing"
	"time"
)

// noon is the moment at which the tests of this package take place.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// Keys are made once for all tests: RSA generation is slow.
var testKeys = sync.OnceValue(func() map[string]*Key {
	keys := map[string]*Key{}
	for _, k := range []struct {
		id    string
		realm Realm
		index int
	}{
		{"ed-live", Realm{"live", "oauth2", EdDSA}, 0},
		{"ed-sandbox", Realm{"sandbox", "oauth2", EdDSA}, 1},
		{"ec-live", Realm{"live", "acme", ES256}, 0},
		{"APIKEY0", Realm{"live", "numbered", RS256}, 0},
	} {
		signer, err := GenerateKey(k.realm)
		if err != nil {
			panic(err)
		}
		keys[k.id] = &Key{
			ID: k.id, Realm: k.realm, Index: k.index, Public: signer.Public(), Signer: signer,
			PublishedAt: noon.Add(-2 * time.Hour), SignsFrom: noon.Add(-time.Hour),
		}
	}
	return keys
})

func testKey(t testing.TB, id string) *Key {
	t.Helper()
	k := testKeys()[id]
	if k == nil {
		t.Fatalf("no test key %s", id)
	}
	return k
}

func testRing(t testing.TB) *Ring {
	t.Helper()
	var keys []*Key
	for _, k := range testKeys() {
		keys = append(keys, k)
	}
	r, err := NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

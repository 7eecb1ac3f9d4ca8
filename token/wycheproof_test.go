package token

import (
	"crypto"
	"encoding/json"
	"os"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// The vectors are Project Wycheproof's (testdata/wycheproof/LICENSE). Their
// payloads are "foo" and the like, so the valid ones are put to the part of
// Verify that comes before the payload is read as JSON.

type wycheproofFile struct {
	NumberOfTests int `json:"numberOfTests"`
	TestGroups    []struct {
		Comment string          `json:"comment"`
		Public  json.RawMessage `json:"public"`
		Private json.RawMessage `json:"private"`
		Tests   []struct {
			ID      int    `json:"tcId"`
			Comment string `json:"comment"`
			JWS     string `json:"jws"`
			Result  string `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

// importJWK makes a Key of a JSON Web Key as an operator would: it must be
// meant for signing with an algorithm of ours. Symmetric keys can't be imported.
func importJWK(raw json.RawMessage) (*Key, bool) {
	var key jose.JSONWebKey
	if err := json.Unmarshal(raw, &key); err != nil || (key.Use != "" && key.Use != "sig") {
		return nil, false
	}
	if _, asymmetric := key.Key.(interface {
		Equal(crypto.PublicKey) bool
	}); !asymmetric {
		return nil, false
	}
	return &Key{ID: key.KeyID, Realm: Realm{"live", "oauth2", Algorithm(key.Algorithm)}, Public: key.Key}, true
}

// importRing imports the keys of a group that can be; NewRing has the last word.
// The key with the ROCA weakness (CVE-2017-15361) falls there because of its
// 2049 bits: Gatehouse makes its own keys and doesn't look for that weakness.
func importRing(t *testing.T, raw json.RawMessage) (ring *Ring, imported int) {
	t.Helper()
	documents := []json.RawMessage{raw}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(raw, &set) == nil && set.Keys != nil {
		documents = set.Keys
	}
	var keys []*Key
	for _, document := range documents {
		if k, ok := importJWK(document); ok {
			if _, err := NewRing([]*Key{k}); err == nil {
				keys = append(keys, k)
			}
		}
	}
	ring, err := NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring, len(keys)
}

func TestWycheproof(t *testing.T) {
	// What must have run, so that a file that reads as empty is no success.
	type count struct {
		run, underOurKeys, verified, refused int
	}
	for name, want := range map[string]count{
		"json_web_signature_test.json": {run: 401, underOurKeys: 272, verified: 9, refused: 392},
		"json_web_key_test.json":       {run: 26, underOurKeys: 2, verified: 1, refused: 25},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile("testdata/wycheproof/" + name)
			if err != nil {
				t.Fatal(err)
			}
			var file wycheproofFile
			if err := json.Unmarshal(content, &file); err != nil {
				t.Fatal(err)
			}
			if file.NumberOfTests != want.run {
				t.Errorf("the file holds %d tests", file.NumberOfTests)
			}
			var got count
			for _, group := range file.TestGroups {
				public := group.Public
				if public == nil {
					public = group.Private
				}
				ring, keys := importRing(t, public)
				for _, test := range group.Tests {
					got.run++
					if keys > 0 {
						got.underOurKeys++
					}
					v, err := ring.verifySignature(test.JWS, noon)
					if (v == nil) != (err != nil) {
						t.Fatalf("%d: %v beside %v", test.ID, v, err)
					}
					if _, whole := ring.Verify(test.JWS, noon); whole == nil {
						t.Errorf("%d (%s, %s): a payload that is no JSON object passes", test.ID, group.Comment, test.Comment)
					}
					// A valid vector may have an empty payload; a token of ours
					// has claims, so an empty segment is refused.
					expect := test.Result == "valid" && keys > 0 && test.Comment != "emptyPayload"
					if err == nil {
						got.verified++
					} else {
						got.refused++
					}
					if (err == nil) != expect {
						t.Errorf("%d (%s, %s), %s: %v", test.ID, group.Comment, test.Comment, test.Result, err)
					}
				}
			}
			if got != want {
				t.Errorf("ran %+v, want %+v", got, want)
			}
		})
	}
}

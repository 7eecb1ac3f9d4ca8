package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func freshKey(t *testing.T, id string, realm Realm) *Key {
	t.Helper()
	signer, err := GenerateKey(realm)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{ID: id, Realm: realm, Public: signer.Public(), Signer: signer}
}

var liveEd = Realm{"live", "oauth2", EdDSA}

func TestKeysSurviveMarshalling(t *testing.T) {
	for id, k := range testKeys() {
		der, err := MarshalPrivate(k.Signer)
		if err != nil {
			t.Fatal(err)
		}
		private, err := ParsePrivate(der)
		if err != nil || !samePublic(private.Public(), k.Public) {
			t.Errorf("%s: the private key came back as another: %v", id, err)
		}
		if der, err = MarshalPublic(k.Public); err != nil {
			t.Fatal(err)
		}
		public, err := ParsePublic(der)
		if err != nil || !samePublic(public, k.Public) {
			t.Errorf("%s: the public key came back as another: %v", id, err)
		}
		if _, err := ParsePrivate(der); !errors.Is(err, ErrKey) {
			t.Errorf("a public key was read as a private one: %v", err)
		}
		if _, err := ParsePublic(der[:len(der)-1]); !errors.Is(err, ErrKey) {
			t.Errorf("half a public key was read: %v", err)
		}
	}
	for _, alg := range []Algorithm{"", "none", "HS256", "eddsa", "PS256"} {
		if _, err := GenerateKey(Realm{"live", "oauth2", alg}); !errors.Is(err, ErrKey) || alg.Valid() {
			t.Errorf("algorithm %q: %v", alg, err)
		}
	}
}

func TestPrivateKeysNeverPrint(t *testing.T) {
	for id, k := range testKeys() {
		var private [][]byte
		switch signer := k.Signer.(type) {
		case ed25519.PrivateKey:
			private = append(private, signer.Seed())
		case *ecdsa.PrivateKey:
			d, err := signer.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			private = append(private, d)
		case *rsa.PrivateKey:
			private = append(private, signer.D.Bytes(), signer.Primes[0].Bytes(), signer.Primes[1].Bytes())
		}
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+verb+verb+verb+"\n", k, *k, struct{ K *Key }{k}, []Key{*k})
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).Info("m", "key", k, "value", *k, "nested", struct{ K *Key }{k})
		}
		document, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(document)
		for _, secret := range private {
			decimal := strings.Trim(fmt.Sprint(secret), "[]")
			for _, form := range []string{
				string(secret), decimal, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
				new(big.Int).SetBytes(secret).String(), base64.StdEncoding.EncodeToString(secret)[:40],
			} {
				if strings.Contains(out.String(), form) {
					t.Errorf("%s: output holds the private key", id)
				}
			}
		}
	}
}

func TestNewRingRefuses(t *testing.T) {
	good := freshKey(t, "good", liveEd)
	with := func(change func(*Key)) []*Key {
		k := *good
		change(&k)
		return []*Key{&k}
	}
	large := testKey(t, "APIKEY0").Public.(*rsa.PublicKey)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := testKey(t, "ec-live").Public.(*ecdsa.PublicKey)
	for name, keys := range map[string][]*Key{
		"the id twice":      {good, freshKey(t, "good", Realm{"sandbox", "oauth2", EdDSA})},
		"the key twice":     {good, with(func(k *Key) { k.ID, k.Realm.Environment = "other", "sandbox" })[0]},
		"no id":             with(func(k *Key) { k.ID = "" }),
		"a long id":         with(func(k *Key) { k.ID = strings.Repeat("k", 65) }),
		"an id with quotes": with(func(k *Key) { k.ID = `a"b` }),
		"an id with spaces": with(func(k *Key) { k.ID = "a b" }),
		"a non-ASCII id":    with(func(k *Key) { k.ID = "schlüssel" }),
		"another algorithm": with(func(k *Key) { k.Realm.Algorithm = ES256 }),
		"algorithm none":    with(func(k *Key) { k.Realm.Algorithm = "none" }),
		"no public key":     with(func(k *Key) { k.Public = nil }),
		"a short key":       with(func(k *Key) { k.Public = ed25519.PublicKey("short") }),
		"a foreign private": with(func(k *Key) { k.Signer = testKey(t, "ed-live").Signer }),
		"RSA 1024":          {{ID: "k", Realm: Realm{"live", "x", RS256}, Public: &rsa.PublicKey{N: new(big.Int).Rsh(large.N, 1024), E: 65537}}},
		"RSA of odd size":   {{ID: "k", Realm: Realm{"live", "x", RS256}, Public: &rsa.PublicKey{N: new(big.Int).Lsh(large.N, 1), E: 65537}}},
		"RSA e=1":           {{ID: "k", Realm: Realm{"live", "x", RS256}, Public: &rsa.PublicKey{N: large.N, E: 1}}},
		"RSA e=3":           {{ID: "k", Realm: Realm{"live", "x", RS256}, Public: &rsa.PublicKey{N: large.N, E: 3}}},
		"RSA as ES256":      {{ID: "k", Realm: Realm{"live", "x", ES256}, Public: large}},
		"P-384":             {{ID: "k", Realm: Realm{"live", "x", ES256}, Public: p384.Public()}},
		"off the curve": {{ID: "k", Realm: Realm{"live", "x", ES256},
			Public: &ecdsa.PublicKey{Curve: point.Curve, X: point.X, Y: new(big.Int).Add(point.Y, big.NewInt(1))}}},
	} {
		if ring, err := NewRing(keys); !errors.Is(err, ErrKey) || ring != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One key through its life: published, signing, retired, gone.
func TestKeyLife(t *testing.T) {
	first, second := freshKey(t, "first", liveEd), freshKey(t, "second", liveEd)
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	first.PublishedAt, first.SignsFrom, first.RetiredAt, first.GoneAt = hour(0), hour(1), hour(3), hour(5)
	second.PublishedAt, second.SignsFrom = hour(1), hour(2)
	ring, err := NewRing([]*Key{first, second})
	if err != nil {
		t.Fatal(err)
	}
	token, err := first.SignClaims("JWT", sampleClaims())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at       time.Time
		signs    string
		set      string
		verifies bool
	}{
		{hour(0).Add(-1), "", "", true},
		{hour(0), "", "first", true},
		{hour(1).Add(-1), "", "first", true},
		{hour(1), "first", "first second", true},
		{hour(2).Add(-1), "first", "first second", true},
		{hour(2), "second", "first second", true},
		{hour(4), "second", "first second", true},
		{hour(5).Add(-1), "second", "first second", true},
		{hour(5), "second", "second", false},
		{hour(500), "second", "second", false},
	} {
		signing := ""
		k, err := ring.Signing(liveEd, step.at)
		if err == nil {
			signing = k.ID
		} else if !errors.Is(err, ErrNoSigningKey) {
			t.Fatal(err)
		}
		var set jose.JSONWebKeySet
		document, _, err := ring.JWKS("live", step.at)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(document, &set); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, k := range set.Keys {
			ids = append(ids, k.KeyID)
		}
		_, err = ring.Verify(token.Reveal(), step.at)
		if signing != step.signs || strings.Join(ids, " ") != step.set || (err == nil) != step.verifies || (err != nil && !errors.Is(err, ErrUnknownKey)) {
			t.Errorf("at %v: %q signs, the set is %v, verifying says %v; want %+v", step.at, signing, ids, err, step)
		}
	}
	// Retired, with no key after it: nothing signs.
	alone, err := NewRing([]*Key{first})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := alone.Signing(liveEd, hour(3)); !errors.Is(err, ErrNoSigningKey) || k != nil {
		t.Errorf("a retired key signs: %v", err)
	}
	// Compromised: gone at once, though never retired.
	second.GoneAt = hour(6)
	if second.Signs(hour(6)) || second.Verifies(hour(6)) {
		t.Error("a key that is gone still signs or verifies")
	}
	verifyOnly := *second
	verifyOnly.Signer, verifyOnly.GoneAt = nil, time.Time{}
	if verifyOnly.Signs(hour(3)) || !verifyOnly.Verifies(hour(3)) {
		t.Error("a key without its private half signs, or doesn't verify")
	}
}

func TestRingKeepsRealmsApart(t *testing.T) {
	ring := testRing(t)
	for id, k := range testKeys() {
		got, err := ring.Signing(k.Realm, noon)
		if err != nil || got != k {
			t.Errorf("%s: Signing = %v, %v", id, got, err)
		}
		if got, err := ring.Verifying(id, noon); err != nil || got != k {
			t.Errorf("%s: Verifying = %v, %v", id, got, err)
		}
		if got, ok := ring.Key(id); !ok || got != k {
			t.Errorf("%s: Key = %v, %v", id, got, ok)
		}
	}
	for _, realm := range []Realm{{}, {"live", "oauth2", ES256}, {"live", "other", EdDSA}, {"staging", "oauth2", EdDSA}} {
		if k, err := ring.Signing(realm, noon); !errors.Is(err, ErrNoSigningKey) {
			t.Errorf("%+v is signed for by %v", realm, k)
		}
	}
	if _, err := ring.Verifying("", noon); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("no id: %v", err)
	}
	if len(ring.Keys()) != len(testKeys()) {
		t.Error("Keys doesn't return all")
	}
}

func TestJWKS(t *testing.T) {
	ring := testRing(t)
	all, allTag, err := ring.JWKS("", noon)
	if err != nil {
		t.Fatal(err)
	}
	if again, tag, err := ring.JWKS("", noon.Add(time.Minute)); err != nil || string(again) != string(all) || tag != allTag {
		t.Error("the same keys give another document or tag")
	}
	for environment, want := range map[string]int{"": 4, "live": 3, "sandbox": 1, "staging": 0} {
		document, tag, err := ring.JWKS(environment, noon)
		if err != nil {
			t.Fatal(err)
		}
		if (tag == allTag) != (environment == "") || len(tag) < 10 || tag[0] != '"' || tag[len(tag)-1] != '"' {
			t.Errorf("%q: entity tag %s", environment, tag)
		}
		var set struct {
			Keys []map[string]string `json:"keys"`
		}
		if err := json.Unmarshal(document, &set); err != nil || set.Keys == nil || len(set.Keys) != want {
			t.Fatalf("%q: %s, %v", environment, document, err)
		}
		for _, k := range set.Keys {
			private := k["d"] + k["p"] + k["q"] + k["dp"] + k["dq"] + k["qi"] + k["k"]
			if private != "" || k["kid"] == "" || k["use"] != "sig" || k["alg"] == "" {
				t.Errorf("%q: key %v", environment, k)
			}
			if k["kid"] == "ed-live" && (k["kty"] != "OKP" || k["crv"] != "Ed25519" || k["alg"] != "EdDSA") {
				t.Errorf("Ed25519 stands as %v (RFC 8037)", k)
			}
		}
	}
}

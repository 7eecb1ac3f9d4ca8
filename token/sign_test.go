package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// standardClaims is what RFC 9068 §2.2 asks of an access token.
type standardClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ClientID string `json:"client_id"`
	ID       string `json:"jti"`
	Scope    string `json:"scope,omitempty"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

func sampleClaims() standardClaims {
	return standardClaims{
		Issuer: "https://auth.example.test", Subject: "client-7", Audience: "https://auth.example.test",
		ClientID: "client-7", ID: NewID(noon).String(), Scope: "read write",
		IssuedAt: noon.Unix(), Expires: noon.Unix() + 3600,
	}
}

// What we sign must be verified by two libraries, from our key set alone.
func TestSignedTokensVerifyElsewhere(t *testing.T) {
	ring := testRing(t)
	document, _, err := ring.JWKS("", noon)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(document, &set); err != nil {
		t.Fatal(err)
	}
	claims := sampleClaims()
	want, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	for id, k := range testKeys() {
		fast, err := k.SignClaims(TypeAccessToken, claims)
		if err != nil {
			t.Fatal(err)
		}
		slow, err := k.Sign(map[string]any{"typ": "JWT", "api_ref": "9", "alg": "none", "kid": "other"}, claims)
		if err != nil {
			t.Fatal(err)
		}
		for typ, tok := range map[string]string{TypeAccessToken: fast.Reveal(), "JWT": slow.Reveal()} {
			own, err := ring.Verify(tok, noon)
			if err != nil || own.Key != k || own.Type != typ || string(own.Claims) != string(want) {
				t.Fatalf("%s: Verify = %+v, %v", id, own, err)
			}
			jws, err := jose.ParseSignedCompact(tok, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.Realm.Algorithm)})
			if err != nil {
				t.Fatalf("%s: go-jose: %v", id, err)
			}
			public := set.Key(id)
			if len(public) != 1 || public[0].Use != "sig" || public[0].Algorithm != string(k.Realm.Algorithm) {
				t.Fatalf("%s in the key set: %+v", id, public)
			}
			if payload, err := jws.Verify(public[0]); err != nil || string(payload) != string(want) {
				t.Fatalf("%s: go-jose: %s, %v", id, payload, err)
			}
			_, err = jwt.NewParser(jwt.WithValidMethods([]string{string(k.Realm.Algorithm)}), jwt.WithoutClaimsValidation()).
				Parse(tok, func(*jwt.Token) (any, error) { return public[0].Key, nil })
			if err != nil {
				t.Fatalf("%s: golang-jwt: %v", id, err)
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	k := testKey(t, "ed-live")
	for _, claims := range []any{"text", []int{1}, nil, 7, math.Inf(1), func() {}, map[string]any{"a": "\xff"}} {
		if tok, err := k.SignClaims("JWT", claims); err == nil || !tok.IsZero() {
			t.Errorf("claims %T were signed", claims)
		}
	}
	if _, err := k.Sign(map[string]any{"bad": make(chan int)}, sampleClaims()); err == nil {
		t.Error("a header that can't be encoded was signed")
	}
	if _, err := k.SignClaims("\xff", sampleClaims()); err == nil {
		t.Error("a type that is not UTF-8 was signed")
	}
	public := *k
	public.Signer = nil
	if _, err := public.SignClaims("JWT", sampleClaims()); !errors.Is(err, ErrKey) {
		t.Errorf("without a private half: %v", err)
	}
}

func BenchmarkSign(b *testing.B) {
	claims := sampleClaims()
	loose := map[string]any{
		"iss": claims.Issuer, "sub": claims.Subject, "aud": claims.Audience, "client_id": claims.ClientID,
		"jti": claims.ID, "scope": claims.Scope, "iat": claims.IssuedAt, "exp": claims.Expires,
	}
	private := testKey(b, "ed-live").Signer.(ed25519.PrivateKey)
	message := make([]byte, 420) // about the length of what is signed below
	_, _ = rand.Read(message)
	b.Run("bare-ed25519", func(b *testing.B) {
		for b.Loop() {
			ed25519.Sign(private, message)
		}
	})
	for _, id := range []string{"ed-live", "ec-live", "APIKEY0"} {
		k := testKey(b, id)
		b.Run(fmt.Sprintf("%s-struct", k.Realm.Algorithm), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.SignClaims(TypeAccessToken, &claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	k := testKey(b, "ed-live")
	b.Run("EdDSA-map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Sign(map[string]any{"typ": TypeAccessToken}, loose); err != nil {
				b.Fatal(err)
			}
		}
	})
}

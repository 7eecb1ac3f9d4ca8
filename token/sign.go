package token

import (
	"encoding/base64"
	"fmt"
	"maps"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// TypeAccessToken is the "typ" of a standard access token (RFC 9068 §2.1).
const TypeAccessToken = "at+jwt"

// Sign mints a JWT whose header holds header's members with this key's "alg" and
// "kid", which win over members of those names. claims is anything that encodes
// as a JSON object; a jsontext.Value is signed as it stands.
//
// It doesn't look at the key's times: take the key from Ring.Signing.
func (k *Key) Sign(header map[string]any, claims any) (secret.Text, error) {
	full := make(map[string]any, len(header)+2)
	maps.Copy(full, header)
	full["alg"], full["kid"] = string(k.Realm.Algorithm), k.ID
	encoded, err := json.Marshal(full, json.Deterministic(true))
	if err != nil {
		return secret.Text{}, fmt.Errorf("encoding a token's header: %w", err)
	}
	return k.sign(encoded, claims)
}

// SignClaims is Sign for a header that has "typ" and nothing else: the quick way
// for standard tokens.
func (k *Key) SignClaims(typ string, claims any) (secret.Text, error) {
	var buf [192]byte
	header := append(buf[:0], `{"alg":"`...)
	header = append(header, k.Realm.Algorithm...)
	header = append(header, `","kid":"`...)
	header = append(header, k.ID...) // NewRing lets no id pass that needs an escape
	header = append(header, `","typ":`...)
	header, err := jsontext.AppendQuote(header, typ)
	if err != nil {
		return secret.Text{}, fmt.Errorf("encoding a token's header: %w", err)
	}
	return k.sign(append(header, '}'), claims)
}

func (k *Key) sign(header []byte, claims any) (secret.Text, error) {
	if k.Signer == nil {
		return secret.Text{}, fmt.Errorf("key %s: %w: its private half is not at hand", k.ID, ErrKey)
	}
	payload, encoded := claims.(jsontext.Value)
	if !encoded {
		var err error
		if payload, err = json.Marshal(claims, json.Deterministic(true)); err != nil {
			return secret.Text{}, fmt.Errorf("encoding a token's claims: %w", err)
		}
	}
	if payload.Kind() != '{' {
		return secret.Text{}, fmt.Errorf("encoding a token's claims: not a JSON object")
	}
	encoding := base64.RawURLEncoding
	const signatureRoom = 1 + 86 // Ed25519 and P-256; RSA grows the buffer once
	b := make([]byte, 0, encoding.EncodedLen(len(header))+1+encoding.EncodedLen(len(payload))+signatureRoom)
	b = encoding.AppendEncode(b, header)
	b = append(b, '.')
	b = encoding.AppendEncode(b, payload)
	signature, err := k.Realm.Algorithm.method().Sign(string(b), k.Signer)
	if err != nil {
		return secret.Text{}, fmt.Errorf("signing with key %s: %w", k.ID, err)
	}
	b = append(b, '.')
	return secret.New(string(encoding.AppendEncode(b, signature))), nil
}

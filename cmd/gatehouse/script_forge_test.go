package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// forge makes $FORGED of a real token, as an attacker would who has one:
//
//	forge HOW TOKEN HEADER CLAIMS
//
// HEADER and CLAIMS are JSON objects whose members replace the token's; one
// that is null is left out. A header member "<own>" becomes the attacker's
// public key. HOW says what stands in the place of the signature:
//
//	kept          the real one, over what it did not sign
//	unsigned      nothing
//	own           the attacker's, with an Ed25519 key
//	public-raw, public-pem, public-jwk    an HMAC keyed with the token's
//	              public key, as the key set at $URL shows it
func forge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: forge HOW TOKEN HEADER CLAIMS")
	}
	how, tok := args[0], args[1]
	header, claims, signature, err := splitJWT(tok)
	ts.Check(err)
	public, private, err := ed25519.GenerateKey(nil)
	ts.Check(err)
	newHeader, err := replaceMembers(header, args[2], &jose.JSONWebKey{Key: public, KeyID: "own", Algorithm: "EdDSA"})
	ts.Check(err)
	newClaims, err := replaceMembers(claims, args[3], nil)
	ts.Check(err)
	signed := encode(newHeader) + "." + encode(newClaims)
	switch how {
	case "kept":
	case "unsigned":
		signature = nil
	case "own":
		signature = ed25519.Sign(private, []byte(signed))
	default:
		key, err := publicKeyAs(how, ts.Getenv("URL"), header)
		ts.Check(err)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	ts.Setenv("FORGED", signed+"."+encode(signature))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func splitJWT(tok string) (header, claims, signature []byte, err error) {
	parts := strings.Split(tok, ".")
	if len(parts) != 3 {
		return nil, nil, nil, fmt.Errorf("%d parts are no JWT", len(parts))
	}
	decoded := make([][]byte, 3)
	for i, part := range parts {
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return nil, nil, nil, err
		}
	}
	return decoded[0], decoded[1], decoded[2], nil
}

func replaceMembers(object []byte, with string, own *jose.JSONWebKey) ([]byte, error) {
	var members, replaced map[string]any
	if err := errors.Join(json.Unmarshal(object, &members), json.Unmarshal([]byte(with), &replaced)); err != nil {
		return nil, err
	}
	for name, value := range replaced {
		if value == "<own>" {
			replaced[name] = own
		}
	}
	maps.Copy(members, replaced)
	maps.DeleteFunc(members, func(_ string, value any) bool { return value == nil })
	return json.Marshal(members, json.Deterministic(true))
}

// publicKeyAs returns the bytes that someone might take for a symmetric key.
func publicKeyAs(how, url string, header []byte) ([]byte, error) {
	var named struct {
		ID string `json:"kid"`
	}
	if err := json.Unmarshal(header, &named); err != nil {
		return nil, err
	}
	resp, err := http.Get(url + "/.well-known/jwks.json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.UnmarshalRead(resp.Body, &set); err != nil {
		return nil, err
	}
	keys := set.Key(named.ID)
	if len(keys) != 1 {
		return nil, fmt.Errorf("%d keys are called %q", len(keys), named.ID)
	}
	der, err := x509.MarshalPKIXPublicKey(keys[0].Key)
	if err != nil {
		return nil, err
	}
	switch how {
	case "public-raw":
		if raw, ok := keys[0].Key.(ed25519.PublicKey); ok {
			return raw, nil
		}
		return der, nil
	case "public-pem":
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
	case "public-jwk":
		return keys[0].MarshalJSON()
	}
	return nil, fmt.Errorf("forge can't do %q", how)
}

package token

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs header and payload, as they stand, with a test key: an attacker
// can't, but then nothing but the rule under test refuses the token.
func forge(t testing.TB, k *Key, header, payload string) string {
	t.Helper()
	signed := segment(header) + "." + segment(payload)
	sig, err := k.Realm.Algorithm.method().Sign(signed, k.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + segment(string(sig))
}

const (
	goodHeader  = `{"alg":"EdDSA","kid":"ed-live","typ":"at+jwt"}`
	goodPayload = `{"sub":"client-7","exp":1780318800}`
)

func TestVerifyForgedBaseline(t *testing.T) {
	v, err := testRing(t).Verify(forge(t, testKey(t, "ed-live"), goodHeader, goodPayload), noon)
	if err != nil || string(v.Claims) != goodPayload || string(v.Header) != goodHeader || v.Type != TypeAccessToken {
		t.Fatalf("a good token: %+v, %v", v, err)
	}
	if v.Key.Realm != (Realm{"live", "oauth2", EdDSA}) {
		t.Errorf("realm %+v", v.Key.Realm)
	}
}

// Headers and payloads that are refused though the signature is good.
func TestVerifyRefusesSigned(t *testing.T) {
	ring, k := testRing(t), testKey(t, "ed-live")
	header := func(members string) string { return `{"alg":"EdDSA","kid":"ed-live"` + members + `}` }
	for name, c := range map[string]struct {
		header, payload string
		want            error
	}{
		"alg twice":             {header(`,"alg":"EdDSA"`), goodPayload, ErrMalformed},
		"kid twice":             {header(`,"kid":"ed-live"`), goodPayload, ErrMalformed},
		"unknown twice":         {header(`,"x":1,"x":1`), goodPayload, ErrMalformed},
		"twice by escape":       {header(`,"\u0061lg":"EdDSA"`), goodPayload, ErrMalformed},
		"twice at depth":        {header(`,"x":{"y":1,"y":1}`), goodPayload, ErrMalformed},
		"crit b64":              {header(`,"b64":false,"crit":["b64"]`), goodPayload, ErrMalformed},
		"crit unknown":          {header(`,"crit":["exp"],"exp":1`), goodPayload, ErrMalformed},
		"crit empty":            {header(`,"crit":[]`), goodPayload, ErrMalformed},
		"crit null":             {header(`,"crit":null`), goodPayload, ErrMalformed},
		"b64 alone":             {header(`,"b64":true`), goodPayload, ErrMalformed},
		"jku":                   {header(`,"jku":"https://evil.example.test/jwks.json"`), goodPayload, ErrMalformed},
		"x5u":                   {header(`,"x5u":"https://evil.example.test/chain.pem"`), goodPayload, ErrMalformed},
		"x5c":                   {header(`,"x5c":["MIIB"]`), goodPayload, ErrMalformed},
		"x5t":                   {header(`,"x5t":"AAAA"`), goodPayload, ErrMalformed},
		"jwk":                   {header(`,"jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`), goodPayload, ErrMalformed},
		"enc":                   {header(`,"enc":"A256GCM"`), goodPayload, ErrMalformed},
		"zip":                   {header(`,"zip":"DEF"`), goodPayload, ErrMalformed},
		"alg missing":           {`{"kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"alg empty":             {`{"alg":"","kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"alg null":              {`{"alg":null,"kid":"ed-live"}`, goodPayload, ErrMalformed},
		"alg array":             {`{"alg":["EdDSA"],"kid":"ed-live"}`, goodPayload, ErrMalformed},
		"alg number":            {`{"alg":0,"kid":"ed-live"}`, goodPayload, ErrMalformed},
		"alg other case":        {`{"alg":"eddsa","kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"alg in capitals":       {`{"ALG":"EdDSA","kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"alg with space":        {`{"alg":"EdDSA ","kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"alg Ed25519":           {`{"alg":"Ed25519","kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"alg of another key":    {`{"alg":"ES256","kid":"ed-live"}`, goodPayload, ErrAlgorithm},
		"kid missing":           {`{"alg":"EdDSA"}`, goodPayload, ErrUnknownKey},
		"kid null":              {`{"alg":"EdDSA","kid":null}`, goodPayload, ErrMalformed},
		"kid array":             {`{"alg":"EdDSA","kid":["ed-live"]}`, goodPayload, ErrMalformed},
		"kid object":            {`{"alg":"EdDSA","kid":{}}`, goodPayload, ErrMalformed},
		"kid number":            {`{"alg":"EdDSA","kid":0}`, goodPayload, ErrMalformed},
		"kid empty":             {`{"alg":"EdDSA","kid":""}`, goodPayload, ErrUnknownKey},
		"kid path":              {`{"alg":"EdDSA","kid":"../../../dev/null"}`, goodPayload, ErrUnknownKey},
		"kid SQL":               {`{"alg":"EdDSA","kid":"ed-live' OR '1'='1"}`, goodPayload, ErrUnknownKey},
		"kid NUL":               {`{"alg":"EdDSA","kid":"ed-live\u0000"}`, goodPayload, ErrUnknownKey},
		"kid long":              {`{"alg":"EdDSA","kid":"` + strings.Repeat("k", 8000) + `"}`, goodPayload, ErrUnknownKey},
		"kid 1 MiB":             {`{"alg":"EdDSA","kid":"` + strings.Repeat("k", 1<<20) + `"}`, goodPayload, ErrMalformed},
		"kid of another realm":  {`{"alg":"EdDSA","kid":"ed-sandbox"}`, goodPayload, ErrSignature},
		"typ null":              {header(`,"typ":null`), goodPayload, ErrMalformed},
		"typ number":            {header(`,"typ":1`), goodPayload, ErrMalformed},
		"header array":          {`["EdDSA"]`, goodPayload, ErrMalformed},
		"header null":           {`null`, goodPayload, ErrMalformed},
		"header text":           {`"EdDSA"`, goodPayload, ErrMalformed},
		"header and more":       {goodHeader + `{}`, goodPayload, ErrMalformed},
		"header BOM":            {"\ufeff" + goodHeader, goodPayload, ErrMalformed},
		"header bad UTF-8":      {header(`,"x":"` + "\xff" + `"`), goodPayload, ErrMalformed},
		"header surrogate":      {header(`,"x":"\ud800"`), goodPayload, ErrMalformed},
		"header comment":        {`{/**/` + goodHeader[1:], goodPayload, ErrMalformed},
		"header deep":           {header(`,"x":` + strings.Repeat("[", 11000) + strings.Repeat("]", 11000)), goodPayload, ErrMalformed},
		"claims twice":          {goodHeader, `{"sub":"a","sub":"b"}`, ErrMalformed},
		"claims twice by form":  {goodHeader, `{"sub":"a","s\u0075b":"b"}`, ErrMalformed},
		"claims twice at depth": {goodHeader, `{"user":{"id":1,"id":2}}`, ErrMalformed},
		"claims array":          {goodHeader, `[1]`, ErrMalformed},
		"claims null":           {goodHeader, `null`, ErrMalformed},
		"claims text":           {goodHeader, `"foo"`, ErrMalformed},
		"claims no JSON":        {goodHeader, `foo`, ErrMalformed},
		"claims and more":       {goodHeader, goodPayload + `x`, ErrMalformed},
		"claims two":            {goodHeader, goodPayload + goodPayload, ErrMalformed},
		"claims cut":            {goodHeader, goodPayload[:len(goodPayload)-1], ErrMalformed},
		"claims bad UTF-8":      {goodHeader, `{"sub":"` + "\xc0\xaf" + `"}`, ErrMalformed},
		"claims surrogate":      {goodHeader, `{"sub":"\udfff"}`, ErrMalformed},
		"claims NUL":            {goodHeader, goodPayload + "\x00", ErrMalformed},
		"claims BOM":            {goodHeader, "\ufeff" + goodPayload, ErrMalformed},
		"claims empty":          {goodHeader, "", ErrMalformed},
		"claims blank":          {goodHeader, " ", ErrMalformed},
		"claims NaN":            {goodHeader, `{"exp":NaN}`, ErrMalformed},
	} {
		checkRefused(t, ring, name, forge(t, k, c.header, c.payload), c.want)
	}
	for name, headerText := range map[string]string{
		"white space": " {\n\t\"alg\" : \"EdDSA\" , \"kid\":\"ed-live\"} ",
		"escapes":     `{"alg":"Ed\u0044SA","kid":"ed\u002dlive"}`,
		"unknown":     header(`,"api_ref":"7","cty":"JWT","other":[{"a":{"b":null}}]`),
	} {
		if _, err := ring.Verify(forge(t, k, headerText, goodPayload), noon); err != nil {
			t.Errorf("a harmless header (%s) is refused: %v", name, err)
		}
	}
}

// checkRefused also holds that an error says nothing of the token.
func checkRefused(t *testing.T, ring *Ring, name, tok string, want error) {
	t.Helper()
	v, err := ring.Verify(tok, noon)
	if !errors.Is(err, want) || v != nil {
		t.Errorf("%s: %v, %v; want %v", name, v, err, want)
		return
	}
	if text := err.Error(); len(text) > 120 || strings.Contains(text, "ed-live") || strings.Contains(text, "evil") {
		t.Errorf("%s: the error tells of the token: %s", name, text)
	}
}

func TestVerifyRefusesNone(t *testing.T) {
	ring := testRing(t)
	for i := range 16 {
		alg := []byte("none")
		for bit := range alg {
			if i>>bit&1 == 1 {
				alg[bit] -= 'a' - 'A'
			}
		}
		for _, spelling := range []string{string(alg), string(alg) + " ", " " + string(alg), string(alg) + "\u0000", "\u200b" + string(alg)} {
			text, err := json.Marshal(spelling)
			if err != nil {
				t.Fatal(err)
			}
			for _, kid := range []string{"", `,"kid":"ed-live"`} {
				head := segment(`{"alg":` + string(text) + kid + `}`)
				checkRefused(t, ring, "none without signature", head+"."+segment(goodPayload)+".", ErrMalformed)
				checkRefused(t, ring, "none with a signature", head+"."+segment(goodPayload)+".AAAA", ErrAlgorithm)
				checkRefused(t, ring, "none in two segments", head+"."+segment(goodPayload), ErrMalformed)
			}
		}
	}
}

// The oldest trick: the public key, in each of its spellings, as an HMAC secret.
func TestVerifyRefusesHMACWithPublicKey(t *testing.T) {
	ring := testRing(t)
	for id, k := range testKeys() {
		der, err := MarshalPublic(k.Public)
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := json.Marshal(jose.JSONWebKey{Key: k.Public, KeyID: id})
		if err != nil {
			t.Fatal(err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		secrets := [][]byte{der, jwk, block, []byte(strings.TrimSpace(string(block))), nil}
		if raw, ok := k.Public.(ed25519.PublicKey); ok {
			secrets = append(secrets, raw)
		}
		for _, key := range secrets {
			for _, alg := range []string{"HS256", string(k.Realm.Algorithm)} {
				signed := segment(`{"alg":"`+alg+`","kid":"`+id+`"}`) + "." + segment(goodPayload)
				mac := hmac.New(sha256.New, key)
				mac.Write([]byte(signed))
				want := ErrAlgorithm
				if alg != "HS256" {
					want = ErrSignature
				}
				checkRefused(t, ring, "HMAC under "+alg, signed+"."+segment(string(mac.Sum(nil))), want)
			}
		}
	}
}

// A token under another key's id: by that key's algorithm the signature is
// false, by the signer's own the algorithm is.
func TestVerifyRefusesOtherKeysID(t *testing.T) {
	ring := testRing(t)
	for signerID, signer := range testKeys() {
		for namedID, named := range testKeys() {
			if signerID == namedID {
				continue
			}
			own := fmt.Sprintf(`{"alg":%q,"kid":%q}`, signer.Realm.Algorithm, namedID)
			want := ErrAlgorithm
			if signer.Realm.Algorithm == named.Realm.Algorithm {
				want = ErrSignature
			}
			checkRefused(t, ring, signerID+" as "+namedID, forge(t, signer, own, goodPayload), want)
			theirs := fmt.Sprintf(`{"alg":%q,"kid":%q}`, named.Realm.Algorithm, namedID)
			checkRefused(t, ring, signerID+" as "+namedID, forge(t, signer, theirs, goodPayload), ErrSignature)
		}
	}
}

func TestVerifyRefusesForms(t *testing.T) {
	ring, k := testRing(t), testKey(t, "ed-live")
	good := forge(t, k, goodHeader, goodPayload)
	parts := strings.Split(good, ".")
	joined := func(p ...string) string { return strings.Join(p, ".") }
	serialised := `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`
	for name, tok := range map[string]string{
		"nothing":             "",
		"one dot":             ".",
		"two dots":            "..",
		"a million dots":      strings.Repeat(".", 1_000_000),
		"sixteen KiB of dots": strings.Repeat(".", MaxSize),
		"one segment":         parts[0],
		"two segments":        joined(parts[0], parts[1]),
		"four segments":       good + "." + parts[2],
		"trailing dot":        good + ".",
		"leading dot":         "." + good,
		"no header":           joined("", parts[1], parts[2]),
		"no payload":          joined(parts[0], "", parts[2]),
		"no signature":        joined(parts[0], parts[1], ""),
		"JWE":                 joined(segment(`{"alg":"dir","enc":"A256GCM"}`), "", "AAAA", "AAAA", "AAAA"),
		"JWE, all filled":     joined(segment(`{"alg":"RSA-OAEP","enc":"A256GCM"}`), "AAAA", "AAAA", "AAAA", "AAAA"),
		"JSON, flattened":     serialised,
		"JSON, general":       `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"JSON in base64url":   segment(serialised),
		"space before":        " " + good,
		"line end after":      good + "\n",
		"CR LF inside":        good[:10] + "\r\n" + good[10:],
		"line end at segment": joined(parts[0]+"\n", parts[1], parts[2]),
		"NUL after":           good + "\x00",
		"padding":             joined(parts[0], parts[1]+"=", parts[2]),
		"signature padded":    good + "==",
		"standard alphabet":   joined(parts[0], parts[1], strings.NewReplacer("-", "+", "_", "/").Replace(parts[2])+"+"),
		"a character more":    joined(parts[0], parts[1], parts[2]+"AAA"),
		"full-width dot":      strings.Replace(good, ".", "．", 1),
		"Bearer":              "Bearer " + good,
		"too long":            forge(t, k, goodHeader, `{"sub":"`+strings.Repeat("a", MaxSize)+`"}`),
		"longest, and more":   good + strings.Repeat("A", MaxSize+1-len(good)),
	} {
		checkRefused(t, ring, name, tok, ErrMalformed)
	}

	// Unused bits at a segment's end: the same bytes in another spelling.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i, part := range parts {
		if len(part)%4 == 0 {
			continue
		}
		last := strings.IndexByte(alphabet, part[len(part)-1])
		altered := append([]string(nil), parts...)
		altered[i] = part[:len(part)-1] + alphabet[last|1:last|1+1]
		checkRefused(t, ring, fmt.Sprintf("stray bits in segment %d", i), strings.Join(altered, "."), ErrMalformed)
	}
	// No change of one bit of one character passes.
	for i := range good {
		for bit := range 8 {
			b := []byte(good)
			b[i] ^= 1 << bit
			if v, err := ring.Verify(string(b), noon); err == nil || v != nil {
				t.Errorf("bit %d of character %d changed, and the token passes", bit, i)
			}
		}
	}
}

func TestVerifyTakesTheLongest(t *testing.T) {
	k := testKey(t, "ed-live")
	fill := MaxSize - len(forge(t, k, goodHeader, `{"sub":""}`))
	tok := forge(t, k, goodHeader, `{"sub":"`+strings.Repeat("a", fill*3/4)+`"}`)
	if len(tok) > MaxSize || len(tok) < MaxSize-4 {
		t.Fatalf("the test's token has %d characters", len(tok))
	}
	if _, err := testRing(t).Verify(tok, noon); err != nil {
		t.Error(err)
	}
}

func TestIsType(t *testing.T) {
	for _, c := range []struct {
		typ, asked string
		want       bool
	}{
		{"at+jwt", "at+jwt", true}, {"AT+JWT", "at+jwt", true}, {"application/at+jwt", "at+jwt", true}, {"Application/AT+jwt", "at+jwt", true},
		{"JWT", "at+jwt", false}, {"", "at+jwt", false}, {"application/", "at+jwt", false}, {"application/application/at+jwt", "at+jwt", false},
		{"x/at+jwt", "at+jwt", false}, {"at+jwt ", "at+jwt", false}, {"", "", true},
	} {
		if got := (&Verified{Type: c.typ}).IsType(c.asked); got != c.want {
			t.Errorf("%q is %q: %v", c.typ, c.asked, got)
		}
	}
}

// What we accept another library must accept, with the same payload.
func FuzzVerify(f *testing.F) {
	ring := testRing(f)
	for _, k := range testKeys() {
		tok, err := k.SignClaims("at+jwt", sampleClaims())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tok.Reveal(), "", "")
	}
	// Header and payload alone are signed, so that the fuzzer gets past the
	// signature.
	f.Add("", goodHeader, goodPayload)
	f.Add("", `{"alg":"EdDSA","kid":"ed-live","crit":["b64"],"b64":false}`, goodPayload)
	f.Add("", `{"alg":"none"}`, `{"a":1,"a":2}`)
	k := testKey(f, "ed-live")
	f.Fuzz(func(t *testing.T, tok, header, payload string) {
		if tok == "" {
			tok = forge(t, k, header, payload)
		}
		v, err := ring.Verify(tok, noon)
		if err != nil {
			if v != nil {
				t.Fatal("a token beside an error")
			}
			return
		}
		alg := jose.SignatureAlgorithm(v.Key.Realm.Algorithm)
		jws, err := jose.ParseSignedCompact(tok, []jose.SignatureAlgorithm{alg})
		if err != nil {
			t.Fatalf("go-jose refuses the form of what we accept: %v", err)
		}
		got, err := jws.Verify(v.Key.Public)
		if err != nil {
			t.Fatalf("go-jose refuses the signature of what we accept: %v", err)
		}
		if string(got) != string(v.Claims) || jws.Signatures[0].Header.KeyID != v.Key.ID {
			t.Fatalf("go-jose reads %s under %q, we %s under %q", got, jws.Signatures[0].Header.KeyID, v.Claims, v.Key.ID)
		}
		var claims map[string]any
		if err := json.Unmarshal(v.Claims, &claims); err != nil {
			t.Fatalf("encoding/json refuses the claims: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	ring := testRing(b)
	for _, id := range []string{"ed-live", "ec-live", "APIKEY0"} {
		k := testKey(b, id)
		text, err := k.SignClaims(TypeAccessToken, sampleClaims())
		if err != nil {
			b.Fatal(err)
		}
		tok := text.Reveal()
		if public, ok := k.Public.(ed25519.PublicKey); ok {
			dot := strings.LastIndexByte(tok, '.')
			message := []byte(tok[:dot])
			sig, err := base64.RawURLEncoding.DecodeString(tok[dot+1:])
			if err != nil {
				b.Fatal(err)
			}
			b.Run("bare-ed25519", func(b *testing.B) {
				for b.Loop() {
					if !ed25519.Verify(public, message, sig) {
						b.Fatal("refused")
					}
				}
			})
		}
		b.Run(string(k.Realm.Algorithm), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := ring.Verify(tok, noon)
				if err != nil {
					b.Fatal(err)
				}
				times, err := ReadTimes(v.Claims)
				if err != nil || times.Check(noon.Add(time.Minute), ClockSkew) != nil {
					b.Fatal("times refused")
				}
			}
		})
	}
}

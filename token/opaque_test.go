package token

import (
	"encoding/binary"
	"hash/crc32"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The fixed-width code is checked against math/big, which shares none of it.
func TestBase62AgreesWithBig(t *testing.T) {
	for _, form := range []struct{ limbs, digits int }{{6, opaqueDigits}, {4, secretDigits}} {
		limit := new(big.Int).Lsh(big.NewInt(1), uint(64*form.limbs))
		if most := new(big.Int).Exp(big.NewInt(62), big.NewInt(int64(form.digits)), nil); most.Cmp(limit) < 0 {
			t.Fatalf("%d digits don't hold %d bits", form.digits, 64*form.limbs)
		}
		for trial := range 2000 {
			limbs := make([]uint64, form.limbs)
			want := new(big.Int)
			for i := range limbs {
				switch trial {
				case 0:
				case 1:
					limbs[i] = ^uint64(0)
				default:
					limbs[i] = rand.Uint64()
				}
				want.Lsh(want, 64).Or(want, new(big.Int).SetUint64(limbs[i]))
			}
			original := append([]uint64(nil), limbs...)
			got := make([]byte, form.digits)
			encodeBase62(got, limbs)
			sum, _ := new(big.Int).SetString(swapCase(string(got)), 62) // math/big has lower case first
			if sum.Cmp(want) != 0 {
				t.Fatalf("%x became %s", want, got)
			}
			back := make([]uint64, form.limbs)
			if !decodeBase62(back, string(got)) {
				t.Fatalf("%s is not read back", got)
			}
			for i := range back {
				if back[i] != original[i] {
					t.Fatalf("%s is read back as %x", got, back)
				}
			}
		}
		// The first number that does not fit.
		text := swapCase(limit.Text(62))
		text = strings.Repeat("0", form.digits-len(text)) + text
		if decodeBase62(make([]uint64, form.limbs), text) {
			t.Errorf("%s is beyond %d bits and was read", text, 64*form.limbs)
		}
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

func TestOpaqueRoundTrip(t *testing.T) {
	for _, prefix := range []string{"", "live_", "sandbox_", Prefix("live", AccessToken), "a-b_" + strings.Repeat("x", 59) + "_"} {
		id := NewID(time.Now())
		tok := NewOpaque(prefix, id).Reveal()
		if len(tok) != len(prefix)+opaqueDigits+checksumDigits {
			t.Errorf("%d characters", len(tok))
		}
		gotPrefix, gotID, err := ParseOpaque(tok)
		if err != nil || gotPrefix != prefix || gotID != id {
			t.Errorf("prefix %q: ParseOpaque = %q, %v, %v", prefix, gotPrefix, gotID, err)
		}
		if NewOpaque(prefix, id).Equal(NewOpaque(prefix, id)) {
			t.Error("two tokens of one id are equal")
		}
	}
}

func TestInvalidPrefixesAreRefused(t *testing.T) {
	for _, prefix := range []string{"live", "live-", "li ve_", "live_\n", "ü_", strings.Repeat("x", 64) + "_", "a.b_"} {
		if ValidPrefix(prefix) {
			t.Errorf("ValidPrefix(%q)", prefix)
		}
		if _, _, err := ParseOpaque(NewOpaque(prefix, ID{}).Reveal()); err == nil {
			t.Errorf("a token with the prefix %q was read", prefix)
		}
	}
}

// Every single change of a character, every cut and every neighbouring swap is caught.
func TestMistypedNeverPasses(t *testing.T) {
	tok := NewOpaque("gate_live_at_", NewID(time.Now())).Reveal()
	sec := NewSecret("gate_live_cs_").Reveal()
	if !ValidSecret(sec) {
		t.Fatal("a fresh secret is refused")
	}
	if ValidSecret(tok) {
		t.Error("a token passes as a secret")
	}
	if _, _, err := ParseOpaque(sec); err == nil {
		t.Error("a secret passes as a token")
	}
	for _, form := range []struct {
		text   string
		passes func(string) bool
	}{
		{tok, func(s string) bool { _, _, err := ParseOpaque(s); return err == nil }},
		{sec, ValidSecret},
	} {
		var tries []string
		for i := range form.text {
			for c := range 256 {
				if byte(c) != form.text[i] {
					tries = append(tries, form.text[:i]+string([]byte{byte(c)})+form.text[i+1:])
				}
			}
			tries = append(tries, form.text[:i], form.text[i+1:], form.text[:i]+form.text[i+1:], form.text[:i]+"0"+form.text[i:])
			if i > 0 && form.text[i] != form.text[i-1] {
				b := []byte(form.text)
				b[i], b[i-1] = b[i-1], b[i]
				tries = append(tries, string(b))
			}
		}
		for _, around := range []string{"0", " ", "\n", "_", "A"} {
			tries = append(tries, form.text+around, around+form.text)
		}
		tries = append(tries, strings.ToUpper(form.text), form.text+form.text, strings.Repeat(form.text, 10000))
		for _, s := range tries {
			if s != form.text && form.passes(s) {
				t.Errorf("%q passes for %q", s, form.text)
			}
		}
	}
}

// A right checksum does not excuse a value beyond the width.
func TestOverflowWithGoodChecksum(t *testing.T) {
	for _, digits := range []int{opaqueDigits, secretDigits} {
		body := "live_" + strings.Repeat("z", digits)
		text := string(appendChecksum([]byte(body)))
		if _, _, err := ParseOpaque(text); err == nil || ValidSecret(text) {
			t.Errorf("%s passes", text)
		}
	}
}

func TestChecksumIsCRC32(t *testing.T) {
	tok := NewSecret("live_").Reveal()
	var sum [1]uint64
	if !decodeBase62(sum[:], tok[len(tok)-6:]) || uint32(sum[0]) != crc32.ChecksumIEEE([]byte(tok[:len(tok)-6])) {
		t.Error("the last six characters are not the CRC-32 of the others")
	}
}

func TestPattern(t *testing.T) {
	re := regexp.MustCompile(Pattern())
	for _, kind := range []Kind{AccessToken, RefreshToken, AccessCode, UserSecret, ClientSecret} {
		for _, text := range []string{
			NewOpaque(Prefix("sandbox", kind), NewID(time.Now())).Reveal(),
			NewSecret(Prefix("live", kind)).Reveal(),
		} {
			if got := re.FindString(`key = "` + text + `" # here`); got != text {
				t.Errorf("found %q in a line with %q", got, text)
			}
			if re.MatchString(text[:len(text)-1]) || re.MatchString("x"+text) {
				t.Errorf("a part of %q matches", text)
			}
		}
	}
}

func FuzzParseOpaque(f *testing.F) {
	id := NewID(time.Now())
	f.Add(NewOpaque("live_", id).Reveal())
	f.Add(NewSecret("live_").Reveal())
	f.Add("gate_live_at_")
	f.Fuzz(func(t *testing.T, s string) {
		prefix, id, err := ParseOpaque(s)
		if err != nil {
			return
		}
		// What is read must be what would be written.
		var limbs [6]uint64
		if !decodeBase62(limbs[:], s[len(prefix):len(s)-checksumDigits]) || limbs[0] != binary.BigEndian.Uint64(id[:]) {
			t.Fatalf("%q: the id is not its first 128 bits", s)
		}
		b := append([]byte(prefix), make([]byte, opaqueDigits)...)
		encodeBase62(b[len(prefix):], limbs[:])
		if string(appendChecksum(b)) != s || ValidSecret(s) {
			t.Fatalf("%q is not the canonical form", s)
		}
	})
}

func BenchmarkNewOpaque(b *testing.B) {
	id := NewID(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		NewOpaque("gate_live_at_", id)
	}
}

func BenchmarkParseOpaque(b *testing.B) {
	tok := NewOpaque("gate_live_at_", NewID(time.Now())).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseOpaque(tok); err != nil {
			b.Fatal(err)
		}
	}
}

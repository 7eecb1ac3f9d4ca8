package credential

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// Known answers, none of them made by this code: Argon2's reference test.c,
// crypt_blowfish's wrapper.c and libxcrypt, passlib's manual, RFC 7914 §11,
// FIPS 180-2, and Python's hashlib.
var knownHashes = []struct {
	name, encoded, secret string
	slow                  bool
}{
	{"argon2id reference", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", true},
	{"argon2id two lanes", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password", true},
	{"bcrypt 2a", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true},
	{"bcrypt 2b", "$2b$05$abcdefghijklmnopqrstuuzLBZ84xhE9LK1nOELjcEjS4U60Px5Di", "café secret", true},
	{"bcrypt 2y", "$2y$05$abcdefghijklmnopqrstuuzLBZ84xhE9LK1nOELjcEjS4U60Px5Di", "café secret", true},
	{"passlib sha256", "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44", "password", true},
	{"passlib sha256, 64 bytes", "$pbkdf2-sha256$1$c2FsdA$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLxJypzM8Xm2RZkWZLOdd.8xfHG4RbHjC9UJESBB06GXgw", "passwd", true},
	{"passlib sha512", "$pbkdf2-sha512$1000$cGFzc2xpYiBzYWx0ISEhfg$iOGrCIuMWViKer3kHgJrwz8LZHgHJpKUmMj8eY1x/c.ebaHao1ZuN7jTvNFVldYug/z6EA9HEQAo1sDT9/j5kw", "pässword", true},
	{"django", "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=", "lètmein", true},
	{"sha256 hex", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc", false},
	{"sha256 upper", "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", "abc", false},
	{"sha256 base64", "{SHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "abc", false},
	{"sha256 bare", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc", false},
}

func TestKnownHashes(t *testing.T) {
	for _, known := range knownHashes {
		t.Run(known.name, func(t *testing.T) {
			h, err := ParseHash(known.encoded)
			if err != nil {
				t.Fatal(err)
			}
			if !h.Verify(secret.New(known.secret)) {
				t.Error("the right secret is refused")
			}
			for _, wrong := range []string{"", known.secret + "x", known.secret[1:], strings.ToUpper(known.secret) + "!"} {
				if h.Verify(secret.New(wrong)) {
					t.Errorf("%q is accepted", wrong)
				}
			}
			if h.Slow() != known.slow {
				t.Errorf("Slow is %v", h.Slow())
			}
			if h.Encoded().Reveal() != known.encoded {
				t.Error("Encoded is not what was parsed")
			}
			wrapped, ok := h.Wrap(testDigester, "client secret")
			if ok == known.slow {
				t.Errorf("Wrap says %v", ok)
			}
			if ok && !Equal(wrapped, testDigester.DigestOfSHA256("client secret", secret.New(known.secret))) {
				t.Error("the right secret has another digest than the wrapped hash")
			}
			if ok && Equal(wrapped, testDigester.DigestOfSHA256("client secret", secret.New("other"))) {
				t.Error("another secret has the digest of the wrapped hash")
			}
		})
	}
}

func TestParseHashRefuses(t *testing.T) {
	const (
		salt = "c29tZXNhbHQ"
		sum  = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
		hex  = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		tail = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	)
	for name, encoded := range map[string]string{
		"nothing":                  "",
		"plain text":               "hunter2",
		"md5":                      "5f4dcc3b5aa765d61d8327deb882cf99",
		"sha256, a digit short":    hex[1:],
		"sha256, a digit more":     hex + "0",
		"sha256, line end":         hex + "\n",
		"sha256, no hex":           "sha256:" + strings.Repeat("g", 64),
		"{SHA256} unpadded":        "{SHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
		"{SHA256} line end":        "{SHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0\n=",
		"{SHA256} stray bits":      "{SHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa1=",
		"{SSHA256}":                "{SSHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
		"argon2i":                  "$argon2i$v=19$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2d":                  "$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2id v=16":            "$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2id without v":       "$argon2id$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2id other order":     "$argon2id$v=19$t=2,m=65536,p=1$" + salt + "$" + sum,
		"argon2id with keyid":      "$argon2id$v=19$m=65536,t=2,p=1,keyid=AA$" + salt + "$" + sum,
		"argon2id 4 GiB":           "$argon2id$v=19$m=4194304,t=2,p=1$" + salt + "$" + sum,
		"argon2id above 256 MiB":   "$argon2id$v=19$m=262145,t=2,p=1$" + salt + "$" + sum,
		"argon2id m overflow":      "$argon2id$v=19$m=99999999999999999999,t=2,p=1$" + salt + "$" + sum,
		"argon2id m signed":        "$argon2id$v=19$m=+65536,t=2,p=1$" + salt + "$" + sum,
		"argon2id m=0":             "$argon2id$v=19$m=0,t=2,p=1$" + salt + "$" + sum,
		"argon2id m below 8p":      "$argon2id$v=19$m=15,t=2,p=2$" + salt + "$" + sum,
		"argon2id t=0":             "$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + sum,
		"argon2id t=17":            "$argon2id$v=19$m=65536,t=17,p=1$" + salt + "$" + sum,
		"argon2id p=0":             "$argon2id$v=19$m=65536,t=2,p=0$" + salt + "$" + sum,
		"argon2id p=17":            "$argon2id$v=19$m=65536,t=2,p=17$" + salt + "$" + sum,
		"argon2id no salt":         "$argon2id$v=19$m=65536,t=2,p=1$$" + sum,
		"argon2id short sum":       "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA",
		"argon2id no sum":          "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$",
		"argon2id padded":          "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + sum + "=",
		"argon2id one part more":   "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + sum + "$",
		"argon2id long sum":        "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + strings.Repeat("A", 88),
		"bcrypt 2x":                "$2x$05$" + tail,
		"bcrypt 2":                 "$2$05$" + tail + "x",
		"bcrypt short":             "$2a$05$" + tail[1:],
		"bcrypt cost 3":            "$2a$03$" + tail,
		"bcrypt cost 31":           "$2a$31$" + tail,
		"bcrypt cost 16":           "$2a$16$" + tail,
		"bcrypt cost not a number": "$2a$xx$" + tail,
		"bcrypt alphabet":          "$2a$05$" + tail[1:] + "+",
		"bcrypt newline":           "$2a$05$" + tail[1:] + "\n",
		"passlib sha1":             "$pbkdf2-sha1$1000$" + salt + "$" + sum,
		"passlib rounds 0":         "$pbkdf2-sha256$0$" + salt + "$" + sum,
		"passlib rounds 01000":     "$pbkdf2-sha256$01000$" + salt + "$" + sum,
		"passlib rounds 2,000,001": "$pbkdf2-sha256$2000001$" + salt + "$" + sum,
		"passlib plus":             "$pbkdf2-sha256$1000$" + salt + "$" + "+" + sum[1:],
		"passlib salt too long":    "$pbkdf2-sha256$1000$" + strings.Repeat("A", 100) + "$" + sum,
		"passlib one part less":    "$pbkdf2-sha256$1000$" + sum,
		"django sha1":              "pbkdf2_sha1$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=",
		"django negative":          "pbkdf2_sha256$-5$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=",
		"django no salt":           "pbkdf2_sha256$1000$$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=",
		"django unpadded":          "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A",
		"sha512crypt":              "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1",
		"scrypt":                   "$scrypt$ln=16,r=8,p=1$" + salt + "$" + sum,
		"too long":                 "sha256:" + strings.Repeat("a", 10_000),
	} {
		h, err := ParseHash(encoded)
		if !errors.Is(err, ErrHash) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h.Verify(secret.New("")) || h.Verify(secret.New("password")) || h.Slow() {
			t.Errorf("%s: the Hash beside the error verifies", name)
		}
		for _, part := range []string{salt, sum, hex, tail} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error holds a part of the hash: %v", name, err)
			}
		}
	}
}

func TestHashNeverPrints(t *testing.T) {
	for _, known := range knownHashes {
		h, err := ParseHash(known.encoded)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+verb+verb, h, &h, struct{ H Hash }{h})
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "hash", h, "nested", struct{ H Hash }{h})
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "hash", h, "nested", struct{ H Hash }{h})
		tail := known.encoded[len(known.encoded)-20:]
		for _, form := range []string{tail, fmt.Sprintf("%x", tail), "186 120 22 191"} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s: output holds %s:\n%s", known.name, form, out.String())
			}
		}
	}
}

// A hash that is read has bounded parameters and a working check. Costly ones
// are not run here, only what the bounds let through cheaply.
func FuzzParseHash(f *testing.F) {
	for _, known := range knownHashes {
		f.Add(known.encoded)
	}
	f.Add("$argon2id$v=19$m=262144,t=16,p=16$AAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHash(s)
		if err != nil {
			if !errors.Is(err, ErrHash) || h.Slow() || !h.Encoded().IsZero() {
				t.Errorf("%q: %v beside a hash", s, err)
			}
			return
		}
		if h.Encoded().Reveal() != s {
			t.Errorf("%q is kept as something else", s)
		}
		if _, wrapped := h.Wrap(testDigester, "p"); wrapped == h.Slow() {
			t.Errorf("%q is both fast and slow, or neither", s)
		}
		if !h.Slow() && h.Verify(secret.New(s)) {
			t.Errorf("%q is its own hash", s)
		}
	})
}

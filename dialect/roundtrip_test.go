package dialect

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// shipped loads every dialect of the project: the built-in ones and the
// examples, which no code knows.
func shipped(t testing.TB) []*Dialect {
	t.Helper()
	var all []*Dialect
	for _, name := range BuiltinNames() {
		d, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	files, err := filepath.Glob("../examples/dialects/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %v %v", files, err)
	}
	for _, f := range files {
		d, err := LoadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func eachOperation(t *testing.T, f func(t *testing.T, o *Operation)) {
	for _, d := range shipped(t) {
		for _, o := range d.Operations {
			t.Run(d.Name+"/"+string(o.Name), func(t *testing.T) { f(t, o) })
		}
	}
}

// precision is what each codec promises to keep.
var precision = map[string]time.Duration{
	"seconds": time.Second, "seconds-text": time.Second, "minutes": time.Minute, "milliseconds": time.Millisecond,
	"unix": time.Second, "unix-text": time.Second, "unix-ms": time.Millisecond, "rfc3339": time.Second, "iso8601-minute": time.Minute,
}

// drawValues fills the holes of a message, and says what reading them back
// must give.
func drawValues(t *draw, m *message) (given, want Values) {
	inHeaders := map[Hole]bool{}
	for _, s := range m.slots {
		for _, use := range s.holes() {
			if s.place == inHeader || s.place == inPath {
				inHeaders[use.name] = true
			}
		}
	}
	for _, use := range m.uses() {
		if use.name == Anything || use.optional && t.bool() {
			continue
		}
		value, kept := drawValue(t, use, inHeaders[use.name])
		given.set(use.name, value)
		want.set(use.name, kept)
	}
	return given, want
}

var (
	hexDigit  = anyOf("0123456789abcdef")
	graphic   = runes('!', '~')
	tokenName = either(class(unicode.L), class(unicode.N), anyOf(`<>&"'\/{}`))
	anyText   = either(class(unicode.L), class(unicode.N), class(unicode.S), class(unicode.P), runes(' ', '~'), anyOf(" \u2028"))
	listItem  = either(runes('!', '+'), runes('-', '['), runes(']', '~'))
)

func drawText(t *draw, use *holeUse, header bool) string {
	switch {
	case use.codec.name == "uuid":
		h := t.of(hexDigit, 32, 32)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	case header:
		words := make([]string, 1+t.chance.IntN(4))
		for i := range words {
			words[i] = t.of(graphic, 1, 6)
		}
		return strings.Join(words, " ")
	case use.name == TokenName:
		return t.of(tokenName, 1, 20)
	}
	return t.of(anyText, 1, 40)
}

func drawValue(t *draw, use *holeUse, header bool) (value, kept any) {
	switch use.kind {
	case kindText:
		s := drawText(t, use, header)
		return s, s
	case kindSecret:
		s := secret.New(drawText(t, use, header))
		return s, s
	case kindTime:
		at := time.UnixMicro(t.between(0, 4e15)).UTC()
		return at, at.Truncate(precision[use.codec.name])
	case kindDuration:
		unit := precision[use.codec.name]
		d := time.Duration(t.between(int64(unit), int64(10000*time.Hour)))
		return d, d.Truncate(unit)
	case kindBool:
		b := t.bool()
		return b, b
	case kindList:
		l := make([]string, 1+t.chance.IntN(5))
		for i := range l {
			l[i] = t.of(listItem, 1, 12)
		}
		return l, l
	case kindNumber:
		n := t.between(math.MinInt64, math.MaxInt64)
		return n, n
	}
	t.Fatalf("no values for %s", use.name)
	return nil, nil
}

// equalValues compares what was read with what was meant. A hole that is
// written as the file says, whatever it is given, takes no part.
func equalValues(m *message, want, got Values) string {
	plain := func(v Values) map[Hole]any {
		out := map[Hole]any{}
		for _, e := range v.entries {
			if s, ok := e.value.(secret.Text); ok {
				out[e.hole] = "secret " + s.Reveal()
			} else {
				out[e.hole] = inUTC(e.value)
			}
		}
		for _, use := range m.uses() {
			if use.hasDefault {
				delete(out, use.name)
			}
		}
		return out
	}
	return differ(plain(want), plain(got))
}

func TestRequestsReadBack(t *testing.T) {
	eachOperation(t, func(t *testing.T, o *Operation) {
		if o.request == nil {
			return
		}
		check(t, func(t *draw) {
			given, want := drawValues(t, o.request)
			r, err := o.WriteRequest("https://api.example", given)
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.ReadRequest(r)
			if err != nil {
				t.Fatalf("%v\n%s", err, r.Body)
			}
			if diff := equalValues(o.request, want, got); diff != "" {
				t.Fatal(diff)
			}
			again, err := o.WriteRequest("https://api.example", got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := differ(r, again); diff != "" {
				t.Fatal(diff)
			}
			if o.Name != Use {
				found, _, err := o.dialect.ReadRequest(r)
				if err != nil || found != o {
					t.Fatalf("the dialect takes it for %v: %v", found, err)
				}
			}
		})
	})
}

func TestAnswersReadBack(t *testing.T) {
	eachOperation(t, func(t *testing.T, o *Operation) {
		if o.response == nil {
			return
		}
		check(t, func(t *draw) {
			given, want := drawValues(t, o.response)
			r, err := o.WriteResponse(given)
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.ReadResponse(r)
			if err != nil {
				t.Fatalf("%v\n%s", err, r.Body)
			}
			if diff := equalValues(o.response, want, got); diff != "" {
				t.Fatal(diff)
			}
			again, err := o.WriteResponse(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := differ(r, again); diff != "" {
				t.Fatal(diff)
			}
		})
	})
}

// Several codes may look alike on the wire, so what is read back is a code
// that looks the same.
func TestErrorsReadBack(t *testing.T) {
	for _, d := range shipped(t) {
		t.Run(d.Name, func(t *testing.T) {
			check(t, func(t *draw) {
				code := Codes()[t.chance.IntN(len(Codes()))]
				var v Values
				v.SetText(Path, "/token")
				v.SetText(RequestID, t.of(anyOf("abcxyz0189"), 1, 20))
				v.SetTime(Now, time.Unix(t.between(0, 4e9), 0))
				v.SetDuration(RetryAfter, time.Duration(t.between(0, 3600))*time.Second)
				if t.bool() {
					v.SetFields([]FieldError{{"a", "is <wrong>"}, {"b", "is required"}})
				}
				r := d.WriteError(code, v)
				refusal, ok := d.ReadError(r)
				if !ok {
					t.Fatalf("no row fits %d %s", r.Status, r.Body)
				}
				if again := d.WriteError(refusal.Code, v); again.Status != r.Status || !bytes.Equal(again.Body, r.Body) {
					// Only the sentence may differ, where the row has none.
					first, _ := d.ReadError(again)
					if first == nil || first.Code != refusal.Code || again.Status != r.Status {
						t.Fatalf("%s reads as %s:\n%d %s\n%d %s", code, refusal.Code, r.Status, r.Body, again.Status, again.Body)
					}
				}
				if refusal.RetryAfter != v.Duration(RetryAfter) || refusal.Status != r.Status {
					t.Fatalf("%+v", refusal)
				}
				for _, o := range d.Operations {
					var want *Refusal
					if _, err := o.ReadResponse(r); !errors.As(err, &want) {
						t.Fatalf("%s reads %s as success", o.Name, r.Body)
					}
				}
			})
		})
	}
}

func TestTemplatesReadBack(t *testing.T) {
	for _, d := range shipped(t) {
		for name, template := range map[string]*Template{"header": d.Token.Header, "claims": d.Token.Claims} {
			if template == nil {
				continue
			}
			t.Run(d.Name+"/"+name, func(t *testing.T) {
				check(t, func(t *draw) {
					given, want := drawValues(t, template.message)
					members, err := template.Write(given)
					if err != nil {
						t.Fatal(err)
					}
					got, err := template.Read(marshal(t, members))
					if err != nil {
						t.Fatal(err)
					}
					if diff := equalValues(template.message, want, got); diff != "" {
						t.Fatal(diff)
					}
					again, err := template.Write(got)
					if err != nil {
						t.Fatal(err)
					}
					if diff := differ(members, again); diff != "" {
						t.Fatal(diff)
					}
				})
			})
		}
	}
}

func TestCodecsReadBack(t *testing.T) {
	for _, c := range codecs {
		for _, info := range holes {
			if info.kind&c.kinds == 0 || c.encode == nil {
				continue
			}
			use := &holeUse{holeInfo: &info, codec: c}
			t.Run(c.name, func(t *testing.T) {
				check(t, func(t *draw) {
					value, kept := drawValue(t, use, false)
					var given, got Values
					given.set(info.name, value)
					if info.name == Anything {
						return
					}
					r, err := use.write(given)
					if errors.Is(err, errNotList) {
						return // an item holds the separator
					}
					if err != nil {
						t.Fatal(err)
					}
					if err := use.read(r, &got, reading{exact: true}); err != nil {
						t.Fatalf("%q: %v", r.text, err)
					}
					if diff := differ(kept, got.get(info.name)); diff != "" {
						t.Fatal(diff)
					}
					again, err := use.write(got)
					if err != nil || again.text != r.text {
						t.Fatalf("%q, then %q: %v", r.text, again.text, err)
					}
				})
			})
		}
	}
}

// Times and durations are only ever cut down.
func TestCodecsNeverPromiseMore(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 59, 999_999_999, time.FixedZone("", 3600))
	for name, want := range map[string]string{
		"iso8601-minute": "2031-05-06T06:08Z", "rfc3339": "2031-05-06T06:08:59Z", "unix": "1935814139", "unix-ms": "1935814139999",
	} {
		if got, err := lookupCodec(name).encode(at); got != want || err != nil {
			t.Errorf("%s: %s, want %s (%v)", name, got, want, err)
		}
	}
	if got, _ := lookupCodec("minutes").encode(119 * time.Second); got != "1" {
		t.Errorf("minutes: %s", got)
	}
	if got, err := lookupCodec("seconds").decode("9223372036854775807"); err != nil || got.(time.Duration) < math.MaxInt64/2 {
		t.Errorf("the longest life: %v, %v", got, err)
	}
}

func marshal(t interface{ Fatal(...any) }, value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

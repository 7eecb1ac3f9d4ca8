package httpd

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestFormRefuses(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("a%d=1&", maxParams+1), "&")
	for i := range maxParams + 1 {
		many = strings.Replace(many, "%d", string(rune('A'+i%26))+string(rune('a'+i/26)), 1)
	}
	for name, body := range map[string]string{
		"name repeated":            "scope=a&scope=b",
		"name repeated, equal":     "scope=a&scope=a",
		"name repeated, encoded":   "scope=a&%73cope=b",
		"unknown name repeated":    "x=1&x=2",
		"broken escape":            "scope=%zz",
		"cut escape":               "scope=%4",
		"broken escape in name":    "sc%=a",
		"NUL":                      "client_secret=a%00b",
		"NUL in name":              "client%00=b",
		"raw NUL":                  "client_secret=a\x00b",
		"invalid UTF-8":            "scope=%ff",
		"raw invalid UTF-8":        "scope=\xff",
		"lone surrogate":           "scope=%ed%a0%80",
		"overlong encoding of '/'": "scope=%c0%af",
		"too many":                 many,
	} {
		var f form
		if refusal := f.read([]byte(body)); refusal == nil {
			t.Errorf("%s: %q was read as %v", name, body, f.params[:f.n])
		}
	}
}

func TestFormReads(t *testing.T) {
	var f form
	if refusal := f.read([]byte("grant_type=client_credentials&scope=a+b%20c&resource=x&resource=y&empty=&&novalue&unknown=%C3%A9")); refusal != nil {
		t.Fatal(refusal)
	}
	for name, want := range map[string]string{"grant_type": "client_credentials", "scope": "a b c", "empty": "", "novalue": "", "unknown": "é", "absent": ""} {
		if got := f.get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]string{"x", "y"}, f.all("resource")); diff != "" {
		t.Error(diff)
	}
	// What one request had must not show in the next.
	if refusal := f.read([]byte("a=1")); refusal != nil || f.get("grant_type") != "" || f.n != 1 {
		t.Errorf("a second read kept %v", f.params[:f.n])
	}
	f.clear()
	if f.params[0] != (param{}) {
		t.Error("clear kept a parameter")
	}
}

// A body that the form takes, net/url takes too and reads alike.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"a=b&c=d", "a=%41+b", "resource=x&resource=y", "a", "=", "&&", "a=%00", "a;b=c", "a=b=c", "é=ü", "a=1&%61=2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got form
		if got.read(body) != nil {
			return
		}
		want, err := url.ParseQuery(string(body))
		if err != nil {
			if strings.Contains(string(body), ";") {
				return // net/url refuses semicolons; they are plain characters of a value
			}
			t.Fatalf("%q was read, but net/url says %v", body, err)
		}
		seen := 0
		for name, values := range want {
			if len(values) > 1 && name != "resource" {
				t.Fatalf("%q: %q stands twice", body, name)
			}
			if got.get(name) != values[0] {
				t.Fatalf("%q: %q is %q, net/url has %q", body, name, got.get(name), values[0])
			}
			seen += len(values)
		}
		if seen != got.n {
			t.Fatalf("%q: %d parameters, net/url has %d", body, got.n, seen)
		}
		for _, p := range got.params[:got.n] {
			if !utf8.ValidString(p.name+p.value) || strings.Contains(p.name+p.value, "\x00") {
				t.Fatalf("%q gave %q=%q", body, p.name, p.value)
			}
		}
	})
}

func TestContentType(t *testing.T) {
	for value, want := range map[string]bool{
		"application/x-www-form-urlencoded":                   true,
		"Application/X-WWW-Form-Urlencoded":                   true,
		"application/x-www-form-urlencoded; charset=UTF-8":    true,
		"application/x-www-form-urlencoded;charset=\"utf-8\"": true,
		"application/x-www-form-urlencoded;":                  true,
		"application/x-www-form-urlencoded; charset=utf-16":   false,
		"application/x-www-form-urlencodedx":                  false,
		"application/json":                                    false,
		"multipart/form-data; boundary=x":                     false,
		"text/plain":                                          false,
		"":                                                    false,
	} {
		if got := isForm(http.Header{"Content-Type": {value}}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	if isForm(http.Header{}) {
		t.Error("a body without a type passed")
	}
	if isForm(http.Header{"Content-Type": {"application/x-www-form-urlencoded", "application/x-www-form-urlencoded"}}) {
		t.Error("two types passed")
	}
}

func basic(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }

func TestBasic(t *testing.T) {
	for header, want := range map[string][2]string{
		basic("id:secret"): {"id", "secret"},
		"basic  " + strings.TrimPrefix(basic("a:b"), "Basic "): {"a", "b"},
		"BASIC " + strings.TrimPrefix(basic("a:b"), "Basic "):  {"a", "b"},
		basic("i%3Ad:s%25c+r"):                                 {"i:d", "s%c r"},
		basic("id:a:b"):                                        {"id", "a:b"},
		basic("id:"):                                           {"id", ""},
	} {
		id, key, ok := readBasic(header)
		if !ok || id != want[0] || key != want[1] {
			t.Errorf("%q was read as %q, %q, %v", header, id, key, ok)
		}
	}
	for _, header := range []string{
		"", "Basic", "Basic ", "Basic !!!", basic("nocolon"), basic("id:%zz"), basic("\xff:b"), basic("id:a%00"), basic("id:%ff"),
		"Bearer abc", "Basic" + basic("a:b"), strings.TrimRight(basic("id:secret1"), "="), basic("a:b") + ", " + basic("a:b"),
	} {
		if id, key, ok := readBasic(header); ok {
			t.Errorf("%q was read as %q, %q", header, id, key)
		}
	}
}

// What is read of an Authorization header, net/http reads too.
func FuzzBasic(f *testing.F) {
	for _, s := range []string{basic("id:secret"), "Basic", "basic  eDp5", basic("a%3Ab:c+d"), "Bearer x", basic(":")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, key, ok := readBasic(header)
		if !ok {
			return
		}
		scheme, value, _ := strings.Cut(header, " ")
		r := &http.Request{Header: http.Header{"Authorization": {scheme + " " + strings.TrimLeft(value, " ")}}}
		rawID, rawKey, ok := r.BasicAuth()
		if !ok {
			t.Fatalf("%q was read, but net/http refuses it", header)
		}
		wantID, err1 := url.QueryUnescape(rawID)
		wantKey, err2 := url.QueryUnescape(rawKey)
		if err1 != nil || err2 != nil || id != wantID || key != wantKey {
			t.Fatalf("%q was read as %q, %q; want %q, %q", header, id, key, wantID, wantKey)
		}
	})
}

func TestCredentialInQuery(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "x=1": false, "scope=a": false,
		"client_secret=x": true, "a=b&client%5Fsecret=x": true, "grant_type=client_credentials": true, "token=": true, "%zz=1": true,
	} {
		if got := hasCredential(query); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

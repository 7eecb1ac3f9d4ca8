package httpd

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse"
)

// maxParams bounds the parameters of a form. OAuth requests have fewer than ten.
const maxParams = 64

// A form holds the parameters of an application/x-www-form-urlencoded body in
// their order. It is read strictly, where net/url lets things pass: each name
// once (RFC 6749 §3.2; resource may repeat, RFC 8707 §2), UTF-8 without NUL,
// no broken percent-encoding. An empty value counts as none at all.
type form struct {
	params [maxParams]param
	n      int
}

type param struct{ name, value string }

func (f *form) clear() {
	clear(f.params[:f.n])
	f.n = 0
}

// get returns a parameter's value, "" where there is none.
func (f *form) get(name string) string {
	for i := range f.params[:f.n] {
		if f.params[i].name == name {
			return f.params[i].value
		}
	}
	return ""
}

// set adds a parameter that the request had no need to send.
func (f *form) set(name, value string) {
	if f.n < maxParams {
		f.params[f.n] = param{name, value}
		f.n++
	}
}

// all returns the values of a parameter that may repeat, nil where there is none.
func (f *form) all(name string) []string {
	var out []string
	for _, p := range f.params[:f.n] {
		if p.name == name && p.value != "" {
			out = append(out, p.value)
		}
	}
	return out
}

// read fills the form from a body.
func (f *form) read(body []byte) *gatehouse.Error {
	f.clear()
	rest := string(body)
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok := decodeForm(name)
		if !ok {
			return malformed("the name of a parameter is not encoded as it must be")
		}
		if value, ok = decodeForm(value); !ok {
			return malformed("the value of a parameter is not encoded as it must be")
		}
		if f.n == maxParams {
			return malformed("too many parameters")
		}
		for _, p := range f.params[:f.n] {
			if p.name == name && name != "resource" {
				return malformed("a parameter is repeated")
			}
		}
		f.params[f.n] = param{name, value}
		f.n++
	}
	return nil
}

func malformed(message string) *gatehouse.Error {
	return gatehouse.Refuse(gatehouse.InvalidRequest, gatehouse.ReasonMalformed, message)
}

// decodeForm decodes one name or value of a form, and refuses text that isn't
// UTF-8 or has a NUL. Without an escape it costs no copy.
func decodeForm(s string) (string, bool) {
	if strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0 {
		var err error
		if s, err = url.QueryUnescape(s); err != nil {
			return "", false
		}
	}
	return s, strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// isForm reports whether the body says that it is a form, in UTF-8.
func isForm(h http.Header) bool {
	const want = "application/x-www-form-urlencoded"
	values := h["Content-Type"]
	if len(values) != 1 {
		return false
	}
	kind, rest, more := strings.Cut(values[0], ";")
	if !strings.EqualFold(strings.TrimSpace(kind), want) {
		return false
	}
	if !more {
		return true
	}
	name, value, _ := strings.Cut(strings.TrimSpace(rest), "=")
	return name == "" || strings.EqualFold(name, "charset") && strings.EqualFold(strings.Trim(value, `"`), "utf-8")
}

package dialect

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// collectHeaders takes header fields. One that is there several times must
// say the same each time; Authorization may be there once (RFC 9110 section
// 11.6.2).
func (m *message) collectHeaders(h http.Header, raws []raw) *Invalid {
	for i := range m.slots {
		s := &m.slots[i]
		if s.place != inHeader {
			continue
		}
		values := h[s.name]
		if len(values) == 0 {
			continue
		}
		for _, other := range values[1:] {
			if other != values[0] || s.name == "Authorization" {
				return &Invalid{Code: InvalidRequest, Fields: []FieldError{{s.label, errDiffers.Error()}}}
			}
		}
		raws[i] = raw{kind: rawText, text: strings.Trim(values[0], " \t")}
	}
	return nil
}

// compileBasic reads {user, password} or one string with the colon between.
func (l *loader) compileBasic(m *message, n *node, alternative int) {
	user, password := &node{}, &node{}
	switch {
	case n.kind == mapping:
		if !l.onlyKeys(n, []string{"user", "password"}) {
			return
		}
		user, password = n.get("user"), n.get("password")
		if user == nil || password == nil {
			l.fail(n.position, "basic needs user and password", `write {user: "{client_id}", password: "{client_secret}"}`)
			return
		}
	case n.kind == textNode && strings.Count(n.text, ":") == 1:
		before, after, _ := strings.Cut(n.text, ":")
		*user = node{position: n.position, kind: textNode, text: before}
		*password = node{position: n.position, kind: textNode, text: after}
	default:
		l.fail(n.position, "basic needs user and password", `write "{client_id}:{client_secret}"`)
		return
	}
	l.addSlot(m, slot{position: user.position, place: inUser, name: "user", label: "Authorization", alternative: alternative}, user)
	l.addSlot(m, slot{position: password.position, place: inPassword, name: "password", label: "Authorization", alternative: alternative}, password)
}

// collectBasic takes user and password of RFC 7617. Inside, both are form
// values (RFC 6749 section 2.3.1); who sends them bare is understood too.
func (m *message) collectBasic(h http.Header, raws []raw) *Invalid {
	values := h["Authorization"]
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return &Invalid{Code: InvalidRequest, Fields: []FieldError{{"Authorization", errDiffers.Error()}}}
	}
	if !hasPrefix(values[0], "Basic ", true) {
		return nil
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Trim(values[0][len("Basic "):], " "))
	if err != nil {
		return &Invalid{Code: InvalidClient, Reason: "Basic credentials are not base64"}
	}
	user, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return &Invalid{Code: InvalidClient, Reason: "Basic credentials have no colon"}
	}
	for i := range m.slots {
		switch m.slots[i].place {
		case inUser:
			raws[i] = raw{kind: rawText, text: unescapeForm(user)}
		case inPassword:
			raws[i] = raw{kind: rawText, text: unescapeForm(password)}
		}
	}
	return nil
}

// unescapeForm undoes percent-encoding and takes text that can't be encoded
// as it is. A plus sign stays one: senders that encode nothing and have one
// in their secret are common, secrets with spaces are not.
func unescapeForm(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// escapeForm is form encoding with %20 for the space, which reads the same
// with and without the rule for the plus sign.
func escapeForm(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

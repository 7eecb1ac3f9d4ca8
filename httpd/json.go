package httpd

import "github.com/go-json-experiment/json/jsontext"

// The answers of the standard endpoints are short and hot, so they are
// appended member by member and not encoded by reflection.

// appendMember appends a member of a JSON object. Its name needs no escape.
func appendMember(b []byte, name, value string) []byte {
	return appendText(append(append(append(b, '"'), name...), `":`...), value)
}

func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // what isn't UTF-8 is replaced
	return b
}

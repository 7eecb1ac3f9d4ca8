package token

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errJSONType = errors.New("a JSON value of another type was wanted")

// readObject reads a JSON object and calls member at each of its values, which
// member must consume. The decoder sees to syntax, UTF-8 and duplicates.
func readObject(dec *jsontext.Decoder, member func(name string) error) error {
	if dec.PeekKind() != '{' {
		return errJSONType
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func readText(dec *jsontext.Decoder, to *string) error {
	if dec.PeekKind() != '"' {
		return errJSONType
	}
	text, err := dec.ReadToken()
	if err != nil {
		return err
	}
	*to = text.String()
	return nil
}

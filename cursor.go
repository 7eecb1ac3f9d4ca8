package gatehouse

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

const cursorTag = 16 // bytes of the authentication code kept

// Cursor makes the cursor with which a list goes on behind position. It is
// authenticated, and good for the kind of list that it was made for only.
func (e *Engine) Cursor(kind, position string) string {
	if position == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(e.cursorSum(kind, position), position...))
}

// ReadCursor returns the position of a cursor that this installation made; ""
// is the beginning.
func (e *Engine) ReadCursor(kind, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) <= cursorTag || !hmac.Equal(raw[:cursorTag], e.cursorSum(kind, string(raw[cursorTag:]))) {
		return "", wrongField("cursor", "this is not a cursor of this list: use the one in the last answer's \"next\", or none to begin anew")
	}
	return string(raw[cursorTag:]), nil
}

func (e *Engine) cursorSum(kind, position string) []byte {
	h := hmac.New(sha256.New, e.cursorKey[:])
	h.Write([]byte(kind + "\x00" + position))
	return h.Sum(nil)[:cursorTag]
}

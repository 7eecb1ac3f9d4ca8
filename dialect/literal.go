package dialect

import "strconv"

// literalValue turns a wire value into the Go value of an error row: text is
// a string, a number an int64 or else a float64.
func literalValue(r raw) any {
	switch r.kind {
	case rawText:
		return r.text
	case rawBool:
		return r.text == "true"
	case rawNumber:
		if n, err := strconv.ParseInt(r.text, 10, 64); err == nil {
			return n
		}
		if f, err := strconv.ParseFloat(r.text, 64); err == nil {
			return f
		}
	}
	return nil
}

func literalRaw(value any) raw {
	switch value := value.(type) {
	case string:
		return raw{kind: rawText, text: value}
	case bool:
		return raw{kind: rawBool, text: strconv.FormatBool(value)}
	case int64:
		return raw{kind: rawNumber, text: strconv.FormatInt(value, 10)}
	case float64:
		return raw{kind: rawNumber, text: strconv.FormatFloat(value, 'g', -1, 64)}
	}
	return raw{kind: rawNull}
}

// nodeRaw is the wire value of a plain YAML value.
func nodeRaw(n *node) raw {
	switch n.kind {
	case textNode:
		return raw{kind: rawText, text: n.text}
	case numberNode:
		return raw{kind: rawNumber, text: n.text}
	case boolNode:
		return raw{kind: rawBool, text: n.text}
	}
	return raw{kind: rawNull}
}

// json spells a literal as JSON.
func (r raw) json() []byte {
	switch r.kind {
	case rawText:
		return appendQuoted(nil, r.text)
	case rawNull:
		return []byte("null")
	}
	return []byte(r.text)
}

package admin

import (
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// strictJSON reads and writes messages: names are matched exactly, and members
// given twice or unknown, trailing data and invalid UTF-8 are refused.
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		return json.MarshalWrite(w, v, json.Deterministic(true))
	},
	Unmarshal: func(b []byte, v any) error {
		return json.Unmarshal(b, v, json.RejectUnknownMembers(true))
	},
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // a Problem is text and numbers
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(b)
}

// canonical is the form of a JSON text in which two that mean the same are the
// same bytes (RFC 8785).
func canonical(b []byte) []byte {
	v := jsontext.Value(b).Clone()
	if err := v.Canonicalize(); err != nil {
		return b
	}
	return v
}

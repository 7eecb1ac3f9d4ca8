package reference

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// javascript writes a program for Node.js 18 and later, without packages. It runs
// as a module and as a script.
func (q ask) javascript() string {
	var b strings.Builder
	b.WriteString("async function main() {\n")
	data := ""
	switch {
	case q.Body != nil:
		data = "JSON.stringify(" + jsValue(q.Body, "{", "}", "    ") + ")"
	case q.Form != nil:
		data = "new URLSearchParams({\n"
		for _, f := range q.Form {
			data += "      " + jsName(f.Name) + ": " + jsText(f.Value) + ",\n"
		}
		data += "    })"
	}
	address := q.joined(quoteJSON, func(v string) string { return "encodeURIComponent(process.env." + v + ")" }, " + ")
	if q.Query != nil {
		b.WriteString("  const query = new URLSearchParams({\n")
		for _, f := range q.Query {
			b.WriteString("    " + jsName(f.Name) + ": " + jsText(f.Value) + ",\n")
		}
		b.WriteString("  });\n")
		address += ` + "?" + query`
	}
	if q.Basic != nil {
		b.WriteString("  const user = encodeURIComponent(" + jsText(q.Basic[0].Value) + ");\n")
		b.WriteString("  const password = encodeURIComponent(" + jsText(q.Basic[1].Value) + ");\n")
	}
	b.WriteString("  const response = await fetch(" + address + ", {\n    method: " + quoteJSON(q.Method) + ",\n    headers: {\n")
	if q.Basic != nil {
		b.WriteString("      Authorization: \"Basic \" + btoa(user + \":\" + password),\n")
	}
	for _, h := range q.Headers {
		b.WriteString("      " + jsName(h.Name) + ": " + jsText(h.Value) + ",\n")
	}
	b.WriteString("    },\n")
	if data != "" {
		b.WriteString("    body: " + data + ",\n")
	}
	b.WriteString(`  });
  const answer = await response.text();
  if (!response.ok) throw new Error(response.status + ": " + answer);
  console.log(answer);
}

main().catch((refused) => {
  console.error(refused.message);
  process.exitCode = 1;
});
`)
	return b.String()
}

func jsText(pieces []dialect.Piece) string {
	return expression(pieces, quoteJSON, func(v string) string { return "process.env." + v }, " + ")
}

// jsName spells a property's name, bare where it may be.
func jsName(s string) string {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9') {
			return quoteJSON(s)
		}
	}
	return s
}

func jsValue(members []dialect.LaidMember, open, shut, indent string) string {
	var b strings.Builder
	b.WriteString(open)
	for _, m := range members {
		b.WriteString("\n" + indent + "  ")
		if m.Name != "" {
			b.WriteString(jsName(m.Name) + ": ")
		}
		switch {
		case m.Members != nil:
			b.WriteString(jsValue(m.Members, "{", "}", indent+"  "))
		case m.Items != nil:
			b.WriteString(jsValue(m.Items, "[", "]", indent+"  "))
		default:
			b.WriteString(scalar(m.Value, nil, func(s string) string { return "[" + quoteJSON(s) + "]" }, func() string { return jsText(m.Value) }))
		}
		b.WriteByte(',')
	}
	if len(members) > 0 {
		b.WriteString("\n" + indent)
	}
	return b.String() + shut
}

// quoteJSON spells a string as JSON does, which Python and JavaScript read alike.
func quoteJSON(s string) string {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		b, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return string(b)
}

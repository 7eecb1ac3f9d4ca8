package reference

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// python writes a program of Python 3's standard library alone.
func (q ask) python() string {
	imports := []string{"import os", "import sys", "import urllib.error", "import urllib.request"}
	var b strings.Builder
	data := ""
	switch {
	case q.Body != nil:
		imports = append([]string{"import json"}, imports...)
		b.WriteString("body = json.dumps(" + pythonValue(q.Body, "{", "}", "") + ").encode()\n")
		data = "body"
	case q.Form != nil:
		b.WriteString("form = urllib.parse.urlencode({\n")
		for _, f := range q.Form {
			b.WriteString("    " + quoteJSON(f.Name) + ": " + pythonText(f.Value) + ",\n")
		}
		b.WriteString("}).encode()\n")
		data = "form"
	}
	address := q.joined(quoteJSON, func(v string) string { return "urllib.parse.quote(os.environ[" + quoteJSON(v) + "], safe=\"\")" }, " + ")
	if q.Query != nil {
		b.WriteString("query = urllib.parse.urlencode({\n")
		for _, f := range q.Query {
			b.WriteString("    " + quoteJSON(f.Name) + ": " + pythonText(f.Value) + ",\n")
		}
		b.WriteString("})\n")
		address += ` + "?" + query`
	}
	if q.Basic != nil {
		imports = append([]string{"import base64"}, imports...)
		b.WriteString("user = urllib.parse.quote_plus(" + pythonText(q.Basic[0].Value) + ")\n")
		b.WriteString("password = urllib.parse.quote_plus(" + pythonText(q.Basic[1].Value) + ")\n")
		b.WriteString("basic = base64.b64encode(f\"{user}:{password}\".encode()).decode()\n")
	}
	b.WriteString("request = urllib.request.Request(\n    " + address + ",\n    method=" + quoteJSON(q.Method) + ",\n    headers={\n")
	if q.Basic != nil {
		b.WriteString("        \"Authorization\": \"Basic \" + basic,\n")
	}
	for _, h := range q.Headers {
		b.WriteString("        " + quoteJSON(h.Name) + ": " + pythonText(h.Value) + ",\n")
	}
	b.WriteString("    },\n")
	if data != "" {
		b.WriteString("    data=" + data + ",\n")
	}
	b.WriteString(`)
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as refused:
    sys.exit(f"{refused.code}: {refused.read().decode()}")
`)
	code := b.String()
	if strings.Contains(code, "urllib.parse.") {
		imports = append(imports[:len(imports)-1], "import urllib.parse", "import urllib.request")
	}
	return strings.Join(imports, "\n") + "\n\n" + code
}

func pythonText(pieces []dialect.Piece) string {
	return expression(pieces, quoteJSON, func(v string) string { return "os.environ[" + quoteJSON(v) + "]" }, " + ")
}

var pythonWords = map[string]string{"true": "True", "false": "False", "null": "None"}

func pythonValue(members []dialect.LaidMember, open, shut, indent string) string {
	var b strings.Builder
	b.WriteString(open)
	for _, m := range members {
		b.WriteString("\n" + indent + "    ")
		if m.Name != "" {
			b.WriteString(quoteJSON(m.Name) + ": ")
		}
		switch {
		case m.Members != nil:
			b.WriteString(pythonValue(m.Members, "{", "}", indent+"    "))
		case m.Items != nil:
			b.WriteString(pythonValue(m.Items, "[", "]", indent+"    "))
		default:
			b.WriteString(scalar(m.Value, pythonWords, func(s string) string { return "[" + quoteJSON(s) + "]" }, func() string { return pythonText(m.Value) }))
		}
		b.WriteByte(',')
	}
	if len(members) > 0 {
		b.WriteString("\n" + indent)
	}
	return b.String() + shut
}

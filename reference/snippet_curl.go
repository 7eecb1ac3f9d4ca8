package reference

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// curl writes a line for a POSIX shell. Secrets go in by standard input or by
// -u, which curl hides, and so are in no list of processes, but for a header
// beside a body.
func (q ask) curl() string {
	lines := []string{"curl -sS --fail-with-body"}
	if q.Method != "GET" && (q.Method != "POST" || q.Body == nil && q.Form == nil) {
		lines[0] += " -X " + q.Method
	}
	lines[0] += " " + shellWord(q.url())
	if q.Basic != nil {
		lines = append(lines, `-u "`+inShell(q.Basic[0].Value)+":"+inShell(q.Basic[1].Value)+`"`)
	}
	var here []string // what standard input holds
	end := ""
	for _, h := range q.Headers {
		line := h.Name + ": " + inShell(h.Value)
		switch {
		case h.Name == "Content-Type" && q.Form != nil: // curl's own
		case secretIn(h.Value) && q.Body == nil && q.Form == nil:
			here, end = append(here, line), "HEADERS"
		default:
			lines = append(lines, `-H "`+line+`"`)
		}
	}
	for _, f := range q.Form {
		if isFixed(f.Value) {
			lines = append(lines, "-d "+shellWord(f.Name+"="+f.Value[0].Text))
		} else {
			lines = append(lines, `--data-urlencode "`+f.Name+"="+inShell(f.Value)+`"`)
		}
	}
	switch {
	case here != nil:
		lines = append(lines, "-H @- <<HEADERS")
	case q.Body != nil:
		lines = append(lines, "--data-binary @- <<JSON")
		here, end = []string{q.shellJSON(q.Body, "{", "}", "")}, "JSON"
	}
	out := strings.Join(lines, " \\\n  ")
	if end != "" {
		out += "\n" + strings.Join(here, "\n") + "\n" + end
	}
	return out + "\n"
}

func isFixed(pieces []dialect.Piece) bool { return len(pieces) == 1 && !varies(pieces[0]) }

// url is for a double-quoted word.
func (q ask) url() string {
	out := shellText(q.base) + inShell(q.Path)
	for i, f := range q.Query {
		out += map[bool]string{true: "?", false: "&"}[i == 0] + shellText(f.Name) + "=" + inShell(f.Value)
	}
	return out
}

// shellWord quotes what a shell would read otherwise.
func shellWord(s string) string {
	const bare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+,"
	if strings.Trim(s, bare) == "" {
		return s
	}
	return `"` + s + `"`
}

// inShell is for double quotes and here-documents, which expand alike.
func inShell(pieces []dialect.Piece) string {
	return expression(pieces, shellText, func(v string) string { return "${" + v + "}" }, "")
}

var shellEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`")

func shellText(s string) string { return shellEscaper.Replace(s) }

// hereText is for a here-document, where a quotation mark is one.
var hereEscaper = strings.NewReplacer(`\`, `\\`, "$", `\$`, "`", "\\`")

func (q ask) shellJSON(members []dialect.LaidMember, open, shut, indent string) string {
	var b strings.Builder
	b.WriteString(open)
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + indent + "  ")
		if m.Name != "" {
			b.WriteString(hereEscaper.Replace(quoteJSON(m.Name)) + ": ")
		}
		switch {
		case m.Members != nil:
			b.WriteString(q.shellJSON(m.Members, "{", "}", indent+"  "))
		case m.Items != nil:
			b.WriteString(q.shellJSON(m.Items, "[", "]", indent+"  "))
		default:
			b.WriteString(scalar(m.Value, nil, func(s string) string { return hereEscaper.Replace("[" + quoteJSON(s) + "]") }, func() string {
				return `"` + expression(m.Value, func(s string) string {
					quoted := quoteJSON(s)
					return hereEscaper.Replace(quoted[1 : len(quoted)-1])
				}, func(v string) string { return "${" + v + "}" }, "") + `"`
			}))
		}
	}
	if len(members) > 0 {
		b.WriteString("\n" + indent)
	}
	return b.String() + shut
}

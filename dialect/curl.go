package dialect

import (
	"slices"
	"strings"
)

// Curl returns the operation's request as one line for a POSIX shell. Each
// word that isn't plain is quoted, so the line is safe to paste whatever the
// values hold. It shows secrets: it is for the one who was just given them.
func (o *Operation) Curl(base string, v Values) (string, error) {
	r, err := o.WriteRequest(base, v)
	if err != nil {
		return "", err
	}
	line := []string{"curl", "-sS"}
	if r.Method != "GET" && r.Method != "" && (r.Method != "POST" || r.Body == nil) {
		line = append(line, "-X", r.Method)
	}
	line = append(line, shellQuote(r.URL()))
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		line = append(line, "-H", shellQuote(o.request.headerLabel(name)+": "+r.Header.Get(name)))
	}
	if r.Body != nil {
		line = append(line, "--data-binary", shellQuote(string(r.Body)))
	}
	return strings.Join(line, " "), nil
}

// headerLabel spells a header as the file does.
func (m *message) headerLabel(canonical string) string {
	for i := range m.slots {
		if m.slots[i].place == inHeader && m.slots[i].name == canonical {
			return m.slots[i].label
		}
	}
	return canonical
}

// shellQuote uses single quotes, inside which a shell reads nothing but the
// closing quote. A leading @ would make curl read a file; --data-binary never
// gets one, because bodies are JSON objects and forms.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=%+,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

package dialect

import (
	"net/url"
	"strings"
)

// pathTemplate is a path whose segments are literals or patterns.
type pathTemplate struct {
	text     string
	segments []segment
}

type segment struct {
	literal string
	slot    int // of the message, or -1 for a literal
}

// ownPaths are where the server's own routes are.
var ownPaths = []string{"oauth2", ".well-known", "gate", "connect", "docs", "admin", "healthz", "readyz", "metrics", "-"}

func (l *loader) compilePath(m *message, n *node) *pathTemplate {
	if !l.expect(n, textNode, "the path") {
		return nil
	}
	const hint = "write it like /v1/token"
	switch {
	case !strings.HasPrefix(n.text, "/"):
		l.fail(n.position, "the path doesn't start with /", hint)
		return nil
	case n.text == "/" || strings.Contains(n.text, "//") || strings.HasSuffix(n.text, "/"):
		l.fail(n.position, "the path has an empty segment", hint)
		return nil
	}
	t := &pathTemplate{text: n.text}
	for i, text := range strings.Split(n.text[1:], "/") {
		if text == "." || text == ".." {
			l.fail(n.position, "the path climbs", "leave out . and ..")
			return nil
		}
		p, message, problemHint := parsePattern(text, m.where)
		if message != "" {
			l.fail(n.position, message, problemHint)
			return nil
		}
		for _, literal := range p.literals() {
			if strings.ContainsAny(literal, "?#%\\ ") || hasControl(literal) {
				l.fail(n.position, "the path holds a character that it can't", "leave out ? # % \\ and spaces; query has its own key")
				return nil
			}
		}
		if p.isLiteral() {
			if i == 0 && !l.own {
				for _, own := range ownPaths {
					if strings.EqualFold(text, own) {
						l.fail(n.position, "the path lies over the server's own /"+own, "choose another first segment")
						return nil
					}
				}
			}
			t.segments = append(t.segments, segment{p.literal.text, -1})
			continue
		}
		if i == 0 {
			l.fail(n.position, "the path begins with a hole and so lies over the server's own paths", "start it with a literal segment")
			return nil
		}
		if p.optional() {
			l.fail(n.position, "a segment of a path can't be absent", "leave out the ? or the default")
			return nil
		}
		slotIndex := l.addSlot(m, slot{position: n.position, place: inPath, name: text, label: text, alternative: always},
			&node{position: n.position, kind: textNode, text: text})
		if slotIndex < 0 {
			return nil
		}
		t.segments = append(t.segments, segment{"", slotIndex})
	}
	return t
}

// match compares an escaped path and takes the holes' raw values from it.
// raws may be nil where only the answer counts.
func (t *pathTemplate) match(path string, fold bool, raws []raw) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for i, s := range t.segments {
		escaped, after, more := strings.Cut(rest, "/")
		if more != (i < len(t.segments)-1) {
			return false
		}
		rest = after
		text, err := url.PathUnescape(escaped)
		if err != nil {
			return false
		}
		if s.slot < 0 {
			if text != s.literal && !(fold && strings.EqualFold(text, s.literal)) {
				return false
			}
			continue
		}
		if text == "" || text == "." || text == ".." {
			return false
		}
		if raws != nil {
			raws[s.slot] = raw{kind: rawText, text: text}
		}
	}
	return true
}

func (t *pathTemplate) build(segments map[int]string) string {
	var b strings.Builder
	for _, s := range t.segments {
		b.WriteByte('/')
		if s.slot < 0 {
			b.WriteString(url.PathEscape(s.literal))
		} else {
			b.WriteString(segments[s.slot])
		}
	}
	return b.String()
}

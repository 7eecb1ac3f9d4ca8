package reference

import (
	"html/template"
	"regexp"
	"strings"
)

// Examples are coloured by what catches the eye: texts, comments, words of the
// language, variables. It is no parser, and nothing but colours depends on it.
var lexers = map[string]*regexp.Regexp{
	"sh":     lexer(`#.*`, `"(?:\\.|[^"\\])*"`, `\b(?:curl)\b|\s--?[a-zA-Z][a-zA-Z-]*|<<[A-Z]+`, `\$\{[A-Z_]+\}`),
	"go":     lexer(`//.*`, `"(?:\\.|[^"\\])*"`, `\b(?:package|import|func|if|nil|defer|return|map|any|string)\b`, `\bos\.Getenv\b`),
	"python": lexer(`#.*`, `f?"(?:\\.|[^"\\])*"`, `\b(?:import|try|except|with|as|True|False|None|print)\b`, `\bos\.environ\b`),
	"js":     lexer(`//.*`, `"(?:\\.|[^"\\])*"`, `\b(?:async|function|const|await|if|throw|new|return)\b`, `\bprocess\.env\b`),
	"http":   lexer(`$^`, `"(?:\\.|[^"\\])*"`, `(?m:^HTTP/1\.1 \d+|^(?:GET|POST|PUT|PATCH|DELETE) |\b(?:true|false|null)\b)`, `(?m:^[A-Za-z][A-Za-z0-9_-]*:)`),
}

var colours = []string{"c", "s", "k", "v"}

func lexer(comment, text, word, variable string) *regexp.Regexp {
	return regexp.MustCompile("(" + comment + ")|(" + text + ")|(" + word + ")|(" + variable + ")")
}

// colour marks up code for the page.
func colour(language, code string) template.HTML {
	re := lexers[language]
	if re == nil {
		return template.HTML(template.HTMLEscapeString(code))
	}
	var b strings.Builder
	at := 0
	for _, m := range re.FindAllStringSubmatchIndex(code, -1) {
		for i, class := range colours {
			if from, to := m[2*i+2], m[2*i+3]; from >= 0 && to > from {
				b.WriteString(template.HTMLEscapeString(code[at:from]) + `<span class=` + class + `>` + template.HTMLEscapeString(code[from:to]) + `</span>`)
				at = to
			}
		}
	}
	b.WriteString(template.HTMLEscapeString(code[at:]))
	return template.HTML(b.String())
}

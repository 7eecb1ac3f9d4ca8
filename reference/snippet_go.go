package reference

import (
	"go/format"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// golang writes a program of the standard library alone, formatted by gofmt.
func (q ask) golang() (string, error) {
	imports := []string{"fmt", "io", "log", "net/http", "os"}
	var body, prepare strings.Builder
	reader := "nil"
	switch {
	case q.Body != nil:
		imports = append(imports, "bytes", "encoding/json")
		prepare.WriteString("body, err := json.Marshal(" + goValue(q.Body, false) + ")\nif err != nil {\nlog.Fatal(err)\n}\n")
		reader = "bytes.NewReader(body)"
	case q.Form != nil:
		imports = append(imports, "net/url", "strings")
		prepare.WriteString("form := url.Values{\n")
		for _, f := range q.Form {
			prepare.WriteString(strconv.Quote(f.Name) + ": {" + goText(f.Value) + "},\n")
		}
		prepare.WriteString("}\n")
		reader = "strings.NewReader(form.Encode())"
	}
	address := q.joined(strconv.Quote, func(v string) string { return "url.PathEscape(os.Getenv(" + strconv.Quote(v) + "))" }, " + ")
	if q.Query != nil {
		prepare.WriteString("query := url.Values{\n")
		for _, f := range q.Query {
			prepare.WriteString(strconv.Quote(f.Name) + ": {" + goText(f.Value) + "},\n")
		}
		prepare.WriteString("}\n")
		address += ` + "?" + query.Encode()`
	}
	if strings.Contains(address, "url.") || q.Query != nil {
		imports = append(imports, "net/url")
	}
	body.WriteString("req, err := http.NewRequest(" + strconv.Quote(q.Method) + ", " + address + ", " + reader + ")\nif err != nil {\nlog.Fatal(err)\n}\n")
	if q.Basic != nil {
		imports = append(imports, "net/url")
		body.WriteString("req.SetBasicAuth(url.QueryEscape(" + goText(q.Basic[0].Value) + "), url.QueryEscape(" + goText(q.Basic[1].Value) + "))\n")
	}
	for _, h := range q.Headers {
		body.WriteString("req.Header.Set(" + strconv.Quote(h.Name) + ", " + goText(h.Value) + ")\n")
	}
	slices.Sort(imports)
	var out strings.Builder
	out.WriteString("package main\n\nimport (\n")
	for _, i := range slices.Compact(imports) {
		out.WriteString(strconv.Quote(i) + "\n")
	}
	out.WriteString(")\n\nfunc main() {\n" + prepare.String() + body.String() + `
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	if res.StatusCode >= 300 {
		log.Fatalf("%s: %s", res.Status, answer)
	}
	fmt.Println(string(answer))
}
`)
	formatted, err := format.Source([]byte(out.String()))
	return string(formatted), err
}

// joined is the URL without its query.
func (q ask) joined(text, variable func(string) string, plus string) string {
	all := []dialect.Piece{{Text: q.base}}
	for _, p := range q.Path {
		if last := &all[len(all)-1]; !varies(p) && !varies(*last) {
			last.Text += p.Text
		} else {
			all = append(all, p)
		}
	}
	return expression(all, text, variable, plus)
}

func goText(pieces []dialect.Piece) string {
	return expression(pieces, strconv.Quote, func(v string) string { return "os.Getenv(" + strconv.Quote(v) + ")" }, " + ")
}

func goValue(members []dialect.LaidMember, list bool) string {
	var b strings.Builder
	if list {
		b.WriteString("[]any{")
	} else {
		b.WriteString("map[string]any{\n")
	}
	for i, m := range members {
		if list && i > 0 {
			b.WriteString(", ")
		} else if !list {
			b.WriteString(strconv.Quote(m.Name) + ": ")
		}
		switch {
		case m.Members != nil:
			b.WriteString(goValue(m.Members, false))
		case m.Items != nil:
			b.WriteString(goValue(m.Items, true))
		default:
			b.WriteString(scalar(m.Value, map[string]string{"null": "nil"}, func(s string) string { return "[]string{" + strconv.Quote(s) + "}" },
				func() string { return goText(m.Value) }))
		}
		if !list {
			b.WriteString(",\n")
		}
	}
	b.WriteString("}")
	return b.String()
}

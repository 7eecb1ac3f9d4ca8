package dialect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Error is one thing that is wrong with a dialect file, and what to write
// instead. Line and Column count from 1.
type Error struct {
	File    string
	Line    int
	Column  int
	Message string
	Hint    string // may be empty
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// loader collects what is wrong with one file.
type loader struct {
	file   string
	fields map[Hole]Field // rules.fields, whose defaults go into messages
	errs   []error
	own    bool // it describes routes of the server's own
}

func (l *loader) fail(at position, message, hint string) {
	l.errs = append(l.errs, &Error{l.file, max(1, at.line), max(1, at.column), message, hint})
}

// LoadFile loads a dialect from a regular file of at most 256 KiB. Opening
// and checking use one descriptor, so a file that is swapped meanwhile is
// either read whole or refused.
func LoadFile(path string) (*Dialect, error) {
	info, err := os.Stat(path) // before opening: opening a FIFO would wait
	if err != nil {
		return nil, fmt.Errorf("dialect file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("dialect file %s: not a regular file; name the YAML file itself", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("dialect file: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("dialect file %s: changed while it was opened; try again", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("dialect file: %w", err)
	}
	return Load(filepath.Base(path), data)
}

// Load parses and checks one file; name stands in its errors. The error joins
// one *[Error] for each problem found (errors.Join). The data is kept as
// Source and must not be changed afterwards.
func Load(name string, data []byte) (*Dialect, error) {
	l := &loader{file: name}
	d := l.load(data)
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return d, nil
}

// LoadOwn loads a file that describes routes of the server's own, which no
// dialect may take, so that they are documented like a dialect's. What it
// returns is for documentation and can't be served.
func LoadOwn(name string, data []byte) (*Dialect, error) {
	l := &loader{file: name, own: true}
	d := l.load(data)
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return d, nil
}

func (l *loader) load(data []byte) *Dialect {
	root := l.parse(data)
	if root == nil || !l.expect(root, mapping, "the file") {
		return nil
	}
	if !l.onlyKeys(root, []string{"dialect", "title", "summary", "notes", "wire", "token", "rules", "hosts", "path_case"}) {
		return nil
	}
	d := &Dialect{Source: data}
	if n := l.require(root, "dialect", "example"); n != nil {
		if d.Name = l.text(n, "dialect"); !isDialectName(d.Name) && !l.own {
			l.fail(n.position, "this is not a dialect name", "use up to 32 lower-case letters, digits and hyphens, starting with a letter")
		}
	}
	d.Title = l.optionalText(root, "title", d.Name)
	d.Summary = l.optionalText(root, "summary", "")
	if n := root.get("notes"); n != nil && l.expect(n, sequence, "notes") {
		for _, item := range n.items {
			d.Notes = append(d.Notes, l.text(item, "a note"))
		}
	}
	l.loadRules(d, root)
	l.fields = d.Rules.Fields
	wire := l.require(root, "wire", "issue: …")
	token := l.require(root, "token", "opaque: {}")
	if wire != nil {
		l.loadWire(d, wire)
	}
	if token != nil {
		l.loadToken(d, token)
	}
	if len(l.errs) == 0 {
		l.checkWhole(d, root)
	}
	return d
}

func isDialectName(s string) bool {
	if s == "" || len(s) > 32 || s[0] < 'a' || s[0] > 'z' || s == "oauth2" {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (l *loader) loadWire(d *Dialect, n *node) {
	keys := []string{"errors", "path_case"}
	for _, name := range operationNames {
		keys = append(keys, string(name))
	}
	if !l.expect(n, mapping, "wire") || !l.onlyKeys(n, keys) {
		return
	}
	for _, p := range n.pairs {
		switch p.key {
		case "errors", "path_case":
		default:
			if o := l.loadOperation(d, p); o != nil {
				d.Operations = append(d.Operations, o)
			}
		}
	}
	if table := l.require(n, "errors", "{body: …, invalid_client: {status: 401}, …}"); table != nil {
		d.errors = l.compileErrors(table)
	}
	l.checkRoutes(d, n)
	if n.get("use") == nil {
		request := &message{where: inRequest}
		bearer := pattern{parts: []part{{literal: "Bearer "}, {hole: &holeUse{holeInfo: holeByName[AccessToken], codec: lookupCodec("text")}}}}
		request.slots = []slot{{pattern: bearer, place: inHeader, name: "Authorization", label: "Authorization", alternative: always}}
		d.Operations = append(d.Operations, &Operation{Name: Use, dialect: d, request: request})
	}
}

func (l *loader) loadOperation(d *Dialect, p pair) *Operation {
	if !l.expect(p.value, mapping, "an operation") || !l.onlyKeys(p.value, []string{"about", "request", "response"}) {
		return nil
	}
	o := &Operation{Name: OperationName(p.key), dialect: d, About: l.optionalText(p.value, "about", "")}
	request, response := p.value.get("request"), p.value.get("response")
	failed := len(l.errs)
	switch {
	case o.Name == Connect && request != nil:
		l.fail(request.position, "connect has no request: it is what the Connect page hands over", "leave the request out")
	case o.Name == Use && response != nil:
		l.fail(response.position, "use has no response: it is about any call", "leave the response out")
	case o.Name != Connect && request == nil:
		l.fail(p.position, string(o.Name)+" has no request", "add request: {POST: /path, …}")
	case o.Name != Use && response == nil:
		l.fail(p.position, string(o.Name)+" has no response", "add response: {body: …}")
	}
	if len(l.errs) > failed {
		return nil
	}
	if request != nil {
		if o.request = l.compileMessage(request, inRequest); o.request != nil {
			o.request.others = o.Name == Use
		}
	}
	if response != nil {
		o.response = l.compileMessage(response, inAnswer)
	}
	if len(l.errs) > failed {
		return nil
	}
	if o.Name != Connect && o.Name != Use && o.request.path == nil {
		l.fail(request.position, string(o.Name)+" has no method and path", "add POST: /path")
	}
	if o.Name == Use && o.request.path != nil {
		l.fail(request.position, "use is about any call and has no path", "leave the method and path out")
	}
	l.checkOperation(o, p.position)
	return o
}

// expect reports a node of the wrong kind.
func (l *loader) expect(n *node, k nodeKind, what string) bool {
	if n.kind != k {
		l.fail(n.position, what+" is "+n.kind.String()+" and must be "+k.String(), "")
		return false
	}
	return true
}

// onlyKeys reports keys that the form doesn't have.
func (l *loader) onlyKeys(n *node, allowed []string) bool {
	ok := true
	for _, p := range n.pairs {
		if !slices.Contains(allowed, p.key) {
			l.fail(p.position, "the key "+quote(p.key)+" is unknown here", suggest(p.key, allowed))
			ok = false
		}
	}
	return ok
}

func (l *loader) require(n *node, key, example string) *node {
	if value := n.get(key); value != nil {
		return value
	}
	l.fail(n.position, quote(key)+" is missing", "add "+key+": "+example)
	return nil
}

// text returns a plain value as one line of text or a paragraph.
func (l *loader) text(n *node, what string) string {
	if l.expect(n, textNode, what) {
		return strings.TrimSpace(n.text)
	}
	return ""
}

func (l *loader) optionalText(n *node, key, otherwise string) string {
	if value := n.get(key); value != nil {
		return l.text(value, key)
	}
	return otherwise
}

// word returns a text value of a closed set.
func (l *loader) word(n *node, what string, allowed ...string) string {
	if !l.expect(n, textNode, what) {
		return ""
	}
	if !slices.Contains(allowed, n.text) {
		l.fail(n.position, what+" can't be "+quote(n.text), suggest(n.text, allowed))
		return ""
	}
	return n.text
}

func (l *loader) status(n *node) int {
	if n.kind == numberNode {
		if status, err := strconv.Atoi(n.text); err == nil && 200 <= status && status <= 599 {
			return status
		}
	}
	l.fail(n.position, "this is not an HTTP status of an answer", "write a number from 200 to 599")
	return 0
}

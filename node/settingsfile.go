package node

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const maxSettingsFile = 256 << 10

// readFile reads a settings file: YAML without anchors, aliases and tags, each
// key a known one and given once.
func readFile(path string) (values, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSettingsFile {
		return nil, fmt.Errorf("%s is no settings file: it must be a file of at most %d KiB", path, maxSettingsFile>>10)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	doc, err := parser.ParseBytes(b, 0)
	var broken yaml.Error
	if errors.As(err, &broken) {
		at := broken.GetToken().Position
		return nil, fmt.Errorf("%s:%d:%d: %s", path, at.Line, at.Column, broken.GetMessage())
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Docs) > 1 {
		return nil, fmt.Errorf("%s: it holds several YAML documents: keep one", path)
	}
	out := values{}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		return out, nil
	}
	r := fileReader{path: path, out: out}
	r.read(doc.Docs[0].Body, "")
	return out, errors.Join(r.errs...)
}

type fileReader struct {
	path string
	out  values
	errs []error
}

func (r *fileReader) fail(n ast.Node, format string, args ...any) {
	at := n.GetToken().Position
	r.errs = append(r.errs, fmt.Errorf("%s:%d:%d: %s", r.path, at.Line, at.Column, fmt.Sprintf(format, args...)))
}

// read takes the mapping n, whose keys follow prefix.
func (r *fileReader) read(n ast.Node, prefix string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.fail(n, "%s must be a mapping of settings", strings.TrimSuffix("the file "+prefix, "."))
		return
	}
	for it := m.MapRange(); it.Next(); {
		key := prefix + it.Key().String()
		if _, twice := r.out[key]; twice {
			r.fail(it.Key(), "%s is given twice", key)
			continue
		}
		_, mapping := it.Value().(ast.MapNode)
		s, ok := find(key)
		if isSection(key) && (mapping || !ok) {
			r.read(it.Value(), key+".")
			continue
		}
		if !ok {
			r.fail(it.Key(), "unknown setting %q%s", key, didYouMean(key))
			continue
		}
		r.out[key] = r.value(s, key, it.Value())
	}
}

// value takes a scalar, or a list of them.
func (r *fileReader) value(s setting, key string, n ast.Node) any {
	if s.nested {
		return r.entries(key, n)
	}
	if !s.list {
		return r.scalar(key, n)
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(n, "%s must be a list", key)
		return nil
	}
	out := []string{}
	for _, v := range list.Values {
		out = append(out, r.scalar(key, v))
	}
	return out
}

func (r *fileReader) scalar(key string, n ast.Node) string {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		return n.GetToken().Value
	}
	r.fail(n, "%s must be a plain value", key)
	return ""
}

func isSection(key string) bool {
	return slices.ContainsFunc(known, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

func find(key string) (setting, bool) {
	for _, s := range known {
		if s.key == key || s.secret && s.key+"_file" == key {
			return s, true
		}
	}
	return setting{}, false
}

// didYouMean names the known setting that is nearest to key, if one is near.
func didYouMean(key string) string {
	best, distance := "", 4
	for _, s := range known {
		if d := editDistance(key, s.key); d < distance {
			best, distance = s.key, d
		}
	}
	if best == "" {
		var keys []string
		for _, s := range known {
			keys = append(keys, s.key)
		}
		return ": the settings are " + strings.Join(keys, ", ")
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// editDistance counts the bytes to add, drop or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

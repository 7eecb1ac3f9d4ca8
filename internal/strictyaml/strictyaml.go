// Package strictyaml reads settings: one YAML document in which everything is
// as it looks, each key a known one and given once.
package strictyaml

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Decode reads a document into a struct with yaml tags. Errors begin with
// line:column where they are about a place.
func Decode(b []byte, into any) error {
	doc, err := parser.ParseBytes(b, 0)
	if err != nil {
		return placed(err)
	}
	if len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		return errors.New("it must hold one YAML document with something in it")
	}
	var plain plainly
	ast.Walk(&plain, doc.Docs[0].Body)
	if plain.found != nil {
		at := plain.found.GetToken().Position
		return fmt.Errorf("%d:%d: anchors, aliases and tags are not taken: write the value out", at.Line, at.Column)
	}
	return placed(yaml.NodeToValue(doc.Docs[0].Body, into, yaml.Strict()))
}

func placed(err error) error {
	if broken, ok := errors.AsType[yaml.Error](err); ok {
		at := broken.GetToken().Position
		return fmt.Errorf("%d:%d: %s", at.Line, at.Column, broken.GetMessage())
	}
	return err
}

// plainly finds what makes a document more than it looks: a small file that
// expands to a large one, and tags, on which the reader's types depend.
type plainly struct{ found ast.Node }

func (p *plainly) Visit(n ast.Node) ast.Visitor {
	switch n.Type() {
	case ast.AliasType, ast.AnchorType, ast.TagType, ast.MergeKeyType:
		p.found = n
		return nil
	}
	return p
}

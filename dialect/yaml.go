package dialect

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a dialect file.
const (
	maxFileBytes = 256 << 10
	maxDepth     = 32
	maxMembers   = 256  // of one mapping or list
	maxEntries   = 4096 // of the file; the parser compares each key with each
)

// node is the part of YAML that a dialect may use: mappings, lists and plain
// values, each with its place in the file.
type node struct {
	position
	kind  nodeKind
	text  string // scalars; numbers in JSON's form
	pairs []pair
	items []*node
}

type pair struct {
	position
	key   string
	value *node
}

type position struct{ line, column int }

type nodeKind uint8

const (
	mapping nodeKind = iota
	sequence
	textNode
	numberNode
	boolNode
	nullNode
)

func (k nodeKind) String() string {
	return [...]string{"a mapping", "a list", "text", "a number", "true or false", "nothing"}[k]
}

func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// parse reads one YAML document into nodes. What YAML offers beyond plain
// trees is refused before the tree is built, since an alias can make a small
// file large and a tag can change what a value is.
func (l *loader) parse(data []byte) *node {
	if len(data) > maxFileBytes {
		l.fail(position{1, 1}, "the file is larger than 256 KiB", "describe one API for each file")
		return nil
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		l.fail(position{1, 1}, "the file isn't UTF-8 text", "save it as UTF-8 without NUL bytes")
		return nil
	}
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		l.fail(position{1, 1}, "the file starts with a byte order mark", "save it as UTF-8 without one")
		return nil
	}
	if !l.plain(lexer.Tokenize(string(data))) {
		return nil
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			l.fail(tokenPosition(syntax.GetToken()), syntax.GetMessage(), "")
		} else {
			l.fail(position{1, 1}, err.Error(), "")
		}
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		l.fail(position{1, 1}, "the file must hold one YAML document", `start it with "dialect: NAME"`)
		return nil
	}
	return l.convert(file.Docs[0].Body, 0)
}

// plain refuses the tokens of YAML's indirections, and nesting deep enough to
// make the parser work hard.
func (l *loader) plain(tokens token.Tokens) bool {
	depth, documents, entries := 0, 0, 0
	for _, t := range tokens {
		at := tokenPosition(t)
		switch t.Type {
		case token.MappingValueType, token.CollectEntryType, token.SequenceEntryType:
			if entries++; entries > maxEntries {
				l.fail(at, "there are too many entries", "4096 are allowed in a file")
				return false
			}
		}
		switch t.Type {
		case token.AnchorType, token.AliasType:
			l.fail(at, "anchors and aliases are not allowed", "write the value out where it is used")
			return false
		case token.MergeKeyType:
			l.fail(at, "merge keys are not allowed", "write the members out")
			return false
		case token.TagType:
			l.fail(at, "tags are not allowed", "quote the value if it must be text")
			return false
		case token.DirectiveType:
			l.fail(at, "YAML directives are not allowed", "leave the line out")
			return false
		case token.DocumentHeaderType, token.DocumentEndType:
			if documents++; documents > 1 || t.Type == token.DocumentEndType || at.line > 1 && t.Prev != nil && t.Prev.Type != token.CommentType {
				l.fail(at, "the file must hold one YAML document", "put each dialect in its own file")
				return false
			}
		case token.SequenceEntryType:
			if at.column > 2*maxDepth {
				l.tooDeep(at) // "- - - x" nests once for each two columns
				return false
			}
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth > maxDepth {
				l.tooDeep(at)
				return false
			}
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.MappingKeyType:
			l.fail(at, "complex keys are not allowed", `write "key: value"`)
			return false
		}
	}
	return true
}

func (l *loader) tooDeep(at position) {
	l.fail(at, "the file is nested too deeply", "32 levels are allowed")
}

func (l *loader) tooMany(at position) {
	l.fail(at, "there are too many members", "256 are allowed in one place")
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// convert returns nil when it reported something.
func (l *loader) convert(n ast.Node, depth int) *node {
	at := tokenPosition(n.GetToken())
	if depth > maxDepth {
		l.tooDeep(at)
		return nil
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		if n.Start != nil && n.IsFlowStyle {
			at = tokenPosition(n.Start)
		} else if len(n.Values) > 0 {
			at = tokenPosition(n.Values[0].Key.GetToken())
		}
		if len(n.Values) > maxMembers {
			l.tooMany(at)
			return nil
		}
		out := &node{position: at, kind: mapping}
		for _, v := range n.Values {
			if !l.convertPair(out, v, depth) {
				return nil
			}
		}
		return out
	case *ast.MappingValueNode:
		out := &node{position: tokenPosition(n.Key.GetToken()), kind: mapping}
		if !l.convertPair(out, n, depth) {
			return nil
		}
		return out
	case *ast.SequenceNode:
		if len(n.Values) > maxMembers {
			l.tooMany(at)
			return nil
		}
		out := &node{position: at, kind: sequence}
		for _, item := range n.Values {
			c := l.convert(item, depth+1)
			if c == nil {
				return nil
			}
			out.items = append(out.items, c)
		}
		return out
	case *ast.StringNode:
		return &node{position: at, kind: textNode, text: n.Value}
	case *ast.LiteralNode:
		return &node{position: tokenPosition(n.Start), kind: textNode, text: n.Value.Value}
	case *ast.BoolNode:
		text := n.GetToken().Value
		if text != "true" && text != "false" {
			l.fail(at, "true and false are written in lower case", "quote the value if it must be text")
			return nil
		}
		return &node{position: at, kind: boolNode, text: text}
	case *ast.IntegerNode, *ast.FloatNode:
		text := n.GetToken().Value
		if !isJSONNumber(text) {
			l.fail(at, "numbers are written as in JSON", "quote the value if it must be text")
			return nil
		}
		return &node{position: at, kind: numberNode, text: text}
	case *ast.NullNode:
		return &node{position: at, kind: nullNode}
	default:
		l.fail(at, "this kind of YAML value is not allowed", "use mappings, lists, text, numbers, true, false and null")
		return nil
	}
}

func (l *loader) convertPair(out *node, v *ast.MappingValueNode, depth int) bool {
	at := tokenPosition(v.Key.GetToken())
	var key string
	switch k := v.Key.(type) {
	case *ast.StringNode:
		key = k.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		key = k.GetToken().Value
	default:
		l.fail(at, "this key is not allowed", "keys are plain text")
		return false
	}
	if out.get(key) != nil {
		l.fail(at, "the key "+quote(key)+" is there twice", "leave one of them out")
		return false
	}
	value := l.convert(v.Value, depth+1)
	if value == nil {
		return false
	}
	out.pairs = append(out.pairs, pair{at, key, value})
	return true
}

// quote shows a short piece of the file in an error message on one line.
func quote(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '·'
		}
		return r
	}, s) + `"`
}

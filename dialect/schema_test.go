package dialect

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML file as a schema's validator sees it.
func asJSON(t *testing.T, file []byte) any {
	data, err := yaml.YAMLToJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	s := compiledSchema(t)
	files := map[string][]byte{"tiny": []byte(good), "wide": []byte(wide)}
	for _, d := range shipped(t) {
		files[d.Name] = d.Source
	}
	for name, file := range files {
		if err := s.Validate(asJSON(t, file)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A schema can't see everything that Load does; these it must.
func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	visible := []string{
		"unknown key", "unknown operation", "unknown hole", "unknown codec", "hole of an answer in a request", "secret in an answer",
		"open brace", "unknown code", "row without status", "status", "relative path", "life in words", "no format", "jwt and opaque",
		"algorithm none", "symmetric algorithm", "keys that look alike", "not a dialect name", "either of one", "null in a header",
		"limit", "host without TLS",
	}
	for _, name := range visible {
		found := false
		for _, tc := range badFiles {
			if tc.name != name {
				continue
			}
			found = true
			if s.Validate(asJSON(t, []byte(strings.Replace(good, tc.old, tc.new, 1)))) == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		if !found {
			t.Errorf("there is no bad file %q", name)
		}
	}
}

func TestSchemaIsPinned(t *testing.T) {
	golden(t, "../../docs/dialect.schema.json", append(Schema(), '\n'))
}

// The page about the form names everything that the form has.
func TestTheFormIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	names := append(append(holeNames(), codecNames(^kind(0))...), codeNames()...)
	for _, name := range operationNames {
		names = append(names, string(name))
	}
	for _, name := range names {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestTheDocumentedFileLoads(t *testing.T) {
	page, err := os.ReadFile("../docs/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n    dialect: example")
	sample, _, found := strings.Cut("    dialect: example"+rest, "\n\n")
	if !found {
		t.Fatal("the page has no sample")
	}
	if _, err := Load("README.md", []byte(strings.ReplaceAll("\n"+sample, "\n    ", "\n"))); err != nil {
		t.Error(err)
	}
}

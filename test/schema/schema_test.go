package schema

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(dialect.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(dialect.SchemaID, document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(dialect.SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML file as a schema's validator sees it.
func asJSON(t *testing.T, path string) any {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
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

func files(t *testing.T, atLeast int, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) < atLeast {
		t.Fatalf("%s: %d files, %v", pattern, len(found), err)
	}
	return found
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	s := compiledSchema(t)
	for _, all := range [][]string{
		files(t, 2, "../../dialect/testdata/schema/accepted/*.yaml"), files(t, 5, "../../dialect/builtin/*.yaml"), files(t, 2, "../../examples/dialects/*.yaml"),
	} {
		for _, path := range all {
			if _, err := dialect.LoadFile(path); err != nil {
				t.Error(err)
			}
			if err := s.Validate(asJSON(t, path)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	for _, path := range files(t, 20, "../../dialect/testdata/schema/refused/*.yaml") {
		if s.Validate(asJSON(t, path)) == nil {
			t.Errorf("%s: accepted", path)
		}
		if _, err := dialect.LoadFile(path); err == nil {
			t.Errorf("%s: loaded", path)
		}
	}
}

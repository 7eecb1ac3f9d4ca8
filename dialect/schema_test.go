package dialect

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The files that test/schema asks a validator about. A schema can't see
// everything that Load does; what is refused here, it must.
func TestSchemaFiles(t *testing.T) {
	golden(t, "schema/accepted/tiny.yaml", []byte(good))
	golden(t, "schema/accepted/wide.yaml", []byte(wide))
	visible := []string{
		"unknown key", "unknown operation", "unknown hole", "unknown codec", "hole of an answer in a request", "secret in an answer",
		"open brace", "unknown code", "row without status", "status", "relative path", "life in words", "no format", "jwt and opaque",
		"algorithm none", "symmetric algorithm", "keys that look alike", "not a dialect name", "either of one", "null in a header",
		"limit", "host without TLS",
	}
	for _, name := range visible {
		found := false
		for _, tc := range badFiles {
			if tc.name == name {
				found = true
				golden(t, "schema/refused/"+strings.ReplaceAll(name, " ", "-")+".yaml", []byte(strings.Replace(good, tc.old, tc.new, 1)))
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

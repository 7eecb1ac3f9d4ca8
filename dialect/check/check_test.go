package check_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/dialect/check"
)

// Every dialect that ships, built in or as an example, holds in each point.
func TestLoopback(t *testing.T) {
	files, err := filepath.Glob("../../examples/dialects/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	builtin, err := filepath.Glob("../builtin/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, builtin...) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			d, err := dialect.LoadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			results, err := check.Loopback(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.Held {
					t.Errorf("%s %s: %s", r.Operation, r.Case, r.Detail)
				}
			}
			wanted := 0
			for _, op := range d.Operations {
				switch op.Name {
				case dialect.Use, dialect.Connect:
					wanted++
				default:
					wanted += 2 + len(dialect.Codes())
				}
			}
			if len(results) != wanted {
				t.Errorf("%d results, want %d", len(results), wanted)
			}
		})
	}
}

// An error that is taken for another one, which looks different, is found out.
func TestLoopbackFails(t *testing.T) {
	d, err := dialect.Load("hidden.yaml", []byte(`
dialect: hidden
wire:
  issue:
    request: {POST: /t, body: {id: "{client_id}", key: "{client_secret}"}}
    response: {body: {token: "{access_token}", seconds: "{life|seconds}"}}
  errors:
    body: {error: "{error}", number: "{number?}"}
    default: {status: 500, error: other}
    invalid_request: {status: 400, error: no}
    invalid_client: {status: 401, error: who}
    invalid_scope: {status: 400, error: no, number: 7}
token: {opaque: {}, life: 1h, refresh: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	results, err := check.Loopback(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	failed, alike := "", 0
	for _, r := range results {
		if !r.Held {
			failed += r.Case + ";"
		} else if strings.Contains(r.Detail, "the same on the wire as") {
			alike++
		}
	}
	if failed != "error invalid_scope;" || alike == 0 || check.Held(results) {
		t.Errorf("failed: %q; %d alike", failed, alike)
	}
}

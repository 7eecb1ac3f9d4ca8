package dialect

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares data with testdata/name.
func golden(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("%s differs; go test -update writes it anew\ngot:\n%s\nwant:\n%s", path, data, want)
	}
}

// TestGolden pins what goes over the wire, so that a change of it shows in
// review as a change of a file.
func TestGolden(t *testing.T) {
	for _, d := range shipped(t) {
		for _, o := range d.Operations {
			t.Run(d.Name+"/"+string(o.Name), func(t *testing.T) {
				var out bytes.Buffer
				if o.request != nil {
					r, err := o.WriteRequest("", d.exampleValues(o.request))
					if err != nil {
						t.Fatal(err)
					}
					out.WriteString(httpText(r.Method+" "+r.URL(), o.request, r.Header, r.Body) + "\n")
				}
				if o.response != nil {
					r, err := o.WriteResponse(d.exampleValues(o.response))
					if err != nil {
						t.Fatal(err)
					}
					if out.Len() > 0 {
						out.WriteString("\n")
					}
					out.WriteString(httpText(statusLine(r.Status), o.response, r.Header, r.Body) + "\n")
				}
				golden(t, d.Name+"/"+string(o.Name)+".http", out.Bytes())
			})
		}
		t.Run(d.Name+"/errors", func(t *testing.T) {
			var v Values
			v.SetText(Path, "/example")
			v.SetText(RequestID, "req-7h2k9q")
			v.SetTime(Now, exampleTime)
			v.SetDuration(RetryAfter, 1500*time.Millisecond)
			v.SetFields([]FieldError{{"one", "is required"}})
			var out bytes.Buffer
			for _, code := range Codes() {
				r := d.WriteError(code, v)
				out.WriteString("# " + string(code) + "\n" + httpText(statusLine(r.Status), &message{}, r.Header, nil))
				out.Write(append(append([]byte("\n"), r.Body...), "\n\n"...))
			}
			golden(t, d.Name+"/errors.http", out.Bytes())
		})
		t.Run(d.Name+"/docs", func(t *testing.T) {
			var page bytes.Buffer
			if err := d.Markdown(&page); err != nil {
				t.Fatal(err)
			}
			golden(t, d.Name+"/reference.md", page.Bytes())
			description, err := d.OpenAPI("https://tokens.example")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, d.Name+"/openapi.json", append(description, '\n'))
		})
	}
}

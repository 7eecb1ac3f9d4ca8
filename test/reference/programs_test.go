package reference_test

import (
	"context"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

var panel = regexp.MustCompile(`(?s)<div role="tabpanel" id="([a-z]+)-(sh|go|python|js)".*?<code>(.*?)</code>`)

var tag = regexp.MustCompile(`<[^>]*>`)

// A program is what a reader copies from a page.
type program struct {
	operation *dialect.Operation
	language  string
	code      string
}

func programsOf(t *testing.T, page string, d *dialect.Dialect) (all []program) {
	t.Helper()
	for _, m := range panel.FindAllStringSubmatch(page, -1) {
		all = append(all, program{d.Operation(dialect.OperationName(m[1])), m[2], html.UnescapeString(tag.ReplaceAllString(m[3], ""))})
	}
	if len(all)%4 != 0 || len(all) == 0 {
		t.Fatalf("the page of %s has %d programs", d.Name, len(all))
	}
	return all
}

// run runs a program as pasted, with what is the reader's own in its environment.
func (p program) run(t *testing.T, env []string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	save := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(p.code), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	switch p.language {
	case "sh":
		cmd = exec.CommandContext(ctx, "sh")
		cmd.Stdin = strings.NewReader(p.code)
	case "python":
		cmd = exec.CommandContext(ctx, "python3", save("program.py"))
	case "js":
		cmd = exec.CommandContext(ctx, "node", save("program.js"))
	case "go":
		cmd = exec.CommandContext(ctx, "go", "run", save("main.go"))
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Logf("%s", failed.String())
	}
	return string(out), err
}

// Every program of every page does what it says, pasted into its language. A Go
// program takes a second to link, so but for two of them these are only checked
// for types, as all of them are; GATEHOUSE_SOAK=1 runs all.
func TestProgramsRunAsPasted(t *testing.T) {
	s := dev(t)
	soak := os.Getenv("GATEHOUSE_SOAK") != ""
	written := map[string]string{} // in Go
	linked := map[string]bool{"oauth2-issue": true, "dapi-exchange": true}
	for _, d := range dialects(t) {
		client := s.as(t, d)
		for _, p := range programsOf(t, s.get(t, "/docs/"+d.Name), d) {
			name := d.Name + "-" + string(p.operation.Name)
			if p.language == "go" {
				written[name] = p.code
				if !soak && !linked[name] {
					continue
				}
			}
			t.Run(name+"/"+p.language, func(t *testing.T) {
				t.Parallel()
				s.tryProgram(t, d, client, p)
			})
		}
	}
	vet(t, written)
}

func (s *server) tryProgram(t *testing.T, d *dialect.Dialect, client demoClient, p program) {
	t.Helper()
	// Each has its own token or code: some use it up.
	who := s.newPartner(t, d, client, p.operation.Name != dialect.Issue && p.operation.Name != dialect.Exchange)
	var env []string
	for hole, value := range who.has {
		env = append(env, variable(hole)+"="+value)
	}
	out, err := p.run(t, env)
	if err != nil {
		t.Fatalf("%v %s\n%s", err, out, p.code)
	}
	if p.operation.Name == dialect.Use {
		if !strings.Contains(out, `"environment":"sandbox"`) {
			t.Error(out)
		}
		return
	}
	if _, err := p.operation.ReadResponse(&dialect.Response{Status: 200, Body: []byte(out)}); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// vet checks programs for types, each a package of its own.
func vet(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module pasted\n\ngo 1.24\n")
	for name, code := range programs {
		write(filepath.Join(name, "main.go"), code)
	}
	for _, args := range [][]string{{"vet", "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %v: %v\n%s", args, err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), "gofmt", "-l", dir).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("gofmt: %v\n%s", err, out)
	}
}

// A program that is refused fails, and shows the answer.
func TestProgramsTellARefusal(t *testing.T) {
	s := dev(t)
	d := dialects(t)[0]
	for _, p := range programsOf(t, s.get(t, "/docs/"+d.Name), d) {
		if p.operation.Name != dialect.Issue || p.language == "go" {
			continue
		}
		if out, err := p.run(t, []string{"CLIENT_ID=nobody", "CLIENT_SECRET=wrong"}); err == nil {
			t.Errorf("%s: %s", p.language, out)
		}
	}
}

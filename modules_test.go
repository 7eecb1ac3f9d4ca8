package gatehouse_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// nested are the modules beside the root's, dependencies first.
var nested = []string{"secret", "dialect", "bearer", "bearer/xoauth2"}

// A program that imports package bearer gets few modules, and needs no other.
func TestImporterOfBearer(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	gomod := "module importer.example\n\ngo 1.26\n\nrequire " + module + "/bearer v0.1.0\n"
	for _, m := range nested {
		gomod += fmt.Sprintf("replace %s/%s v0.1.0 => %s\n", module, m, filepath.Join(here, m))
	}
	sums, err := os.ReadFile("bearer/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": gomod, "go.sum": string(sums),
		"main.go": "package main\n\nimport \"" + module + "/bearer\"\n\nfunc main() { _, _ = bearer.New(bearer.Config{}) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("mod", "tidy") // asks for what the imported packages' tests use, too
	run("build", "-o", os.DevNull, ".")
	list := strings.TrimSpace(run("list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all"))
	if n := len(strings.Fields(list)); n > 5 || n < 3 {
		t.Errorf("an importer of bearer has %d modules beside its own, and is promised 5 at most:\n%s", n, list)
	}
}

// The modules agree on what they require, so that what is tested together is
// what an importer gets.
func TestModulesAgree(t *testing.T) {
	root := requirements(t, ".")
	for _, m := range nested {
		for path, version := range requirements(t, m) {
			if want := root[path]; !strings.HasPrefix(path, module) && version != want {
				t.Errorf("%s/go.mod requires %s %s, the root's go.mod %s", m, path, version, want)
			}
		}
	}
}

func requirements(t *testing.T, dir string) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", filepath.Join(dir, "go.mod")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var gomod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &gomod); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range gomod.Require {
		versions[r.Path] = r.Version
	}
	return versions
}

// `./...` ends where another module begins; `work` doesn't. What is not in the
// workspace, or not asked for by the Makefile, would pass without being run.
func TestNoPackageIsLeftOut(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "work").Output()
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(out))
	found := map[string]bool{}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != "." && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			dir, err := filepath.Abs(filepath.Dir(path))
			found[dir] = true
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range found {
		if !slices.Contains(listed, dir) {
			t.Errorf("%s is in no module of go.work", dir)
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(makefile), " ./...") {
		t.Error("the Makefile says ./..., which leaves the nested modules out: say work")
	}
}

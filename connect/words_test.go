package connect

import (
	"io/fs"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var ownSource = os.DirFS(".")

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	usedKey     = regexp.MustCompile(`\.T "([a-z.]+)"`)
	goKey       = regexp.MustCompile(`"((?:problem|signin|consent|connections|handover|demo|life)\.[a-z]+)"`)
)

// Every language has every message, with the same placeholders, and the pages use
// no message that isn't there.
func TestMessages(t *testing.T) {
	c, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	first := c.all[0]
	for _, other := range c.all[1:] {
		if a, b := slices.Sorted(maps.Keys(first.words)), slices.Sorted(maps.Keys(other.words)); !slices.Equal(a, b) {
			t.Errorf("%s and %s have other keys:\n%v\n%v", first.Lang, other.Lang, a, b)
		}
		for key, text := range first.words {
			a, b := placeholder.FindAllString(text, -1), placeholder.FindAllString(other.words[key], -1)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) || other.words[key] == "" {
				t.Errorf("%s in %s: %q for %q", key, other.Lang, other.words[key], text)
			}
		}
	}
	used := map[string]bool{}
	for _, name := range pageNames {
		b, err := templateFiles.ReadFile("templates/" + name + ".html")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range usedKey.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	sources, err := fs.Glob(ownSource, "*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	for _, name := range sources {
		b, err := fs.ReadFile(ownSource, name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range goKey.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for key := range used {
		if _, ok := first.words[key]; !ok {
			t.Errorf("no message is called %s", key)
		}
	}
}

// Whatever is added to a redirect URI, the URI itself stays as it was registered,
// and each value can be read back.
func FuzzWithQuery(f *testing.F) {
	f.Add("https://app.example/back", "a b&c=d#e", "s")
	f.Add("https://app.example/back?x=1", "\r\n", "%")
	f.Add("com.example.app:/back", "ü", "")
	f.Fuzz(func(t *testing.T, uri, code, state string) {
		if strings.Contains(uri, "#") {
			return // no such URI is registered
		}
		got := withQuery(uri, []member{{"code", code}, {"state", state}})
		rest, ok := strings.CutPrefix(got, uri)
		if !ok || strings.ContainsAny(rest, "\r\n# ") {
			t.Fatalf("%q became %q", uri, got)
		}
		v, err := url.ParseQuery(rest[1:])
		if err != nil || v.Get("code") != code || v.Get("state") != state {
			t.Errorf("%q reads %v, %v", rest, v, err)
		}
	})
}

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDocsSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	logo := write("logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")
	load := func(docs string) (Settings, error) {
		return LoadSettings(write("gatehouse.yaml", "docs: {"+docs+"}\n"), nil, nil)
	}
	s, err := load("name: Example Bank, logo: '" + logo + "', hosts: {sandbox: 'https://sandbox.bank.example/', live: 'https://bank.example'}")
	if err != nil || s.Docs.Name != "Example Bank" || s.Docs.Type != "image/svg+xml" || s.Docs.Hosts["sandbox"] != "https://sandbox.bank.example" || s.Docs.Hosts["live"] != "https://bank.example" {
		t.Errorf("%+v %v", s.Docs, err)
	}
	for docs, want := range map[string]string{
		"logo: '" + filepath.Join(dir, "none.png") + "'":                         "docs.logo",
		"logo: '" + write("logo.gif", "GIF89a") + "'":                            "neither PNG nor SVG",
		"logo: '" + write("big.svg", "<svg>"+strings.Repeat(" ", maxLogo)) + "'": "larger than 64 KiB",
		"hosts: {live: 'bank.example'}":                                          "docs.hosts.live",
		"hosts: {sandbox: 'https://user:secret@bank.example'}":                   "docs.hosts.sandbox",
		"hosts: {test: 'https://bank.example'}":                                  "docs.hosts.test",
	} {
		if _, err := load(docs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", docs, err, want)
		}
	}
}

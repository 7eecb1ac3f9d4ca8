package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsErrors(t *testing.T) {
	const bank = "upstreams:\n  bank: {dialect: oauth2, base_url: https://bank.example, client_id: me, client_secret: s}\n"
	for text, want := range map[string]string{
		"":                                       "one YAML document",
		"listen: 0.0.0.0:1\n" + bank:             "open to other machines",
		"listen: ':4180'\n" + bank:               "open to other machines",
		"listen: bank.example:4180\n" + bank:     "open to other machines",
		"listen: 4180\n" + bank:                  "no address",
		"listen: 'unix:'\n" + bank:               "needs a path",
		"listen: 127.0.0.1:1\n":                  "name at least one",
		"lisen: x\n" + bank:                      "lisen",
		bank + bank:                              "upstreams",
		"x: &a 1\nupstreams: *a\n":               "anchors",
		"upstreams: {Bank: {dialect: oauth2}}\n": "lower-case",
		"upstreams: {'-': {dialect: oauth2}}\n":  "lower-case",
		"upstreams: {bank: {}}\n":                "name a dialect",
		"upstreams: {bank: {dialect: oauth2, authorization: drop}}":   "refuse or replace",
		"upstreams: {bank: {dialect: oauth2, life: soon}}":            "900s",
		"upstreams: {bank: {dialect: oauth2, client_secrt: abc}}":     "client_secrt",
		"upstreams: {bank: {dialect: oauth2, client_secret: [a, b]}}": "1:52: cannot unmarshal",
	} {
		path := filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSettings(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if s, err := parseSettings([]byte("listen: 0.0.0.0:1\nlisten_any: true\n" + bank)); err != nil || s.Listen != "0.0.0.0:1" {
		t.Errorf("listen_any: %v", err)
	}
}

func TestResolveErrors(t *testing.T) {
	for value, want := range map[string]string{
		"${GATEHOUSE_TEST_UNSET}": "GATEHOUSE_TEST_UNSET",
		"file:nosuch":             "no such file",
		"command: exit 3":         "exit status 3",
		"file:.":                  "must be a file",
	} {
		s := Settings{dir: t.TempDir(), Upstreams: map[string]Upstream{"bank": {Dialect: "oauth2", BaseURL: "https://bank.example", ClientID: "me", ClientSecret: value}}}
		_, err := s.Source("bank")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "upstreams.bank.client_secret") {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}

// One line end is an editor's; a second is the secret's own.
func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{"s": "s", "s\n": "s", "s\r\n": "s", "s\n\n": "s\n", "": "", " s ": " s "} {
		if got := oneLine([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte("listen: 127.0.0.1:1\nupstreams:\n  bank: {dialect: oauth2, base_url: https://bank.example, client_id: me, client_secret: s, scopes: [a]}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSettings(b)
		if err == nil && (len(s.Upstreams) == 0 || s.Listen == "") {
			t.Errorf("%q was taken as %+v", b, s)
		}
	})
}

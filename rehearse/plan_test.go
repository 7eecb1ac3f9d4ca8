package rehearse

import (
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	p, err := parsePlan([]byte("client: demo-oauth2\n"))
	if err != nil || len(p.Acts) != len(actNames)-1 || p.Environment != "live" || time.Duration(p.Life) != 6*time.Second {
		t.Errorf("%+v %v", p, err)
	}
	p, err = parsePlan([]byte("client: c\nlife: 10s\nsecret_file: s\nacts: [{act: secret, for: 2m}, {act: normal}]\nreports: [a.json, b.xml]\n"))
	if err != nil || time.Duration(p.Acts[0].For) != 2*time.Minute || time.Duration(p.Acts[1].For) != 25*time.Second {
		t.Errorf("%+v %v", p, err)
	}
	for text, want := range map[string]string{
		"":                                    "one YAML document",
		"client: c\nlive: 6s\n":               "live",
		"client: c\nlife: 6\n":                "6s or 2m",
		"client: c\nlife: 2h\n":               "6s or 2m",
		"client: c\nenvironment: test\n":      "sandbox or live",
		"client: c\nacts: [{act: dance}]\n":   "no act",
		"client: c\nacts: [{act: secret}]\n":  "secret_file",
		"client: c\nreports: [report.html]\n": ".json or .xml",
		"client: c\nacts: !0 0\n":             "tags",
		"client: c\nclient: d\n":              "client",
	} {
		if _, err := parsePlan([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte("client: c\nlife: 10s\nacts: [{act: normal, for: 5s}]\nreports: [a.json]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePlan(b); err == nil && (p.Client == "" || len(p.Acts) == 0) {
			t.Errorf("%q was taken as %+v", b, p)
		}
	})
}

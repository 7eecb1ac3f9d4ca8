package connect_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe returns axe-core's script, as the lock file has it.
func axe(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	want := hex.EncodeToString(sum[:])
	marker := filepath.Join("node_modules", ".gatehouse-lock")
	if have, err := os.ReadFile(marker); err != nil || string(have) != want {
		if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		if err := os.WriteFile(marker, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// findings are what axe-core has against a page by some of its rules.
func findings(rules string) string {
	return `axe.run(document, {runOnly: [` + rules + `]})
	.then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('; ')).join('\n'))`
}

// In the dark nothing but the colours is another.
var schemes = []struct{ name, rules string }{
	{"light", `'wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'`},
	{"dark", `'color-contrast'`},
}

// axe-core finds nothing on any page, in light and dark.
func TestAccessibility(t *testing.T) {
	script := axe(t)
	s := dev(t)
	b := s.tab(t)
	check := func(name string) {
		t.Helper()
		b.do(chromedp.Evaluate[chromedp.Void](script + `;0`))
		for _, scheme := range schemes {
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme.name}},
			}); err != nil {
				t.Fatal(err)
			}
			if found := run(b, chromedp.Evaluate[string](findings(scheme.rules), chromedp.EvalAwaitPromise)); found != "" {
				t.Errorf("%s, %s:\n%s", name, scheme.name, found)
			}
		}
		b.shot("dark-" + name)
	}
	b.open(s.app.authorize())
	b.wait(`document.querySelector('#password')`)
	check("sign-in")
	b.signIn(user{Name: "nobody", Password: "nothing"})
	b.says("wrong")
	check("wrong-password")
	b.signIn(s.users[1])
	b.says("Connect Budget Buddy?")
	check("consent")
	b.decide("allow")
	b.got()
	b.open(s.url + "/connect/connections?environment=sandbox")
	b.says("Connected apps")
	check("connections")
	b.open(s.url + "/connect/open")
	b.says("did not work")
	check("problem")
	b.open(s.app.open("response_mode", "web_message", "origin", s.app.URL))
	b.decide("allow")
	b.says("window is gone")
	check("handover")
}

// The page is there in a fraction of a second: the median of a few loads, with
// ten times the bound here, where other programs are running.
func TestFirstPaint(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	best := 1e9
	for range 5 {
		b.open(s.app.authorize())
		b.wait(`performance.getEntriesByName('first-contentful-paint').length`)
		best = min(best, run(b, chromedp.Evaluate[float64](`performance.getEntriesByName('first-contentful-paint')[0].startTime`)))
	}
	t.Logf("first contentful paint after %.0f ms", best)
	if best > 2000 {
		t.Errorf("the first paint took %.0f ms", best)
	}
}

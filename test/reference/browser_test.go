package reference_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// patience is how long a page may take to get somewhere on a busy machine.
const patience = 60 * time.Second

// output is where screenshots are kept, for people to look at.
const output = "../output/reference"

// A tab is a page in a real browser that reports what goes wrong on it.
type tab struct {
	context.Context
	t *testing.T

	mu       sync.Mutex
	messages []string
}

// browse starts Debian's chromium with one tab.
func browse(t *testing.T) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: run test/prerequisites")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1440, 1000))
	t.Cleanup(stop)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &tab{Context: ctx, t: t}
	// The browser lives as long as the context of its first action.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	heard := chromedp.Console(ctx)
	go func() {
		for m, err := range heard {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.messages = append(p.messages, m.String())
			p.mu.Unlock()
		}
	}()
	return p
}

// open goes to a page, as another test's own.
func (p *tab) open(t *testing.T, url string) *tab {
	t.Helper()
	outer := p.t
	p.t = t
	t.Cleanup(func() { p.t = outer })
	p.dark(false)
	p.do(chromedp.EmulateViewport(1440, 1200), chromedp.Navigate(url))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// read evaluates an expression in the page.
func read[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for a condition of the page.
func (p *tab) until(condition string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !read[bool](p, "Boolean("+condition+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.shoot("stuck", "body")
			p.t.Fatalf("it never came to %s", condition)
		}
	}
}

// shoot keeps a picture of the window, from where selector is.
func (p *tab) shoot(name, selector string) {
	p.t.Helper()
	read[bool](p, fmt.Sprintf("document.querySelector('%s').scrollIntoView({block: 'start'}), true", selector))
	picture, err := chromedp.Run(p, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(output, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(output, name+".png"), picture, 0o644)
	}
	if err != nil {
		p.t.Errorf("screenshot %s: %v", name, err)
	}
}

// quiet fails where the page's console has said anything that isn't the browser's
// own report of an answer that the test wanted refused.
func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		if !strings.Contains(m, "Failed to load resource: the server responded with a status of 4") {
			p.t.Errorf("the console says: %s", m)
		}
	}
}

// axe is Deque's accessibility checker.
var axe = sync.OnceValues(func() (string, error) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	marker, want := filepath.Join("node_modules", ".gatehouse-lock"), hex.EncodeToString(sum[:])
	if have, err := os.ReadFile(marker); err != nil || string(have) != want {
		if out, err := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm ci: %w\n%s", err, out)
		}
		if err := os.WriteFile(marker, []byte(want), 0o644); err != nil {
			return "", err
		}
	}
	b, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	return string(b), err
})

// accessible fails for each finding of axe-core.
func (p *tab) accessible(when string) {
	p.t.Helper()
	source, err := axe()
	if err != nil {
		p.t.Fatal(err)
	}
	if !read[bool](p, "typeof axe !== 'undefined'") {
		read[bool](p, source+"; true")
	}
	type finding struct {
		ID    string   `json:"id"`
		Help  string   `json:"help"`
		Where []string `json:"where"`
	}
	for _, f := range read[[]finding](p, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, help: v.help, where: v.nodes.slice(0, 4).map(n => n.html.slice(0, 200))})))`) {
		p.t.Errorf("%s: %s: %s: %s", when, f.ID, f.Help, strings.Join(f.Where, "\n"))
	}
}

func (p *tab) dark(on bool) {
	p.t.Helper()
	value := map[bool]string{true: "dark", false: "light"}[on]
	if _, err := chromedp.Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: value},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // a click aims at where its target is, not at where it glides to
		},
	}); err != nil {
		p.t.Fatal(err)
	}
}

// fits fails where the page is wider than its window.
func (p *tab) fits(when string) {
	p.t.Helper()
	if wide := read[string](p, `document.documentElement.scrollWidth <= innerWidth ? '' : document.documentElement.scrollWidth + ' of ' + innerWidth + ': ' +
		[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 90)).join('\n')`); wide != "" {
		p.t.Errorf("%s: the page is too wide: %s", when, wide)
	}
}

// fill puts text into a field in one go, as pasting does.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	read[bool](p, fmt.Sprintf("document.querySelector('%s').focus(), document.querySelector('%s').select(), true", selector, selector))
	if _, err := chromedp.Call(p, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		p.t.Fatal(err)
	}
}

// press runs a step of the playground, and returns what it says in the end.
func (p *tab) press(step string) (said string, good bool) {
	p.t.Helper()
	button, outcome := fmt.Sprintf("[data-run=%s]", step), fmt.Sprintf("[data-outcome=%s]", step)
	read[bool](p, fmt.Sprintf("document.querySelector('%s').replaceChildren(), true", outcome))
	p.do(chromedp.Click(chromedp.CSS(button)))
	p.until(fmt.Sprintf("document.querySelector('%s').children.length > 0 && !document.querySelector('%s').disabled", outcome, button))
	return read[string](p, fmt.Sprintf("document.querySelector('%s').textContent", outcome)), read[bool](p, fmt.Sprintf("document.querySelector('%s .good') !== null", outcome))
}

func (p *tab) succeed(step string) {
	p.t.Helper()
	if said, good := p.press(step); !good {
		p.t.Errorf("%s: %s", step, said)
	}
}

func (p *tab) refused(step, why string) {
	p.t.Helper()
	if said, good := p.press(step); good || !strings.Contains(said, why) {
		p.t.Errorf("%s: %q, want %q", step, said, why)
	}
}

// Each page, as a partner's developer meets it: the flow with sandbox
// credentials, a refusal, a live secret that was pasted by mistake.
func TestPlayground(t *testing.T) {
	s := dev(t)
	browser := browse(t)
	for _, d := range dialects(t) {
		t.Run(d.Name, func(t *testing.T) {
			p := browser.open(t, s.url+"/docs/"+d.Name)
			p.until("document.querySelector('#stage .step')")
			p.shoot(d.Name, "body")
			first := "issue"
			client := s.as(t, d)
			if d.Operation(dialect.Issue) == nil {
				first = "exchange"
				who := s.newPartner(t, d, client, false)
				handed := fmt.Sprintf(`{"success":true,"accessCode":%q,"userSecret":%q,"connectionID":%q,"userID":"reader","tokenID":"x"}`,
					who.has["access_code"], who.has["user_secret"], who.has["connection_id"])
				p.fill("#connected", handed)
				if got := read[string](p, "document.getElementById('field-user_secret').value"); got != who.has["user_secret"] {
					t.Errorf("what was pasted is not taken apart: %q", got)
				}
			} else {
				p.fill("#field-client_id", client.ClientID)
			}

			// Live by mistake: nothing is sent.
			live := s.client(t, d.Name, "live").ClientSecret
			p.fill("#field-client_secret", live)
			if said := read[string](p, "document.querySelector('[role=alert]').textContent"); !strings.Contains(said, "live") || read[string](p, "document.getElementById('field-client_secret').value") != "" {
				t.Errorf("a live secret: %q", said)
			}
			if sent := read[int](p, "performance.getEntriesByType('resource').filter(e => !e.name.includes('/docs/')).length"); sent != 0 {
				t.Errorf("%d requests were sent with a live secret at hand", sent)
			}
			if said, good := p.press(first); good || !strings.Contains(said, "is empty") {
				t.Errorf("with an emptied field: %q", said)
			}

			p.fill("#field-client_secret", "wrong")
			p.refused(first, "don't go together")
			p.fill("#field-client_secret", client.ClientSecret)
			if d.Operation(dialect.Connect) != nil {
				p.until("!document.querySelector('[role=alert]').textContent")
			}
			p.succeed(first)
			token := read[string](p, "document.querySelector('.token .raw').textContent")
			if len(token) < 40 {
				t.Errorf("the token shown is %q", token)
			}
			if d.Token.Format == "jwt" {
				if claims := read[string](p, "document.querySelector('.token').textContent"); !strings.Contains(claims, "iat") || !strings.Contains(claims, "alg") {
					t.Errorf("the token is not taken apart: %s", claims)
				}
			}
			if !d.Token.Permanent {
				left := "Number(document.querySelector('[data-left]').dataset.left)"
				before := read[float64](p, left)
				if life := d.Token.Life.Seconds(); before > life || before < life-60*patience.Minutes()-60 {
					t.Errorf("%v seconds are left of %v", before, life)
				}
				p.until(fmt.Sprintf("%s < %v", left, before))
			}
			p.succeed("use")
			if d.Operation(dialect.Validate) != nil {
				p.succeed("validate")
			}
			if d.Operation(dialect.Refresh) != nil {
				p.succeed("refresh")
				if read[string](p, "document.querySelector('.token .raw').textContent") == token {
					t.Error("a refresh left the old token there")
				}
			}
			for _, end := range []dialect.OperationName{dialect.Revoke, dialect.Delink} {
				if d.Operation(end) != nil {
					p.succeed(string(end))
					p.refused("use", "revoked")
				}
			}

			// As on the wire, secrets covered until they are asked for.
			wire := read[string](p, "document.querySelector('.wire').textContent")
			for _, want := range []string{"HTTP/1.1 200", "Host: ", "gatehouse-request-id"} {
				if !strings.Contains(wire, want) {
					t.Errorf("the wire doesn't show %q", want)
				}
			}
			if strings.Contains(wire, client.ClientSecret) {
				t.Error("the secret is shown unasked")
			}
			if d.Name != "oauth2" { // Basic shows it in base64
				p.do(chromedp.Click(chromedp.CSS("#reveal")))
				p.until("document.querySelector('.wire').textContent.includes(" + fmt.Sprintf("%q", client.ClientSecret) + ")")
				p.do(chromedp.Click(chromedp.CSS("#reveal")))
			}
			if kept := read[int](p, "localStorage.length + sessionStorage.length + document.cookie.length"); kept != 0 {
				t.Errorf("something was stored")
			}
			if url := read[string](p, "location.href"); url != s.url+"/docs/"+d.Name {
				t.Errorf("the address has become %s", url)
			}

			p.accessible("light")
			p.fits("desktop")
			p.shoot(d.Name+"-walked", "#playground")
			// The rest is the same style sheet on every page.
			if !d.Token.Permanent && os.Getenv("GATEHOUSE_SOAK") == "" {
				p.quiet()
				return
			}
			p.shoot(d.Name+"-operation", ".op")
			p.shoot(d.Name+"-life", "#lifecycle")
			p.shoot(d.Name+"-errors", "#errors")
			p.dark(true)
			p.accessible("dark")
			p.shoot(d.Name+"-dark", "#playground")
			p.dark(false)
			p.do(chromedp.EmulateViewport(390, 844))
			p.fits("phone")
			p.accessible("phone")
			for _, part := range []string{"body", ".op", "#lifecycle", "#errors", "#playground", ".wire"} {
				p.shoot(d.Name+"-phone-"+strings.Trim(part, ".#"), part)
			}
			p.quiet()
		})
	}
}

// A cost is what a page takes: bytes of it and of all that it loads, and
// milliseconds to the first contentful paint.
type cost struct{ Bytes, Paint float64 }

func (p *tab) cost() cost {
	p.t.Helper()
	return read[cost](p, `({Bytes: performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource')).reduce((sum, e) => sum + e.transferSize, 0),
		Paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1})`)
}

// The page by keyboard alone, its weight, and how soon it is there.
func TestPage(t *testing.T) {
	s := dev(t)
	browser := browse(t)
	p := browser.open(t, s.url+"/docs/quidkey")
	p.until("document.querySelector('#stage .step')")

	p.do(chromedp.KeyEvent(kb.Tab))
	if at := read[string](p, "document.activeElement.className"); at != "skip" {
		t.Errorf("the first stop of the keyboard is %q", at)
	}
	read[bool](p, "document.getElementById('issue-tab-sh').focus(), true")
	for _, key := range []struct{ press, at string }{{kb.ArrowRight, "go"}, {kb.ArrowRight, "python"}, {kb.End, "js"}, {kb.ArrowRight, "sh"}, {kb.ArrowLeft, "js"}} {
		p.do(chromedp.KeyEvent(key.press))
		if at := read[string](p, "document.activeElement.id"); at != "issue-tab-"+key.at {
			t.Errorf("the keyboard is at %s, want %s", at, key.at)
		}
	}
	// A language is chosen everywhere at once.
	if shown := read[string](p, "[...document.querySelectorAll('[role=tabpanel]:not([hidden])')].map(e => e.id.split('-')[1]).filter((l, i, all) => all.indexOf(l) === i).join()"); shown != "js" {
		t.Errorf("programs are shown in %s", shown)
	}
	// The keyboard can't be caught: from the first field of the playground to the footer.
	read[bool](p, "document.getElementById('field-client_id').focus(), true")
	for range 3 {
		p.do(chromedp.KeyEvent(kb.Tab))
	}
	if at := read[string](p, "document.activeElement.tagName"); at == "BODY" {
		t.Errorf("the keyboard is lost")
	}

	c := p.cost()
	best := c.Paint
	if _, err := chromedp.Call(p, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}); err != nil {
		t.Fatal(err)
	}
	for range 5 { // the first load also waits for the browser itself to wake up
		p.do(chromedp.Navigate(s.url + "/docs/quidkey"))
		p.until("document.querySelector('#stage .step') && performance.getEntriesByName('first-contentful-paint').length")
		best = min(best, p.cost().Paint)
	}
	c.Paint = best
	t.Logf("%.0f bytes on the wire, first paint after %.0f ms", c.Bytes, c.Paint)
	if c.Bytes > 60<<10 || c.Bytes < 5<<10 {
		t.Errorf("%.0f bytes are on the wire", c.Bytes)
	}
	// A machine that does other things meanwhile says nothing about the page.
	if c.Paint > 200 && os.Getenv("GATEHOUSE_SOAK") != "" {
		t.Errorf("the first paint comes after %.0f ms", c.Paint)
	}
	p.quiet()

	index := browser.open(t, s.url+"/docs/")
	index.accessible("index")
	index.shoot("index", "body")
	if n := read[int](index, "document.querySelectorAll('.cards a').length"); n != 6 {
		t.Errorf("the index lists %d", n)
	}
	index.quiet()
}

// Nothing foreign gets into a page: its policy holds against script, style and
// address. What the console says of it is the browser's report.
func TestPolicy(t *testing.T) {
	s := dev(t)
	p := browse(t).open(t, s.url+"/docs/su")
	for what, attempt := range map[string]string{
		"an inline script": `(() => { const s = document.createElement('script'); try { s.textContent = 'window.owned = 1'; document.head.append(s); } catch {} return window.owned === undefined; })()`,
		"a style sheet":    `(() => { const s = document.createElement('style'); s.textContent = 'body { display: none }'; document.head.append(s); return getComputedStyle(document.body).display !== 'none'; })()`,
		"markup":           `(() => { try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.owned = 1">'); return false; } catch { return true; } })()`,
		"another address":  `fetch('http://127.0.0.1:1/').then(() => false, () => true)`,
	} {
		if !read[bool](p, attempt) {
			t.Errorf("%s gets in", what)
		}
	}
}

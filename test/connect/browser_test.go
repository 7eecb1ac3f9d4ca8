package connect_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait: on a busy machine a page may take its time.
const patience = 2 * time.Minute

// A tab is a page of the browser, or a frame in one.
type tab struct {
	*server
	t   *testing.T
	ctx context.Context
}

// tab opens one with cookies of its own.
func (s *server) tab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(s.browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := (&tab{s, t, ctx}).attach()
	b.do(chromedp.EmulateViewport(1000, 900))
	return b
}

// other is another target of the same browser: a pop-up, or a frame.
func (b *tab) other(id target.ID) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
	b.t.Cleanup(cancel)
	return (&tab{b.server, b.t, ctx}).attach()
}

// attach opens the target, which lives as long as the context that it is first
// used with.
func (b *tab) attach() *tab {
	b.t.Helper()
	if err := chromedp.Do(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.text())
	}
}

func run[T any](b *tab, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *tab) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// back is the button. The page that comes may be one that the browser has kept.
func (b *tab) back() {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	b.wait(`location.pathname.startsWith('/connect/')`)
}

// wait returns once a JavaScript condition holds, on whatever page that is.
func (b *tab) wait(condition string) {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.readyState === 'complete' && !!(`+condition+`)`))
		cancel()
		if err == nil && ok { // an error is a page that is just going
			return
		}
	}
	b.t.Fatalf("this never came: %s\n%s", condition, b.text())
}

// text is what the page says, for messages.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	s, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + '\n' + document.body.innerText`))
	return s
}

func (b *tab) says(text string) {
	b.t.Helper()
	b.wait(`document.body.innerText.includes(` + quoted(text) + `)`)
}

func quoted(s string) string { return strconv.Quote(s) }

// click clicks on what the selector finds, once it is there.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.wait(`document.querySelector(` + quoted(selector) + `)`)
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

func (b *tab) enter(selector, text string) {
	b.t.Helper()
	b.wait(`document.querySelector(` + quoted(selector) + `)`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector(`+quoted(selector)+`).value = ''`), chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (b *tab) signIn(u user) {
	b.t.Helper()
	b.enter("#name", u.Name)
	b.enter("#password", u.Password)
	b.click(`form[action$="/sign-in"] button`)
}

func (b *tab) decide(decision string) {
	b.t.Helper()
	b.click(`button[value="` + decision + `"]`)
}

// got is what came back to the app.
func (b *tab) got() string {
	b.t.Helper()
	b.wait(`document.querySelector('#got')`)
	return run(b, chromedp.Evaluate[string](`document.querySelector('#got').textContent`))
}

// shot keeps a picture of the page in test/output.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := filepath.Join("..", "output", "connect")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	png := run(b, chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// newTarget waits for a target that b's page opens, a pop-up or a frame of
// another site, whose URL begins so.
func (b *tab) newTarget(kind, url string) *tab {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all, err := chromedp.Targets(b.ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, info := range all {
			// Chromium attaches frames to their pages by itself.
			if string(info.Type) == kind && strings.HasPrefix(info.URL, url) && (kind == "iframe" || !info.Attached) {
				return b.other(info.TargetID)
			}
		}
	}
	b.t.Fatalf("no %s at %s was opened", kind, url)
	return nil
}

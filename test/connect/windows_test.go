package connect_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// opened is the app's page, ready to open the Connect page.
func (s *server) opened(t *testing.T, more string) *tab {
	t.Helper()
	b := s.tab(t)
	b.open(s.app.URL + "/app")
	b.wait(`document.body.dataset.ready`)
	if more != "" {
		b.do(chromedp.Evaluate[chromedp.Void](`window.more = ` + more))
	}
	return b
}

func (b *tab) result(want string) string {
	b.t.Helper()
	b.wait(`document.getElementById('result').textContent.startsWith(` + quoted(want) + `)`)
	return run(b, chromedp.Evaluate[string](`document.getElementById('result').textContent`))
}

func TestPopup(t *testing.T) {
	s := dev(t)
	opener := s.opened(t, "")
	opener.click("#popup")
	popup := opener.newTarget("page", s.url+"/connect/")
	popup.says("to connect Piggy Bank")
	popup.shot("pop-up")
	popup.signIn(s.users[0])
	popup.says("Connect Piggy Bank?")
	popup.decide("allow")
	result := opener.result("result ")
	for _, member := range []string{"accessCode", "connectionID", "userSecret", "userID", "tokenID"} {
		if !strings.Contains(result, `"`+member+`":"`) {
			t.Errorf("the app got no %s: %s", member, result)
		}
	}
	if got := run(opener, chromedp.Evaluate[string](`heard.join(' ')`)); got != s.url {
		t.Errorf("messages came from %q", got)
	}

	// The session of the window is good for the next one; this time the user refuses.
	opener.do(chromedp.Evaluate[chromedp.Void](`document.getElementById('result').textContent = ''`))
	opener.click("#popup")
	popup = opener.newTarget("page", s.url+"/connect/")
	popup.decide("deny")
	opener.result("error access_denied")

	// A window that the user closes is no answer.
	opener.do(chromedp.Evaluate[chromedp.Void](`document.getElementById('result').textContent = ''`))
	opener.click("#popup")
	popup = opener.newTarget("page", s.url+"/connect/")
	popup.says("Connect Piggy Bank?")
	if err := chromedp.Cancel(popup.ctx); err != nil {
		t.Fatal(err)
	}
	opener.result("error closed")
}

// The same page for standard OAuth 2.0: the code comes by message.
func TestPopupOfStandardClient(t *testing.T) {
	s := dev(t)
	opener := s.opened(t, `{url: `+quoted(s.app.authorize("response_mode", "web_message"))+`}`)
	opener.click("#popup")
	popup := opener.newTarget("page", s.url+"/connect/")
	popup.signIn(s.users[0])
	popup.decide("allow")
	result := opener.result("result ")
	if !strings.Contains(result, `"code":"`) || !strings.Contains(result, `"iss":"`+s.url+`/sandbox"`) || !strings.Contains(result, `"state":"state-1"`) {
		t.Errorf("the app got %s", result)
	}
}

func TestFrame(t *testing.T) {
	s := dev(t)
	opener := s.opened(t, "")
	opener.click("#frame")
	frame := opener.newTarget("iframe", s.url+"/connect/")
	frame.signIn(user{Name: s.users[0].Name, Password: "not my password"})
	frame.says("User name or password is wrong")
	frame.signIn(s.users[0])
	frame.says("Connect Piggy Bank?")
	opener.shot("frame")
	frame.decide("allow")
	if result := opener.result("result "); !strings.Contains(result, `"accessCode":"`) {
		t.Errorf("the app got %s", result)
	}
	opener.wait(`!document.querySelector('iframe')`)

	// Nothing of that stays in the browser.
	opener.open(s.url + "/connect/connections?environment=sandbox")
	opener.wait(`document.querySelector('#password')`)
}

// A page that is not of a registered origin can't show ours, nor can a registered
// one show more than was made for it.
func TestClickjacking(t *testing.T) {
	s := dev(t)
	framed := s.app.open("response_mode", "web_message", "origin", s.app.URL, "display", "frame")
	for name, x := range map[string]struct {
		from, shows string
		blocked     bool
	}{
		"registered":           {s.app.URL, framed, false},
		"not registered":       {s.app.stranger.URL, framed, true},
		"not made for a frame": {s.app.URL, s.app.open("response_mode", "web_message", "origin", s.app.URL), true},
		"by redirect":          {s.app.URL, s.app.authorize(), true},
		"connections":          {s.app.URL, s.url + "/connect/connections?environment=sandbox", true},
		"problem":              {s.app.URL, s.url + "/connect/open", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.tab(t)
			b.open(x.from + "/frames?url=" + url.QueryEscape(x.shows))
			b.wait(`document.querySelector('iframe')`)
			if got := b.framed(); got == x.blocked {
				t.Errorf("shown %v", got)
			}
		})
	}
}

// framed reports whether the page's frame shows one of the server's pages; what
// was blocked is a page of the browser's own.
func (b *tab) framed() bool {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		tree, err := chromedp.Call(b.ctx, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, child := range tree.FrameTree.ChildFrames {
			if strings.HasPrefix(child.Frame.URL, "chrome-error://") {
				return false
			}
		}
		all, err := chromedp.Targets(b.ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, info := range all {
			if info.Type != "iframe" {
				continue
			}
			frame := b.other(info.TargetID)
			at := run(frame, chromedp.Evaluate[string](`location.href + ' ' + document.readyState + ' ' + document.querySelectorAll('h1').length`))
			switch {
			case strings.HasPrefix(at, "chrome-error://"):
				return false
			case strings.HasPrefix(at, b.url) && strings.HasSuffix(at, "complete 1"):
				return true
			}
		}
	}
	b.t.Fatal("the frame showed nothing")
	return false
}

// Another site's form can sign nobody in.
func TestForeignForm(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.open(s.url + "/connect/connections?environment=sandbox")
	b.wait(`document.querySelector('#password')`)
	b.open(s.app.URL + "/posts?url=" + url.QueryEscape(s.url+"/connect/sign-in"))
	b.click("button")
	b.says("Another site has sent this form")
	b.open(s.url + "/connect/connections?environment=sandbox")
	b.wait(`document.querySelector('#password')`)
}

package connect_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// exchange gives the app's token for what came back to it.
func (b *tab) exchange(got string) (token string) {
	b.t.Helper()
	v, err := url.ParseQuery(got)
	if err != nil || v.Get("state") != "state-1" || v.Get("iss") != b.url+"/sandbox" {
		b.t.Fatalf("the app got %s", got)
	}
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	status := b.post(b.t, "/oauth2/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {v.Get("code")}, "redirect_uri": {b.app.URL + "/back"}, "code_verifier": {verifier},
		"client_id": {b.app.standard.id}, "client_secret": {b.app.standard.secret},
	}, &answer)
	if status != 200 {
		b.t.Fatalf("exchange: %d %s", status, answer.Error)
	}
	return answer.Token
}

// active asks the server whether a token of the app is good.
func (b *tab) active(token string) bool {
	b.t.Helper()
	var answer struct {
		Active bool `json:"active"`
	}
	b.post(b.t, "/oauth2/introspect", url.Values{"token": {token}, "client_id": {b.app.standard.id}, "client_secret": {b.app.standard.secret}}, &answer)
	return answer.Active
}

func TestSignInAndConsent(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.open(s.app.authorize())
	b.says("to connect Budget Buddy")
	b.says("Sandbox.")
	b.shot("sign-in")
	b.signIn(user{Name: s.users[0].Name, Password: "not my password"})
	b.says("User name or password is wrong")
	b.shot("wrong-password")
	b.signIn(s.users[0])
	b.says("Connect Budget Buddy?")
	b.says("accounts:read")
	b.shot("consent")
	b.decide("allow")
	token := b.exchange(b.got())
	if !b.active(token) {
		t.Fatal("the token is not good")
	}

	// Back: the browser may have kept the form, but it does nothing any more.
	b.back()
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('[value=allow]')?.click()`))
	b.says("expired or is finished")
	b.shot("finished")

	// The user ends it, and the token with it.
	b.open(s.url + "/connect/connections?environment=sandbox")
	b.says("Budget Buddy")
	b.shot("connections")
	b.click(`button.danger`)
	b.says("The connection has ended")
	if b.active(token) {
		t.Error("a token outlived its connection")
	}
	b.click(`form[action$="/sign-out"] button`)
	b.wait(`document.querySelector('#password')`)
}

func TestRefusal(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.open(s.app.authorize())
	b.signIn(s.users[0])
	b.decide("deny")
	if got := b.got(); !strings.Contains(got, "error=access_denied") || strings.Contains(got, "code=") {
		t.Errorf("the app got %s", got)
	}
	// Somebody else signs in for the next one.
	b.open(s.app.authorize())
	b.says(s.users[0].Name)
	b.click(`form[action$="/sign-out"] button`)
	b.signIn(s.users[1])
	b.says(s.users[1].Name)
}

// The keyboard alone is enough, and what has the focus can be seen.
func TestKeyboard(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.open(s.app.authorize())
	b.wait(`document.activeElement.id === 'name'`)
	b.do(chromedp.KeyEvent(s.users[0].Name), chromedp.KeyEvent(kb.Tab))
	b.wait(`document.activeElement.id === 'password'`)
	b.do(chromedp.KeyEvent(s.users[0].Password), chromedp.KeyEvent(kb.Enter))
	b.says("Connect Budget Buddy?")
	b.do(chromedp.KeyEvent(kb.Tab))
	b.wait(`document.activeElement.value === 'allow'`)
	b.wait(`getComputedStyle(document.activeElement).outlineStyle !== 'none' && parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`)
	b.shot("focus")
	b.do(chromedp.KeyEvent(kb.Tab))
	b.wait(`document.activeElement.value === 'deny'`)
	b.do(chromedp.KeyEvent(kb.Enter))
	if got := b.got(); !strings.Contains(got, "error=access_denied") {
		t.Errorf("the app got %s", got)
	}
}

// On a phone nothing is cut off, and what is touched is large enough.
func TestPhone(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	fits := func() {
		t.Helper()
		b.wait(`document.documentElement.scrollWidth <= 360`)
		b.wait(`[...document.querySelectorAll('main button:not([hidden]), main input:not([type=hidden])')].filter((e) => e.offsetParent).every((e) => e.getBoundingClientRect().height >= 40)`)
	}
	b.open(s.app.authorize("ui_locales", "de"))
	b.says("um Budget Buddy zu verbinden")
	fits()
	b.shot("phone-sign-in")
	b.signIn(s.users[0])
	b.says("Budget Buddy verbinden?")
	fits()
	b.shot("phone-consent")
	b.decide("allow")
	b.exchange(b.got())
	b.open(s.url + "/connect/connections?environment=sandbox")
	b.says("Budget Buddy")
	fits()
	b.shot("phone-connections")
}

// A session that ends while the user thinks is asked for again, and nothing is
// done meanwhile.
func TestSessionEndsMeanwhile(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.open(s.app.authorize())
	b.signIn(s.users[0])
	b.says("Connect Budget Buddy?")
	b.forgetCookies()
	b.decide("allow")
	b.says("keeps no cookies")
	b.shot("no-cookies")
	b.back()
	b.do(chromedp.Reload())
	b.wait(`document.querySelector('#password')`) // the request itself is still good
	b.signIn(s.users[0])
	b.decide("allow")
	b.exchange(b.got())
}

// forgetCookies is what happens to a browser's cookies when they expire.
func (b *tab) forgetCookies() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		b.t.Fatal(err)
	}
}

// A client of a dialect is handed its message by a form.
func TestMessageByForm(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	b.open(s.app.open())
	b.signIn(s.users[0])
	b.says("Connect Piggy Bank?")
	b.decide("allow")
	got, err := url.ParseQuery(b.got())
	if err != nil || got.Get("state") != "state-1" || len(got) != 7 {
		t.Errorf("the app got %v", got)
	}
	if at := run(b, chromedp.Location()); strings.ContainsAny(at, "?#") {
		t.Errorf("something of it stands in the URL: %s", at)
	}
}

package connect_test

import (
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A user adds a passkey, and signs in with it alone.
func TestPasskey(t *testing.T) {
	s := dev(t)
	b := s.tab(t)
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}}); err != nil {
		t.Fatal(err)
	}
	b.open(s.url + "/connect/connections?environment=sandbox")
	b.signIn(s.users[1])
	b.click("#register button")
	b.says("The passkey is added")
	b.click(`form[action$="/sign-out"] button`)
	b.wait(`document.querySelector('#password')`)

	b.open(s.app.authorize())
	b.click("#passkey button")
	b.says("Connect Budget Buddy?")
	b.says(s.users[1].Name)
	b.decide("allow")
	b.exchange(b.got())

	// Who cancels is told so, and can go on with the password.
	b.forgetCookies()
	b.open(s.app.authorize())
	b.do(chromedp.Evaluate[chromedp.Void](`navigator.credentials.get = () => Promise.reject(new Error('cancelled'))`))
	b.click("#passkey button")
	b.says("The passkey was not accepted")
}

package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// connectPages makes the pages on which end users sign in and agree.
func (n *Node) connectPages() (*connect.Pages, error) {
	return connect.New(connect.Config{
		Engine: n.engine, Documents: n.store, Identity: n.identity, Dialects: n.Dialects,
		Limits: n.settings.Limits, Demo: n.demoApps, Logger: n.log,
	})
}

// ConnectDemo is a URL that opens Connect for a demo client of dev, or "" where
// its clients have no end users, or it isn't of the sandbox, where those are.
func (n *Node) ConnectDemo(c DemoClient) string {
	if _, ok := n.demoApps[c.Dialect]; !ok || c.Environment != string(gatehouse.Sandbox) {
		return ""
	}
	return n.URL() + connect.DemoPath + "/" + c.Dialect
}

// addDemoApp lets dev's own page stand in for the app of a demo client.
func (n *Node) addDemoApp(ctx context.Context, d *dialect.Dialect, c *gatehouse.Client, shown DemoClient) error {
	if shown.Environment != string(gatehouse.Sandbox) || d != nil && (d.Operation(dialect.Connect) == nil || d.Operation(dialect.Exchange) == nil) {
		return nil
	}
	back := n.URL() + connect.DemoPath
	if err := n.allowDemoPage(ctx, c, back); err != nil {
		return err
	}
	app := standardDemo(n.URL(), back, shown)
	if d != nil {
		var err error
		if app, err = dialectDemo(n.URL(), back, d, c, shown); err != nil {
			return err
		}
	}
	if n.demoApps == nil {
		n.demoApps = map[string]connect.DemoApp{}
	}
	n.demoApps[shown.Dialect] = app
	return nil
}

// standardDemo is code and PKCE (RFC 7636).
func standardDemo(base, back string, c DemoClient) connect.DemoApp {
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {back}, "scope": {strings.Join(c.Scopes, " ")}, "state": {c.Dialect},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	return connect.DemoApp{
		URL: base + "/oauth2/authorize?" + q.Encode(),
		Then: fmt.Sprintf("curl -s -u %s:%s -d grant_type=authorization_code -d code={code} -d redirect_uri=%s -d code_verifier=%s %s/oauth2/token",
			c.ClientID, c.ClientSecret.Reveal(), back, verifier, base),
	}
}

// dialectDemo is the exchange of the dialect's access code.
func dialectDemo(base, back string, d *dialect.Dialect, c *gatehouse.Client, shown DemoClient) (connect.DemoApp, error) {
	q := url.Values{"client_id": {shown.ClientID}, "response_mode": {string(connect.ModeFormPost)}, "redirect_uri": {back}, "state": {shown.Dialect}}
	app := connect.DemoApp{URL: base + "/connect/open?" + q.Encode()}
	names, err := connect.MessageNames(d)
	if err != nil {
		return app, err
	}
	id, _ := c.WireID(gatehouse.Sandbox)
	v := dialect.NewValues(4)
	v.SetText(dialect.ClientID, string(id))
	v.SetSecret(dialect.ClientSecret, shown.ClientSecret.Text)
	v.SetSecret(dialect.AccessCode, secret.New("{"+names[dialect.AccessCode]+"}"))
	v.SetText(dialect.ConnectionID, "{"+names[dialect.ConnectionID]+"}")
	app.Then, err = d.Operation(dialect.Exchange).Curl(base, v)
	return app, err
}

// allowDemoPage makes uri one of the client's redirect URIs in the sandbox, in
// place of one of an earlier start on another port.
func (n *Node) allowDemoPage(ctx context.Context, c *gatehouse.Client, uri string) error {
	env := gatehouse.Sandbox
	if slices.Contains(c.RedirectURIs[env], uri) {
		return nil
	}
	kept := slices.DeleteFunc(slices.Clone(c.RedirectURIs[env]), func(old string) bool { return strings.HasSuffix(old, connect.DemoPath) })
	_, err := n.engine.UpdateClient(ctx, gatehouse.System("dev"), c.ID, gatehouse.ClientUpdate{
		RedirectURIs: map[gatehouse.Environment][]string{env: append(kept, uri)},
	})
	return err
}

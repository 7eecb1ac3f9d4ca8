package gatehouse

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what a client may register in one environment.
const (
	maxRedirectURIs = 20
	maxRedirectURI  = 2000 // bytes
)

// RedirectTo returns the environment in which the client has registered
// exactly this redirect URI (RFC 9700 §2.1). No URI is registered in two.
func (c *Client) RedirectTo(uri string) (env Environment, ok bool) {
	return registeredIn(c.RedirectURIs, uri)
}

// OriginIn returns the environment in which the client has registered this
// origin.
func (c *Client) OriginIn(origin string) (env Environment, ok bool) {
	return registeredIn(c.Origins, origin)
}

func registeredIn(all map[Environment][]string, one string) (Environment, bool) {
	for _, env := range Environments {
		if slices.Contains(all[env], one) {
			return env, true
		}
	}
	return "", false
}

// checkRedirects holds redirect URIs and origins to their forms.
func checkRedirects(c *Client, policy *Policy) error {
	if len(c.RedirectURIs)+len(c.Origins) > 0 && policy.CodeLife == 0 {
		return wrongField("redirect_uris", fmt.Sprintf("clients of %s have no end users: their dialect has no exchange of access codes", c.Dialect))
	}
	if err := checkRegistered(c, "redirect_uris", c.RedirectURIs, checkRedirectURI); err != nil {
		return err
	}
	return checkRegistered(c, "origins", c.Origins, checkOrigin)
}

func checkRegistered(c *Client, field string, all map[Environment][]string, check func(string) error) error {
	seen := map[string]Environment{}
	for _, env := range slices.Sorted(maps.Keys(all)) {
		if _, ok := c.IDs[env]; !ok && len(c.IDs) > 0 {
			return wrongField(field, fmt.Sprintf("the client has no environment %q", env))
		}
		if len(all[env]) > maxRedirectURIs {
			return wrongField(field, fmt.Sprintf("at most %d in one environment", maxRedirectURIs))
		}
		for _, one := range all[env] {
			if other, twice := seen[one]; twice && other != env {
				return wrongField(field, fmt.Sprintf("%s is registered in %s: one of %s names it, so that nobody can be sent from one to the other", one, other, env))
			} else if twice {
				return wrongField(field, one+" is given twice")
			}
			seen[one] = env
			if err := check(one); err != nil {
				return wrongField(field, err.Error())
			}
		}
	}
	return nil
}

// checkRedirectURI accepts HTTPS, HTTP to this machine itself, and an app's own
// scheme, which has a dot (RFC 8252 §7.1): so javascript: and its like are none.
func checkRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > maxRedirectURI || !plainASCII(uri):
		return fmt.Errorf("%.200q is not a URI", uri)
	case strings.Contains(uri, "#"):
		return fmt.Errorf("%s: a redirect URI has no fragment", uri)
	case u.User != nil:
		return fmt.Errorf("%s: a redirect URI holds no credentials", uri)
	case strings.Contains(u.Scheme, "."):
		return nil
	}
	if !onWeb(u) {
		return fmt.Errorf("%s: a redirect URI is https://…, http:// to loopback, or of an app's own scheme such as com.example.app:/back", uri)
	}
	return nil
}

// checkOrigin accepts the origin of a page as browsers write it (RFC 6454 §6.2).
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || len(origin) > maxRedirectURI || !plainASCII(origin) || !onWeb(u) ||
		origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) ||
		u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("%.200q is not an origin: write it as browsers do, such as https://app.example or http://localhost:3000", origin)
	}
	return nil
}

// onWeb reports whether a browser reaches u without others reading along.
func onWeb(u *url.URL) bool {
	switch {
	case u.Opaque != "" || u.Hostname() == "" || strings.ContainsAny(u.Host, `*"'\;,`):
		return false
	case u.Scheme == "https":
		return true
	}
	a, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && a.IsLoopback())
}

func plainASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>\^`+"`{|}", r) })
}

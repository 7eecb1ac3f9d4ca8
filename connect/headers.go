package connect

import (
	"net/http"
	"net/url"
	"strings"
)

// setHeaders sets what holds for every answer. Nothing here may be framed, kept
// by a cache or told to the next site.
func setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("X-Robots-Tag", "noindex")
}

// allow is what a page may do beyond showing itself.
type allow struct {
	frame string // the origin that may frame it, "" is none
	// leaves is the URI that its form may lead to in the end. Browsers hold
	// the redirects after a form to the page's policy, those of the app's own
	// site too, so that the whole of its scheme is let through.
	leaves string
}

// setPagePolicy lets a page load what is ours, and do what a says.
func setPagePolicy(h http.Header, a allow) {
	forms := "'self'"
	if scheme, _, ok := strings.Cut(a.leaves, ":"); ok {
		forms += " https:"
		if scheme != "https" {
			forms += " " + scheme + ":"
		}
	}
	ancestors := "'none'"
	if a.frame != "" {
		ancestors = a.frame
		h.Del("X-Frame-Options") // it can't name an origin; the policy does
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'"+
		"; form-action "+forms+"; frame-ancestors "+ancestors)
}

// OriginOf is the origin of a URI on the web, or "".
func OriginOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

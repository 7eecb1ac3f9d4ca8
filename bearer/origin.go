package bearer

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// A place is an origin and a path: where tokens belong.
type place struct {
	scheme, host string // the host with its port, in lower case
	written      string // the host as the base URL has it
	path         string // without a slash at its end
}

// parseBase reads a base URL. Tokens and secrets travel by HTTPS, or inside
// this machine.
func parseBase(what, s string) (place, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return place{}, fmt.Errorf("the %s can't be read: write it like https://api.example.com", what)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return place{}, fmt.Errorf("the %s must be a whole URL, like https://api.example.com", what)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return place{}, fmt.Errorf("the %s must have no user, query or fragment", what)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return place{}, fmt.Errorf("the %s is plain HTTP, which carries tokens to loopback only: use https", what)
	case leaves(u.EscapedPath()):
		return place{}, fmt.Errorf("the %s has dot segments in its path: write the path that they lead to", what)
	}
	return place{u.Scheme, hostPort(u), u.Host, strings.TrimRight(u.EscapedPath(), "/")}, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

// covers reports whether a URL is at or below the place, however its path is
// read.
func (p place) covers(u *url.URL) bool {
	if u.Scheme != p.scheme || u.Host != p.written && hostPort(u) != p.host {
		return false
	}
	path := u.EscapedPath()
	below, ok := strings.CutPrefix(path, p.path)
	return ok && (below == "" || below[0] == '/') && !leaves(path)
}

// leaves reports whether a path has dot segments for any reader: servers
// differ in how often they decode and in what they take for a slash.
func leaves(path string) bool {
	for strings.ContainsAny(path, ".%") { // without either there is nothing to see
		for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			// A reader may cut a segment's parameters off first.
			name, _, _ := strings.Cut(segment, ";")
			if name == "." || name == ".." {
				return true
			}
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return strings.Contains(strings.ToLower(path), "%2e")
		}
		if decoded == path {
			return false
		}
		path = decoded
	}
	return false
}

var baseHole = regexp.MustCompile(`\{extra\.([A-Za-z0-9_-]+)\}`)

// hostPart is what may stand for a hole in the midst of a base URL: nothing
// that could end the host.
var hostPart = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// base fills the holes of BaseURL from the token's extras and the settings.
func (c *Config) base(t *Token) (string, error) {
	var missing error
	filled := baseHole.ReplaceAllStringFunc(c.BaseURL, func(hole string) string {
		name := hole[len("{extra.") : len(hole)-1]
		value, ok := t.Extra[name]
		if !ok {
			value, ok = c.Fields[name]
		}
		switch {
		case !ok:
			missing = fmt.Errorf("base URL: the token came without %s", hole)
		case hole != c.BaseURL && !hostPart.MatchString(value):
			missing = fmt.Errorf("base URL: what came for %s can't be part of a host", hole)
		}
		return value
	})
	return filled, missing
}

// Covers reports whether a URL is at or below a base URL that BaseURL gave, on
// the same origin, for every reader of its path: one with dot segments, in
// whatever encoding, is not.
func (s *Source) Covers(base string, u *url.URL) bool {
	if base == s.config.BaseURL {
		return s.place.covers(u)
	}
	p, err := parseBase("base URL", base)
	return err == nil && p.covers(u)
}

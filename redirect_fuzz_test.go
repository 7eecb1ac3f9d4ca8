package gatehouse

import (
	"net/url"
	"strings"
	"testing"
)

// What passes as a redirect URI or an origin leads where it says, and nowhere that
// others read along.
func FuzzRedirectURI(f *testing.F) {
	for _, s := range []string{"https://app.example/back?x=1", "http://127.0.0.1:8000/", "com.example.app:/back", "javascript:alert(1)", "https://a@b/", "http://[::1]", "https://app.example\\@evil.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkRedirectURI(s) == nil {
			u, err := url.Parse(s)
			if err != nil || u.Fragment != "" || u.User != nil || strings.ContainsAny(s, "\\\"'<> \r\n\t#\x00") && !strings.Contains(s, "'") {
				t.Errorf("%q passes", s)
			}
			if u.Scheme != "https" && !strings.Contains(u.Scheme, ".") && !onWeb(u) {
				t.Errorf("%q passes", s)
			}
		}
		if checkOrigin(s) == nil {
			u, err := url.Parse(s)
			if err != nil || s != u.Scheme+"://"+u.Host || strings.ContainsAny(s, " ;,*'\"\\") {
				t.Errorf("%q is an origin", s) // it stands in a Content-Security-Policy
			}
		}
	})
}

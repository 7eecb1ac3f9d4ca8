package httpd

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestInsecure(t *testing.T) {
	h := func(pairs ...string) http.Header {
		out := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			out.Add(pairs[i], pairs[i+1])
		}
		return out
	}
	for _, c := range []struct {
		name    string
		dev     bool
		proxies []netip.Prefix
		peer    string
		tls     bool
		header  http.Header
		want    bool
	}{
		{"TLS from anywhere", false, nil, "203.0.113.9:4", true, nil, true},
		{"plain from elsewhere", false, nil, "203.0.113.9:4", false, nil, false},
		{"plain from elsewhere, dev", true, nil, "203.0.113.9:4", false, nil, false},
		{"claims HTTPS itself", false, nil, "203.0.113.9:4", false, h("X-Forwarded-Proto", "https"), false},
		{"claims HTTPS itself, dev", true, nil, "203.0.113.9:4", false, h("X-Forwarded-Proto", "https"), false},
		{"another proxy is named", false, prefixes("10.0.0.0/8"), "203.0.113.9:4", false, h("X-Forwarded-Proto", "https"), false},
		{"named proxy says https", false, prefixes("10.0.0.0/8"), "10.1.2.3:4", false, h("X-Forwarded-Proto", "https"), true},
		{"named proxy says HTTPS", false, prefixes("10.0.0.0/8"), "10.1.2.3:4", false, h("X-Forwarded-Proto", "HTTPS"), true},
		{"named proxy as mapped address", false, prefixes("10.0.0.0/8"), "[::ffff:10.1.2.3]:4", false, h("X-Forwarded-Proto", "https"), true},
		{"named proxy says http", false, prefixes("10.0.0.0/8"), "10.1.2.3:4", false, h("X-Forwarded-Proto", "http"), false},
		{"named proxy says nothing", false, prefixes("10.0.0.0/8"), "10.1.2.3:4", false, nil, false},
		{"named proxy says both", false, prefixes("10.0.0.0/8"), "10.1.2.3:4", false, h("X-Forwarded-Proto", "https", "X-Forwarded-Proto", "http"), false},
		{"named proxy passes a list on", false, prefixes("10.0.0.0/8"), "10.1.2.3:4", false, h("X-Forwarded-Proto", "https, http"), false},
		{"loopback", false, nil, "127.0.0.1:4", false, nil, true},
		{"loopback 6", false, nil, "[::1]:4", false, nil, true},
		{"unnamed proxy on loopback", false, nil, "127.0.0.1:4", false, h("X-Forwarded-Proto", "https"), false},
		{"unnamed proxy on loopback, address only", false, nil, "127.0.0.1:4", false, h("X-Forwarded-For", "203.0.113.9"), false},
		{"unnamed proxy on loopback, RFC 7239", false, nil, "127.0.0.1:4", false, h("Forwarded", "proto=https"), false},
		{"unnamed proxy on loopback, dev", true, nil, "127.0.0.1:4", false, h("X-Forwarded-For", "203.0.113.9"), true},
		{"named proxy on loopback says https", false, prefixes("127.0.0.1/32"), "127.0.0.1:4", false, h("X-Forwarded-Proto", "https"), true},
		{"named proxy on loopback says http", false, prefixes("127.0.0.1/32"), "127.0.0.1:4", false, h("X-Forwarded-Proto", "http"), false},
		{"named loopback, direct", false, prefixes("127.0.0.1/32"), "127.0.0.1:4", false, nil, true},
		{"no address", false, nil, "@", false, nil, false},
	} {
		r := httptest.NewRequest("POST", "/oauth2/token", nil)
		r.RemoteAddr = c.peer
		if c.header != nil {
			r.Header = c.header
		}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		s := &Server{dev: c.dev, proxies: c.proxies}
		if got := s.insecure(&call{r: r, peer: peerOf(r)}); (got == "") != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestCallerAddress(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "127.0.0.1/32")
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"direct", "203.0.113.9:4", nil, "203.0.113.9"},
		{"untrusted peer lies", "203.0.113.9:4", []string{"198.51.100.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:4", []string{"198.51.100.1"}, "198.51.100.1"},
		{"caller's own entry is left of the proxy's", "10.0.0.1:4", []string{"192.0.2.66, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:4", []string{"192.0.2.66, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"over two lines", "10.0.0.1:4", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"with a port", "10.0.0.1:4", []string{"198.51.100.1:555"}, "198.51.100.1"},
		{"IPv6", "10.0.0.1:4", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", "10.0.0.1:4", []string{"[2001:db8::1]:5"}, "2001:db8::1"},
		{"rubbish stops the walk", "10.0.0.1:4", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1:4", []string{""}, "10.0.0.1"},
		{"only proxies", "127.0.0.1:4", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		s := &Server{proxies: trusted}
		if got := s.callerOf(peerOf(r), r); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEchoedRequestID(t *testing.T) {
	for id, want := range map[string]bool{"abc-123": true, "": false, "a b": false, "a\tb": false, "é": false, string(make([]byte, 129)): false} {
		if got := isEchoable(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}

func TestFreshness(t *testing.T) {
	for field, want := range map[string]bool{`"a"`: true, `W/"a"`: true, `"b", "a"`: true, `*`: true, `"b"`: false, ``: false, `a`: false} {
		if got := isFresh([]string{field}, `"a"`); got != want {
			t.Errorf("%s: %v", field, got)
		}
	}
}

// A call that goes back to its pool takes nothing of its request along.
func TestCallForgets(t *testing.T) {
	c := &call{body: []byte("secret"), id: "x", status: 200}
	body := c.body
	if refusal := c.form.read([]byte("client_secret=secret")); refusal != nil {
		t.Fatal(refusal)
	}
	c.free()
	if c.form.n != 0 || c.form.params[0] != (param{}) || string(body) == "secret" || len(c.body) != 0 || c.id != "" || c.status != 0 {
		t.Errorf("%+v", c)
	}
}

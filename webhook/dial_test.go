package webhook

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// Addresses that no message may go to, and some that it may.
func TestAddresses(t *testing.T) {
	s := New(Config{})
	for _, a := range []string{
		"127.0.0.1", "127.255.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8",
		"::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001:db8::1", "2002:7f00:1::1", "2001::1", "fe80::1%eth0",
	} {
		if err := s.mayDial("https", netip.MustParseAddr(a)); err == nil {
			t.Errorf("%s may be dialled", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"} {
		if err := s.mayDial("https", netip.MustParseAddr(a)); err != nil {
			t.Error(err)
		}
		if err := s.mayDial("http", netip.MustParseAddr(a)); err == nil {
			t.Errorf("%s may be dialled in plain HTTP", a)
		}
	}
	s = New(Config{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for a, want := range map[string]bool{"10.1.2.3": true, "fd00::1": true, "192.168.1.1": false, "127.0.0.1": false, "::ffff:10.1.2.3": false, "fe80::1": false} {
		for _, scheme := range []string{"http", "https"} {
			if err := s.mayDial(scheme, netip.MustParseAddr(a)); (err == nil) != want {
				t.Errorf("%s %s: %v", scheme, a, err)
			}
		}
	}
}

func TestURLs(t *testing.T) {
	f := newFixture(t)
	s := f.sender(func(c *Config) { c.Networks = nil })
	for _, u := range []string{
		"", "app.example.com", "http://app.example.com/x", "ftp://app.example.com", "https://", "https:///x", "https://user:pass@app.example.com",
		"https://app.example.com/#x", "https://app.example.com/a b", "https://127.0.0.1/x", "https://[::1]:8443/x", "https://169.254.169.254/latest/meta-data",
		"https://[::ffff:10.0.0.1]/", "javascript:alert(1)", "https://app.example.com/" + strings.Repeat("x", 2000), "https://app.example.com/\r\nHost: x",
	} {
		_, _, err := s.Create(t.Context(), operator, NewEndpoint{Client: f.client.Client.ID, Environment: gatehouse.Live, URL: u})
		if err == nil || gatehouse.AsError(err).Field != "url" {
			t.Errorf("%q: %v", u, err)
		}
	}
	for _, n := range []NewEndpoint{
		{Client: "nobody", Environment: gatehouse.Live, URL: "https://app.example.com"},
		{Client: f.client.Client.ID, URL: "https://app.example.com"},
		{Client: f.client.Client.ID, Environment: "test", URL: "https://app.example.com"},
		{Client: f.client.Client.ID, Environment: gatehouse.Live, URL: "https://app.example.com", Types: []string{"user.created"}},
	} {
		_, _, err := s.Create(t.Context(), operator, n)
		f.refused(err, gatehouse.InvalidRequest)
	}
	for i := range perClient {
		f.endpoint(s, gatehouse.Live, fmt.Sprint("https://app.example.com/", i))
	}
	_, _, err := s.Create(t.Context(), operator, NewEndpoint{Client: f.client.Client.ID, Environment: gatehouse.Live, URL: "https://app.example.com/more"})
	f.refused(err, gatehouse.Conflict)
}

// A name is looked at when a connection is made: what it resolves to then
// counts, and a proxy of the environment is not asked.
func TestNamesThatLeadInside(t *testing.T) {
	inside := newReceiver(t, nil)
	t.Setenv("HTTPS_PROXY", inside.URL)
	t.Setenv("HTTP_PROXY", inside.URL)
	f := newFixture(t)
	s := f.sender(func(c *Config) { c.Networks, c.waits = nil, []time.Duration{time.Hour} })
	port := inside.URL[strings.LastIndex(inside.URL, ":"):]
	ep, _ := f.endpoint(s, gatehouse.Live, "https://localhost"+port)
	f.run(s)
	f.link(gatehouse.Live, "alice")
	f.until("it says why", func() bool {
		shown, err := s.Endpoint(t.Context(), ep.ID)
		f.ok(err)
		return strings.Contains(shown.LastError, "not a public address")
	})
	if n := len(inside.messages()); n > 0 {
		t.Errorf("%d messages went inside", n)
	}
}

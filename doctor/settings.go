package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Settings are what a server runs by.
type Settings struct {
	Listen, AdminListen string // host:port
	Issuer              string // "" where it is the listener's own URL
	TLS                 bool   // the public listener has a certificate
	TrustedProxies      []netip.Prefix
	LagOpen             bool // goes on validating when it can't know what is revoked
	Unlimited           bool // no limits for issuing and for wrong secrets
	Dev                 bool // gatehouse dev: on loopback, for rehearsal
}

func examineSettings(d *Deployment) (out []Finding) {
	s := d.Settings
	if s == nil || s.Dev {
		return nil
	}
	if u, err := url.Parse(s.Issuer); s.Issuer != "" && err == nil && u.Scheme == "http" && !loopbackHost(u.Hostname()) {
		out = append(out, Finding{"issuer-plain-http", Error, fmt.Sprintf("the issuer %s is a plain HTTP address", s.Issuer),
			"callers send their secrets where anybody on the way can read them, and standard clients refuse such an issuer (RFC 8414, section 2)",
			"give the server an https address, by a proxy or by tls in the settings, and set issuer to it before tokens are issued"})
	}
	out = append(out, examineListeners(s)...)
	for _, p := range s.TrustedProxies {
		const wide = 8
		if p.Bits() < wide {
			out = append(out, Finding{"trusted-proxies-wide", Error, fmt.Sprintf("trusted_proxies holds %s, which is nearly everybody", p),
				"whoever is trusted says where a request came from and that it was HTTPS: limits and the refusal of plain HTTP can be talked round",
				"name the addresses of your proxies only, such as 10.0.3.7 or 10.0.3.0/28"})
		}
	}
	if s.LagOpen {
		out = append(out, Finding{"journal-on-lag-open", Warning, "journal.on_lag is open",
			"while the database can't be read, tokens that were revoked meanwhile go on passing",
			"set journal.on_lag to closed, unless you have decided that staying up matters more"})
	}
	if s.Unlimited {
		out = append(out, Finding{"limits-off", Warning, "limits are off",
			"secrets can be guessed at any speed, and one client can take the whole server",
			"run `gatehouse serve`, which has them on, or `gatehouse dev --limits`"})
	}
	return out
}

func examineListeners(s *Settings) (out []Finding) {
	if s.TLS {
		return nil
	}
	outside := !loopbackAddress(s.Listen)
	switch far := hasFarProxy(s.TrustedProxies); {
	case outside && len(s.TrustedProxies) == 0:
		out = append(out, Finding{"tls-missing", Error, fmt.Sprintf("the public listener %s has neither TLS nor a proxy in front that is trusted", s.Listen),
			"every request from another machine is refused, since its secrets came in the clear",
			"set tls.cert and tls.key (or tls.acme), or name the proxy that speaks HTTPS under trusted_proxies"})
	case outside && far:
		out = append(out, Finding{"tls-behind-proxy", Warning, fmt.Sprintf("the proxy in front reaches %s over plain HTTP, from another machine", s.Listen),
			"secrets and tokens travel in the clear between the two",
			"set tls.cert and tls.key here too, or keep that network to these machines (WireGuard, a private link)"})
	}
	if !loopbackAddress(s.AdminListen) {
		out = append(out, Finding{"admin-plain-http", Error, fmt.Sprintf("the admin listener %s is outside loopback without TLS", s.AdminListen),
			"the admin token would travel in the clear, so that every call from another machine is refused",
			"set admin_listen to 127.0.0.1:8081 and use the socket, or set tls.cert and tls.key"})
	}
	return out
}

func hasFarProxy(list []netip.Prefix) bool {
	for _, p := range list {
		if !p.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

func loopbackAddress(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	return err != nil || loopbackHost(host)
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

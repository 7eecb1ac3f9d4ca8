package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// guard makes the check of public addresses, by IANA's registers.
func guard(networks []netip.Prefix) *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, p := range networks {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

// mayDial refuses addresses that are not public, unless the settings name their
// network. Plain HTTP goes to the networks that are named alone.
func (s *Sender) mayDial(scheme string, a netip.Addr) error {
	if scheme == "http" {
		if !slices.ContainsFunc(s.networks, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return fmt.Errorf("plain http goes only to the networks that webhooks.networks names, and %s is in none", a)
		}
		return nil
	}
	if err := s.guard.SafeAddr(a); err != nil {
		return fmt.Errorf("%s is not a public address: name its network under webhooks.networks where messages may go there", a)
	}
	return nil
}

// client makes one that connects to addresses that may be dialled, whatever
// their name resolves to at that moment, follows no redirect and goes through no
// proxy, which would resolve the name again.
func (s *Sender) client(scheme string) *http.Client {
	dialer := &net.Dialer{
		Timeout: 5 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return s.mayDial(scheme, to.Addr())
		},
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConnsPerHost: 1, MaxIdleConns: 64, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 16 << 10, DisableCompression: true, TLSClientConfig: s.tls,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// withoutURL is what went wrong, without the address: it stands beside it.
func withoutURL(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		err = next
		if _, ok := err.(*net.OpError); ok {
			break
		}
	}
	return err
}

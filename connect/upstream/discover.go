package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// discoverPause is how long a failure to discover is answered again without
// asking, so that those who wait for one don't each wait for another.
const discoverPause = 2 * time.Second

// discover reads the provider's metadata, once.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil && (p.failed == nil || time.Since(p.failedAt) > discoverPause) {
		p.found, p.failed = p.ask(ctx)
		p.failedAt = time.Now()
	}
	return p.found, p.failed
}

func (p *Provider) ask(ctx context.Context) (*discovered, error) {
	// The key set is read by this context later: it must not end with this call.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.cfg.Issuer)
	if err != nil {
		return nil, p.unavailable(err)
	}
	var says struct {
		Iss     bool     `json:"authorization_response_iss_parameter_supported"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&says); err != nil {
		return nil, p.unavailable(err)
	}
	found := &discovered{
		endpoint: provider.Endpoint(), saysIss: says.Iss,
		verifier: provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}),
	}
	// Left to itself the client would try one way after the other, and so
	// present a code twice. RFC 8414 §2: none said is Basic.
	found.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.cfg.ClientSecret.IsZero() || len(says.Methods) > 0 && !slices.Contains(says.Methods, "client_secret_basic") {
		found.endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return found, nil
}

// What a provider may take and send.
const (
	answerTimeout = 10 * time.Second
	maxAnswer     = 1 << 20
)

// boundedClient asks a provider: soon, in few words, and nobody else.
func boundedClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &http.Client{
		Timeout:       answerTimeout,
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off that are too long to be one of these.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{resp.Body, maxAnswer}
	}
	return resp, err
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

var errTooLong = errors.New("the provider's answer is too long")

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

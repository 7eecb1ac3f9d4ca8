package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
)

// ACME says from which authority certificates are got (RFC 8555).
type ACME struct {
	Domains   []string // names that the certificates are for
	Email     string   // whom the authority may write to; may be empty
	Directory string   // the authority's URL
	Roots     *x509.CertPool
}

func parseACME(k *koanf.Koanf) (*ACME, error) {
	a := &ACME{
		Domains: k.Strings("tls.acme.domains"), Email: k.String("tls.acme.email"), Directory: k.String("tls.acme.directory"),
	}
	if len(a.Domains) == 0 {
		if k.Exists("tls.acme") {
			return nil, errors.New("tls.acme.domains: say which names the certificate is for, such as [auth.example.com]")
		}
		return nil, nil
	}
	for _, d := range a.Domains {
		if !strings.Contains(d, ".") || strings.ContainsAny(d, "*/: ") || d != strings.ToLower(d) {
			return nil, fmt.Errorf("tls.acme.domains: %q is no name that TLS-ALPN-01 can prove: write it like auth.example.com, without wildcard", d)
		}
	}
	if k.String("tls.acme.accept_terms") != "true" {
		return nil, errors.New("tls.acme.accept_terms: the authority issues to those who accept its terms of service: read them, and set this to true")
	}
	if a.Directory == "" {
		a.Directory = acme.LetsEncryptURL
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("tls.acme.directory: %q is no https URL of an ACME directory", a.Directory)
	}
	if path := k.String("tls.acme.directory_ca"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("tls.acme.directory_ca: %w", err)
		}
		a.Roots = x509.NewCertPool()
		if !a.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.acme.directory_ca: %s holds no PEM certificate", path)
		}
	}
	return a, nil
}

// acmeCertificates gets and renews certificates, and proves the names by
// TLS-ALPN-01 (RFC 8737) on the public listener: the authority must reach it
// on port 443. Nodes on one database share certificates and challenges, so any
// of them may be the one that the authority meets.
type acmeCertificates struct {
	manager *autocert.Manager
	domains []string
	log     *slog.Logger
}

func newACME(a *ACME, store gatehouse.Store, sealer *credential.Sealer, log *slog.Logger) *acmeCertificates {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Roots}
	return &acmeCertificates{
		manager: &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: &sealedCache{store, sealer}, HostPolicy: autocert.HostWhitelist(a.Domains...), Email: a.Email,
			Client: &acme.Client{DirectoryURL: a.Directory, HTTPClient: &http.Client{Transport: transport, Timeout: time.Minute}, UserAgent: "gatehouse"},
		},
		domains: a.Domains, log: log,
	}
}

func (c *acmeCertificates) config() *tls.Config {
	t := c.manager.TLSConfig()
	t.MinVersion = tls.VersionTLS12
	return t
}

func (*acmeCertificates) load() error { return nil }

// keep asks for certificates before the first caller needs one. Later the
// manager renews them by itself, a month before they end.
func (c *acmeCertificates) keep(ctx context.Context) {
	missing := slices.Clone(c.domains)
	for pause := 10 * time.Second; ; pause = min(2*pause, time.Hour) {
		missing = slices.DeleteFunc(missing, c.has)
		if len(missing) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (c *acmeCertificates) has(domain string) bool {
	cert, err := c.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName: domain, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // who shows this can take ECDSA
	})
	if err != nil {
		c.log.Warn("no certificate yet: the authority must reach this server on port 443 under that name; trying again", "domain", domain, "error", err)
		return false
	}
	c.log.Info("certificate in use", "domain", domain, "until", cert.Leaf.NotAfter)
	return true
}

// sealedCache keeps accounts, certificates and challenges in the store, sealed
// like signing keys. It implements autocert.Cache.
type sealedCache struct {
	store  gatehouse.Store
	sealer *credential.Sealer
}

const documentACME = "acme"

func (c *sealedCache) Get(ctx context.Context, key string) ([]byte, error) {
	doc, err := c.store.Document(ctx, documentACME, key)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, autocert.ErrCacheMiss
	} else if err != nil {
		return nil, err
	}
	return c.sealer.Open("acme "+key, doc.Value)
}

func (c *sealedCache) Put(ctx context.Context, key string, data []byte) error {
	sealed, err := c.sealer.Seal("acme "+key, data)
	if err != nil {
		return err
	}
	for {
		doc := gatehouse.Document{Kind: documentACME, Key: key, Value: sealed}
		old, err := c.store.Document(ctx, documentACME, key)
		if err == nil {
			doc.Version = old.Version
		} else if !errors.Is(err, gatehouse.ErrNotFound) {
			return err
		}
		err = c.store.Keep(ctx, nil, doc)
		if !errors.Is(err, gatehouse.ErrExists) && !errors.Is(err, gatehouse.ErrConflict) {
			return err // else another node was faster, and the last one wins
		}
	}
}

func (c *sealedCache) Delete(ctx context.Context, key string) error {
	_, err := c.store.Take(ctx, nil, documentACME, key)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil
	}
	return err
}

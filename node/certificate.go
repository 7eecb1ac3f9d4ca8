package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// certificates are what TLS listeners show.
type certificates interface {
	// config is that of a listener, and stays in force.
	config() *tls.Config
	// load reads anew what a reload may replace; on an error what is in use stays.
	load() error
	// keep sees to it that there is a certificate, until ctx ends.
	keep(ctx context.Context)
}

// certificateFiles is a certificate that somebody else renews.
type certificateFiles struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func (c *certificateFiles) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificateFiles) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

func (*certificateFiles) keep(context.Context) {}

package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"
)

// soon is how long before its end a certificate is complained of: long enough
// to renew it by hand.
const soon = 14 * 24 * time.Hour

// examineCertificate looks at the files that the server takes its certificate from.
func examineCertificate(d *Deployment) []Finding {
	f := d.Files
	if f == nil || f.Certificate == "" {
		return nil
	}
	const mend = "put a certificate chain and its key there (PEM), and send the server SIGHUP"
	pair, err := tls.LoadX509KeyPair(f.Certificate, f.CertificateKey)
	if err != nil {
		return []Finding{{"tls-unusable", Error, fmt.Sprintf("the certificate %s can't be used: %v", f.Certificate, err), "the server can't start, or can't be reloaded, with it", mend}}
	}
	leaf := pair.Leaf
	var out []Finding
	switch left := leaf.NotAfter.Sub(d.Now); {
	case left <= 0:
		out = append(out, Finding{"tls-expired", Error, fmt.Sprintf("the certificate %s ended at %s", f.Certificate, stamp(leaf.NotAfter)), "every caller refuses the connection", mend})
	case left < soon:
		out = append(out, Finding{"tls-ends-soon", Warning, fmt.Sprintf("the certificate %s ends at %s", f.Certificate, stamp(leaf.NotAfter)), "from then on every caller refuses the connection", mend})
	}
	if d.Now.Before(leaf.NotBefore) {
		out = append(out, Finding{"tls-not-yet-valid", Error, fmt.Sprintf("the certificate %s begins at %s", f.Certificate, stamp(leaf.NotBefore)), "callers refuse the connection until then", "check the machine's clock; else " + mend})
	}
	if d.Settings == nil || d.Settings.Issuer == "" {
		return out
	}
	if u, err := url.Parse(d.Settings.Issuer); err == nil && u.Scheme == "https" && len(d.Settings.TrustedProxies) == 0 && leaf.VerifyHostname(u.Hostname()) != nil {
		out = append(out, Finding{"tls-other-name", Error, fmt.Sprintf("the certificate %s is for %s and not for the issuer's host %s", f.Certificate, namesOf(leaf), u.Hostname()),
			"callers who use the issuer's address refuse the connection", "get a certificate with that name, or correct the issuer before tokens are issued"})
	}
	return out
}

func namesOf(c *x509.Certificate) string {
	names := fmt.Sprint(c.DNSNames)
	if len(c.IPAddresses) > 0 {
		names += fmt.Sprint(c.IPAddresses)
	}
	return names
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

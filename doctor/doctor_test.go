package doctor_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/doctor"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// healthy is a deployment of two nodes with nothing wrong.
func healthy() *doctor.Deployment {
	return &doctor.Deployment{
		Now:      now,
		Settings: &doctor.Settings{Listen: "0.0.0.0:443", AdminListen: "127.0.0.1:8081", Issuer: "https://auth.example.com", TLS: true},
		Files:    &doctor.Files{},
		Keys: []doctor.Key{
			{ID: "k1", Environment: "live", Format: "oauth2", Algorithm: "EdDSA", State: "signing", SignsFrom: now.Add(-24 * time.Hour), Life: 30 * 24 * time.Hour},
			{ID: "k2", Environment: "live", Format: "oauth2", Algorithm: "EdDSA", State: "standby"},
			{ID: "k0", Environment: "live", Format: "oauth2", Algorithm: "EdDSA", State: "retired"},
			{ID: "k-1", Environment: "sandbox", Format: "gone", Algorithm: "RS256", State: "gone"},
		},
		Journal: &doctor.Journal{Lag: 900 * time.Millisecond, Bound: 5 * time.Second},
		Database: &doctor.Database{
			Place: "postgres://db.example:5432/gatehouse", Schema: 3, KnownSchema: 3, Postgres: true, Far: true, SSLMode: "verify-full",
			Params: map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "wal_level": "replica"}, Clock: 200 * time.Millisecond,
		},
		Host:  &doctor.Host{Disks: []doctor.Disk{{Path: "/var/lib/gatehouse", Free: 20 << 30}}},
		Nodes: []doctor.Node{{Name: "a", Issuer: "https://auth.example.com", Keys: "x"}, {Name: "b", Issuer: "https://auth.example.com", Keys: "x", Clock: now.Add(-3 * time.Second)}},
	}
}

func TestHealthyHasNoFindings(t *testing.T) {
	if found := doctor.Examine(healthy()); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	if found := doctor.Examine(&doctor.Deployment{Now: now}); len(found) != 0 {
		t.Errorf("of what nobody knows: %+v", found)
	}
}

func TestEachFinding(t *testing.T) {
	for _, one := range []struct {
		check    string
		severity doctor.Severity
		spoil    func(*doctor.Deployment)
	}{
		{"limits-off", doctor.Warning, func(d *doctor.Deployment) { d.Settings.Unlimited = true }},
		{"key-missing", doctor.Error, func(d *doctor.Deployment) { d.Keys[0].State = "retired" }},
		{"key-twice", doctor.Warning, func(d *doctor.Deployment) { d.Keys[2].State = "signing" }},
		{"key-overdue", doctor.Error, func(d *doctor.Deployment) { d.Keys[0].SignsFrom = now.Add(-32 * 24 * time.Hour) }},
		{"key-standby-missing", doctor.Warning, func(d *doctor.Deployment) { d.Keys[1].State = "gone" }},
		{"journal-slow", doctor.Warning, func(d *doctor.Deployment) { d.Journal.Lag = 4 * time.Second }},
		{"journal-stale", doctor.Error, func(d *doctor.Deployment) { d.Journal.Lag = 6 * time.Second }},
		{"clock-set-back", doctor.Error, func(d *doctor.Deployment) { d.Journal.Behind = time.Minute }},
		{"clock-apart", doctor.Warning, func(d *doctor.Deployment) { d.Database.Clock = -3 * time.Second }},
		{"clock-apart", doctor.Error, func(d *doctor.Deployment) { d.Database.Clock = time.Minute }},
		{"clock-apart", doctor.Error, func(d *doctor.Deployment) { d.Nodes[1].Clock = now.Add(10 * time.Second) }},
		{"schema-newer", doctor.Error, func(d *doctor.Deployment) { d.Database.Schema, d.Database.TooNew = 4, true }},
		{"schema-older", doctor.Warning, func(d *doctor.Deployment) { d.Database.Schema = 2 }},
		{"database-unreachable", doctor.Error, func(d *doctor.Deployment) { d.Database.Err = "connection refused" }},
		{"postgres-clear", doctor.Error, func(d *doctor.Deployment) { d.Database.SSLMode = "disable" }},
		{"postgres-unverified", doctor.Warning, func(d *doctor.Deployment) { d.Database.SSLMode = "require" }},
		{"postgres-fsync-off", doctor.Error, func(d *doctor.Deployment) { d.Database.Params["fsync"] = "off" }},
		{"postgres-torn-pages", doctor.Error, func(d *doctor.Deployment) { d.Database.Params["full_page_writes"] = "off" }},
		{"postgres-async-commit", doctor.Error, func(d *doctor.Deployment) { d.Database.Params["synchronous_commit"] = "off" }},
		{"postgres-wal-minimal", doctor.Warning, func(d *doctor.Deployment) { d.Database.Params["wal_level"] = "minimal" }},
		{"core-dumps", doctor.Error, func(d *doctor.Deployment) { d.Host.CoreLimit = 1 }},
		{"disk-low", doctor.Warning, func(d *doctor.Deployment) { d.Host.Disks[0].Free = 100 << 20 }},
		{"disk-full", doctor.Error, func(d *doctor.Deployment) { d.Host.Disks[0].Free = 1 << 20 }},
		{"nodes-differ-issuer", doctor.Error, func(d *doctor.Deployment) { d.Nodes[1].Issuer = "https://other.example.com" }},
		{"nodes-differ-keys", doctor.Error, func(d *doctor.Deployment) { d.Nodes[1].Keys = "y" }},
	} {
		d := healthy()
		one.spoil(d)
		found := doctor.Examine(d)
		if len(found) != 1 || found[0].Check != one.check || found[0].Severity != one.severity {
			t.Errorf("%s: %+v", one.check, found)
			continue
		}
		for _, said := range []string{found[0].What, found[0].Why, found[0].Mend} {
			if said == "" || strings.Contains(said, "%!") {
				t.Errorf("%s says %q", one.check, found[0])
			}
		}
		if doctor.Failed(found) != (one.severity == doctor.Error) {
			t.Errorf("%s is told wrongly", one.check)
		}
	}
}

func TestCertificates(t *testing.T) {
	for name, one := range map[string]struct {
		from, to time.Time
		host     string
		want     string
	}{
		"good":    {now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), "auth.example.com", ""},
		"expired": {now.Add(-48 * time.Hour), now.Add(-time.Hour), "auth.example.com", "tls-expired"},
		"soon":    {now.Add(-time.Hour), now.Add(13 * 24 * time.Hour), "auth.example.com", "tls-ends-soon"},
		"early":   {now.Add(time.Hour), now.Add(90 * 24 * time.Hour), "auth.example.com", "tls-not-yet-valid"},
		"other":   {now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), "www.example.com", "tls-other-name"},
	} {
		d := healthy()
		d.Files.Certificate, d.Files.CertificateKey = certificate(t, one.host, one.from, one.to)
		found := doctor.Examine(d)
		if one.want == "" && len(found) > 0 || one.want != "" && (len(found) != 1 || found[0].Check != one.want) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func certificate(t *testing.T, host string, from, to time.Time) (cert, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

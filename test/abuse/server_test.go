package abuse_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/test/built"
)

// A server is the real binary, running `gatehouse serve` with TLS.
type server struct {
	address  string
	pid      int
	roots    *x509.CertPool
	id, pass string // of its one client
}

func start(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	built.NoteSources()
	binary, err := built.Gatehouse(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: freeAddress(t), roots: certificate(t, dir)}
	data := filepath.Join(dir, "data")
	settings := filepath.Join(dir, "gatehouse.yaml")
	write(t, settings, fmt.Sprintf("listen: %s\nadmin_listen: 127.0.0.1:0\nissuer: https://%[1]s\ndatabase: sqlite:%s\n"+
		"tls: {cert: %s, key: %s}\ndialects: []\nkey_encryption_key: %s\n", s.address, data,
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "serve", "--config", settings)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", said.String())
		}
	})
	s.pid = cmd.Process.Pid
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", filepath.Join(data, "admin.sock")); err == nil {
			_ = c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(binary, "client", "create", "--name", "honest", "--dialect", "oauth2", "--environment", "live",
		"--limit-rate", "100000/s", "--json", "--data", data).Output()
	if err != nil {
		t.Fatalf("client create: %v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var made struct {
		Secrets []struct {
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
		} `json:"secrets"`
	}
	if err := json.Unmarshal(out, &made); err != nil || len(made.Secrets) != 1 {
		t.Fatalf("client create printed %d bytes that say nothing: %v", len(out), err)
	}
	s.id, s.pass = made.Secrets[0].ClientID, made.Secrets[0].ClientSecret
	return s
}

// certificate makes one of 127.0.0.1 that signs itself.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	write(t, filepath.Join(dir, "cert.pem"), string(certPEM))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dial opens a connection that speaks what is asked for.
func (s *server) dial(t *testing.T, protocol string) *tls.Conn {
	c, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: s.roots, NextProtos: []string{protocol}})
	if err != nil {
		t.Error(err)
		return nil
	}
	return c
}

// caller is an honest one, with connections of its own.
func (s *server) caller() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, MaxIdleConnsPerHost: 4},
	}
}

// residentMiB is what the server holds in memory.
func (s *server) residentMiB(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

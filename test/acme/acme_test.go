package acme_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/test/built"
)

const name = "auth.gatehouse.test"

// The server proves its name on its own listener, keeps the certificate sealed,
// and has it again when it starts while the authority is away.
func TestCertificateFromAnAuthority(t *testing.T) {
	dir := t.TempDir()
	built.NoteSources()
	binary, err := built.Gatehouse(dir)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	authority := startAuthority(t, dir, address)

	data := filepath.Join(dir, "data")
	settings := filepath.Join(dir, "gatehouse.yaml")
	write(t, settings, fmt.Sprintf("listen: %s\nadmin_listen: 127.0.0.1:0\nissuer: https://%s\ndatabase: sqlite:%s\n"+
		"tls: {acme: {domains: [%s], accept_terms: true, directory: \"%s\", directory_ca: %s}}\n",
		address, name, data, name, authority.directory, authority.certificate))
	server := run(t, nil, binary, "serve", "--config", settings)
	first := handshake(t, address, authority.roots)
	if !first.NotAfter.After(time.Now().Add(24 * time.Hour)) {
		t.Errorf("the certificate ends %v", first.NotAfter)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.roots, ServerName: name}}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + address + "/.well-known/oauth-authorization-server")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"https://`+name+`"`)) {
		t.Errorf("over the certificate: %d %s %v", res.StatusCode, body, err)
	}
	if c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: authority.roots, ServerName: "other.gatehouse.test"}); err == nil {
		c.Close()
		t.Error("a certificate is shown for a name that isn't in the settings")
	}

	server.end(t)
	authority.end(t)
	if hits := search(t, data, "PRIVATE KEY"); hits != "" {
		t.Errorf("a private key is in the clear in %s", hits)
	}
	run(t, nil, binary, "serve", "--config", settings)
	if again := handshake(t, address, authority.roots); !again.Equal(first) {
		t.Error("another certificate is in use after a restart")
	}
}

// An authority is Pebble with its DNS server, which answers every name with 127.0.0.1.
type authority struct {
	*process
	directory   string
	certificate string         // file: of the directory's own listener
	roots       *x509.CertPool // what it issues under
}

func startAuthority(t *testing.T, dir, tlsALPN string) *authority {
	t.Helper()
	dns, management, directory := freeAddress(t), freeAddress(t), freeAddress(t)
	run(t, nil, tool(t, "pebble-challtestsrv"), "-dnsserver", dns, "-management", freeAddress(t), "-defaultIPv6", "",
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	a := &authority{directory: "https://" + directory + "/dir", certificate: filepath.Join(dir, "pebble.pem")}
	key := filepath.Join(dir, "pebble.key")
	certificate(t, a.certificate, key)
	_, port, _ := net.SplitHostPort(tlsALPN)
	config := filepath.Join(dir, "pebble.json")
	write(t, config, fmt.Sprintf(`{"pebble": {"listenAddress": %q, "managementListenAddress": %q, "certificate": %q, "privateKey": %q,
		"httpPort": 1, "tlsPort": %s, "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": {"default": {"description": "for tests", "validityPeriod": 7776000}}}}`, directory, management, a.certificate, key, port))
	a.process = run(t, []string{"PEBBLE_VA_NOSLEEP=1"}, tool(t, "pebble"), "-config", config, "-dnsserver", dns)

	own := x509.NewCertPool()
	own.AppendCertsFromPEM([]byte(read(t, a.certificate)))
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}}}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		res, err := client.Get("https://" + management + "/roots/0")
		if err == nil {
			root, err := io.ReadAll(res.Body)
			res.Body.Close()
			a.roots = x509.NewCertPool()
			if err != nil || !a.roots.AppendCertsFromPEM(root) {
				t.Fatalf("the authority's root: %v", err)
			}
			return a
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// handshake waits until the server shows a good certificate.
func handshake(t *testing.T, address string, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: name})
		if err == nil {
			defer c.Close()
			return c.ConnectionState().PeerCertificates[0]
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// tool finds a program that `test/prerequisites` has installed.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	out, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "bin", name)
}

type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// run starts a program that ends with the test, if not before.
func run(t *testing.T, env []string, binary string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &said, &said
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v: `test/prerequisites` installs it", err)
	}
	go func() { _ = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.end(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(binary), said.String())
		}
	})
	return p
}

func (p *process) end(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%s did not end by itself", p.cmd.Path)
	}
}

// search names the file below dir that holds text, "" where none does.
func search(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(read(t, path), text) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// certificate makes one of 127.0.0.1 that signs itself.
func certificate(t *testing.T, certFile, keyFile string) {
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
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
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

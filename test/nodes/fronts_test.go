package nodes_test

import (
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
	"strings"
	"syscall"
	"time"
)

// fill writes a file of examples/nodes with the places that @…@ stand for.
func (c *cluster) fill(example string, places map[string]string) string {
	c.Helper()
	body, err := os.ReadFile(filepath.Join("../../examples/nodes", example))
	c.must(err)
	var pairs []string
	for name, value := range places {
		pairs = append(pairs, "@"+name+"@", value)
	}
	path := filepath.Join(c.TempDir(), example)
	c.must(os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(body))), 0o600))
	return path
}

func (c *cluster) freePort() string {
	c.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	c.must(err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	c.must(err)
	return port
}

// A served is one running `gatehouse serve` with the settings of examples/nodes.
type served struct {
	node
	config    string
	port      string
	adminPort string
}

// serve starts n nodes with the settings of examples/nodes.
func (c *cluster) serve(n int) []*served {
	c.Helper()
	adminToken := rand.Text()
	secrets := map[string]string{"KEK_FILE": c.kek, "ADMIN_TOKEN_FILE": adminToken}
	for name, value := range secrets {
		path := filepath.Join(c.TempDir(), name)
		c.must(os.WriteFile(path, []byte(value), 0o600))
		secrets[name] = path
	}
	nodes := make([]*served, n)
	for i := range nodes {
		s := &served{port: c.freePort(), adminPort: c.freePort()}
		s.admin, s.adminToken = "http://127.0.0.1:"+s.adminPort, adminToken
		dir, err := os.MkdirTemp("", "gatehouse-node-") // short enough for a socket
		c.must(err)
		c.Cleanup(func() { os.RemoveAll(dir) })
		s.config = c.fill("gatehouse.yaml", map[string]string{
			"LISTEN": "127.0.0.1:" + s.port, "ADMIN_LISTEN": "127.0.0.1:" + s.adminPort, "SOCKET": filepath.Join(dir, "admin.sock"), "DATABASE": c.url,
			"KEK_FILE": secrets["KEK_FILE"], "ADMIN_TOKEN_FILE": secrets["ADMIN_TOKEN_FILE"],
		})
		c.must(s.start(binary))
		c.Cleanup(s.stop)
		nodes[i] = s
	}
	return nodes
}

// start runs a version of Gatehouse until it is ready. One that ends because
// its database was too slow on a busy machine is started again, as systemd does.
func (s *served) start(version string) (err error) {
	for began := time.Now(); time.Since(began) < time.Minute; {
		if err = s.startOnce(version); err == nil {
			return nil
		}
		s.stop()
	}
	return err
}

func (s *served) startOnce(version string) error {
	s.cmd = exec.Command(version, "serve", "--config", s.config)
	s.cmd.Stderr = os.Stderr
	s.cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if err := awaitOK(s.admin+"/readyz", 20*time.Second); err != nil {
		return fmt.Errorf("the node on %s is not ready: %w", s.port, err)
	}
	return nil
}

// awaitOK asks until the answer is 200.
func awaitOK(url string, within time.Duration) error {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		a, err := send(r)
		if err == nil && a.status == http.StatusOK {
			return nil
		}
		if time.Since(began) > within {
			return fmt.Errorf("%s: %d %s, %v", url, a.status, a.body, err)
		}
	}
}

// A tlsFile is a certificate of 127.0.0.1, its key, and both in one file.
type tlsFile struct {
	certificate, key, both string
	client                 *tls.Config // that believes it
}

func (c *cluster) certificate() tlsFile {
	c.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	c.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	c.must(err)
	public, secret := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	dir := c.TempDir()
	f := tlsFile{certificate: filepath.Join(dir, "auth.crt"), key: filepath.Join(dir, "auth.key"), both: filepath.Join(dir, "auth.pem")}
	c.must(os.WriteFile(f.certificate, public, 0o600))
	c.must(os.WriteFile(f.key, secret, 0o600))
	c.must(os.WriteFile(f.both, append(public, secret...), 0o600))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	f.client = &tls.Config{RootCAs: pool}
	return f
}

// haproxy runs HAProxy before two nodes, and returns where it serves, and where
// it says that both take part.
func (c *cluster) haproxy(a, b *served, f tlsFile) (url, status string) {
	c.Helper()
	port, statusPort := c.freePort(), c.freePort()
	c.proxy("haproxy", "-db", "-f", c.fill("haproxy.cfg", map[string]string{
		"LISTEN": "127.0.0.1:" + port + " ssl crt " + f.both + " alpn h2,http/1.1", "STATUS": "127.0.0.1:" + statusPort,
		"NODE_A": "127.0.0.1:" + a.port, "NODE_A_ADMIN": a.adminPort,
		"NODE_B": "127.0.0.1:" + b.port, "NODE_B_ADMIN": b.adminPort,
	}))
	return "https://127.0.0.1:" + port, "http://127.0.0.1:" + statusPort + "/nodes"
}

// nginx runs nginx before two nodes, and returns where it serves.
func (c *cluster) nginx(a, b *served, f tlsFile) (url string) {
	c.Helper()
	port := c.freePort()
	run, err := os.MkdirTemp("", "gatehouse-nginx-") // its workers are another user
	c.must(err)
	c.Cleanup(func() { os.RemoveAll(run) })
	c.must(os.Chmod(run, 0o755))
	c.proxy("nginx", "-c", c.fill("nginx.conf", map[string]string{
		"LISTEN": "127.0.0.1:" + port, "CERTIFICATE": f.certificate, "KEY": f.key, "RUN": run,
		"NODE_A": "127.0.0.1:" + a.port, "NODE_B": "127.0.0.1:" + b.port,
	}))
	return "https://127.0.0.1:" + port
}

// proxy runs a program until the test ends.
func (c *cluster) proxy(name string, args ...string) {
	c.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name // not in everybody's PATH
	}
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		c.Fatalf("test/prerequisites installs %s: %v", name, err)
	}
	c.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // both end their workers then
		_ = cmd.Wait()
	})
}

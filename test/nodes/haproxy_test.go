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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
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

// A served is one running `gatehouse serve`.
type served struct {
	node
	config    string
	port      string
	adminPort string
}

func (s *served) start() error {
	s.cmd = exec.Command(binary, "serve", "--config", s.config)
	s.cmd.Stderr = os.Stderr
	s.cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=error")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.NewRequest(http.MethodGet, s.admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if a, err := send(r); err == nil && a.status == http.StatusOK {
			return nil
		}
		if time.Since(began) > 20*time.Second {
			return fmt.Errorf("the node on %s is not ready", s.port)
		}
	}
}

// certificate makes a certificate of 127.0.0.1 with its key, as HAProxy wants it.
func (c *cluster) certificate() (path string, pool *x509.CertPool) {
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
	path = filepath.Join(c.TempDir(), "auth.pem")
	body := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	c.must(os.WriteFile(path, body, 0o600))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(body)
	return path, pool
}

// The files of examples/nodes: HAProxy before two nodes that are restarted one
// after the other while callers get tokens.
func TestHAProxyBeforeTwoNodes(t *testing.T) {
	c := start(t, 0)
	adminToken := rand.Text()
	secrets := map[string]string{"KEK_FILE": c.kek, "ADMIN_TOKEN_FILE": adminToken}
	for name, value := range secrets {
		path := filepath.Join(t.TempDir(), name)
		c.must(os.WriteFile(path, []byte(value), 0o600))
		secrets[name] = path
	}
	nodes := make([]*served, 2)
	for i := range nodes {
		s := &served{port: c.freePort(), adminPort: c.freePort()}
		s.admin, s.adminToken = "http://127.0.0.1:"+s.adminPort, adminToken
		dir, err := os.MkdirTemp("", "gatehouse-node-") // short enough for a socket
		c.must(err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		s.config = c.fill("gatehouse.yaml", map[string]string{
			"LISTEN": "127.0.0.1:" + s.port, "ADMIN_LISTEN": "127.0.0.1:" + s.adminPort, "SOCKET": filepath.Join(dir, "admin.sock"), "DATABASE": c.url,
			"KEK_FILE": secrets["KEK_FILE"], "ADMIN_TOKEN_FILE": secrets["ADMIN_TOKEN_FILE"],
		})
		c.must(s.start())
		t.Cleanup(s.stop)
		nodes[i] = s
	}
	pemFile, pool := c.certificate()
	port := c.freePort()
	config := c.fill("haproxy.cfg", map[string]string{
		"LISTEN": "127.0.0.1:" + port + " ssl crt " + pemFile + " alpn h2,http/1.1",
		"NODE_A": "127.0.0.1:" + nodes[0].port, "NODE_A_ADMIN": nodes[0].adminPort,
		"NODE_B": "127.0.0.1:" + nodes[1].port, "NODE_B_ADMIN": nodes[1].adminPort,
	})
	c.haproxy(config)
	front := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}

	out, err := nodes[0].gatehouse("", "client", "create", "--name", "caller", "--dialect", "oauth2", "--environment", "live", "--limit-rate", "100000/m")
	c.must(err)
	var made struct {
		Secrets []demoClient `json:"secrets"`
	}
	c.must(json.Unmarshal(out, &made))
	as := made.Secrets[0]

	var asked, failed atomic.Int64
	get := func() error {
		r, err := http.NewRequest(http.MethodPost, "https://127.0.0.1:"+port+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(as.ClientID, as.ClientSecret)
		res, err := front.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	}
	for began := time.Now(); get() != nil; time.Sleep(50 * time.Millisecond) { // HAProxy has yet to see them
		if time.Since(began) > 10*time.Second {
			t.Fatal(get())
		}
	}
	stop := make(chan struct{})
	var calling sync.WaitGroup
	for range 4 {
		calling.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if err := get(); err != nil {
					failed.Add(1)
					t.Error(err)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	restarts := 2
	if soak() {
		restarts = 20
	}
	for i := range restarts {
		time.Sleep(700 * time.Millisecond)
		nodes[i%2].stop()
		time.Sleep(300 * time.Millisecond)
		c.must(nodes[i%2].start())
	}
	time.Sleep(700 * time.Millisecond)
	close(stop)
	calling.Wait()
	t.Logf("%d restarts under %d requests: %d failed", restarts, asked.Load(), failed.Load())
}

// haproxy runs HAProxy until the test ends.
func (c *cluster) haproxy(config string) {
	c.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy" // not in everybody's PATH
	}
	cmd := exec.Command(path, "-db", "-f", config)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.Fatalf("test/prerequisites installs HAProxy: %v", err)
	}
	c.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

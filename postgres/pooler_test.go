package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/storetest"
)

// A store works behind PgBouncer in transaction mode, where each transaction may
// be on another connection. Debian's doesn't follow prepared statements. The long
// form is the whole suite.
func TestStoreBehindATransactionPooler(t *testing.T) {
	server := postgrestest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close())
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	_, behind, err := net.SplitHostPort(server.Addr())
	must(t, err)
	dir, err := os.MkdirTemp("", "gatehouse-pooler-") // where another user may write
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	config := filepath.Join(dir, "pgbouncer.ini")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=127.0.0.1 port=%s user=gatehouse
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
`, behind, port), 0o644))
	cmd := exec.Command("pgbouncer", "-q", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: postgrestest.User(t)}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
	through := func(t *testing.T) string {
		return strings.Replace(server.URL(t), server.Addr(), addr, 1) + "&default_query_exec_mode=exec"
	}
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		storetest.Run(t, func(t *testing.T) gatehouse.Store { return open(t, through(t), Options{}) })
	}
	storetest.RunReopen(t, func(t *testing.T) (gatehouse.Store, func() gatehouse.Store) {
		url := through(t)
		s := open(t, url, Options{})
		return s, func() gatehouse.Store {
			must(t, s.Close())
			return open(t, url, Options{})
		}
	})
}

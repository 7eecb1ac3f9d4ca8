package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-auth/gatehouse/node"
)

// The commands that start and stop a script's server:
//
//	dev ARGS…      starts `gatehouse dev --json` on free ports and waits for what
//	               it prints, which is then the standard output. Its directory is
//	               $DATA unless --data says otherwise.
//	page ARGS…     starts dev without --json, and puts what it prints into the
//	               standard output
//	serve ARGS…    starts `gatehouse serve` and waits until it serves
//	! dev ARGS…    wants it to refuse to start; ! serve likewise
//	halt           ends the server by SIGTERM, where signal TERM has not, and wants it
//	               to end well
//	signal NAME    sends it SIGHUP, SIGTERM, SIGKILL …
//	exits N ARGS…  runs gatehouse ARGS and wants exit status N
//	log REGEXP     waits until a line of its log matches;  ! log: none does by now
//
//	certificate CERT KEY   makes a certificate of 127.0.0.1 that signs itself
//
// dev and serve set URL, ADMIN (the listeners) and PID, dev also
// GATEHOUSE_ADMIN_TOKEN and, for each pair of demo credentials,
// DIALECT_ENVIRONMENT_ID and DIALECT_ENVIRONMENT_SECRET: $OAUTH2_LIVE_ID. A script's
// server ends with it.
var serverCommands = map[string]func(*testscript.TestScript, bool, []string){
	"dev": startDev, "page": startPage, "serve": startServe, "exits": exits, "halt": haltServer, "signal": signalServer, "certificate": makeCertificate, "log": matchLog,
}

// patience is for a machine that is busy with other tests.
const patience = 30 * time.Second

// server is the process that a script has started last.
type server struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	log    *os.File
	asked  bool          // to end
	ended  chan struct{} // closed when the process has ended
	err    error         // how it ended
}

type serverKey struct{}

func setupServer(env *testscript.Env) {
	env.Values[serverKey{}] = &server{}
}

func serverOf(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

// inherited is what of a script's environment a server gets.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "NO_COLOR", "PORT", "DATABASE_URL", "GATEHOUSE_LISTEN", "GATEHOUSE_TRUSTED_PROXIES", "GATEHOUSE_GATE_ROUTES",
	"GATEHOUSE_KEY_ENCRYPTION_KEY", "GATEHOUSE_KEY_ENCRYPTION_KEY_FILE", "GATEHOUSE_ADMIN_TOKEN", "GATEHOUSE_LOG_LEVEL", "NOTIFY_SOCKET",
}

func gatehouseCommand(ts *testscript.TestScript, args ...string) *exec.Cmd {
	cmd := exec.Command("gatehouse", args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range inherited {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

// start starts a server in the place of the one before, which must have ended.
func start(ts *testscript.TestScript, args ...string) *server {
	s := serverOf(ts)
	if s.ended != nil {
		select {
		case <-s.ended:
		default:
			ts.Fatalf("a server is running: halt it first")
		}
	}
	log, err := os.CreateTemp(ts.Getenv("WORK"), "server-*.log")
	ts.Check(err)
	s.cmd, s.log, s.asked, s.ended = gatehouseCommand(ts, args...), log, false, make(chan struct{})
	s.cmd.Stderr = log
	out, w, err := os.Pipe()
	ts.Check(err)
	s.stdout, s.cmd.Stdout = bufio.NewReader(out), w
	ts.Check(s.cmd.Start())
	ts.Check(w.Close())
	ts.Setenv("PID", strconv.Itoa(s.cmd.Process.Pid))
	go func(ended chan struct{}) {
		s.err = s.cmd.Wait()
		close(ended)
	}(s.ended)
	ts.Defer(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		out.Close()
		log.Close()
	})
	return s
}

// refusesToStart runs a command that must end by itself, and badly.
func refusesToStart(ts *testscript.TestScript, args ...string) {
	cmd := gatehouseCommand(ts, args...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Start())
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		ts.Fatalf("it started, and should not have")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitRefused {
		ts.Fatalf("it ended with %v, want exit status %d", err, exitRefused)
	}
}

// devArgs adds free ports and a directory of the script's own.
func devArgs(ts *testscript.TestScript, args []string) []string {
	given := append([]string{"dev"}, args...)
	for _, flag := range []string{"--listen", "--admin-listen"} {
		if !slices.Contains(args, flag) {
			given = append(given, flag, "127.0.0.1:0")
		}
	}
	if !slices.Contains(args, "--data") {
		given = append(given, "--data", ts.Getenv("DATA"))
	}
	return given
}

// exits runs a command to its end.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits N ARGS")
	}
	err := ts.Exec("gatehouse", args[1:]...)
	status := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

// startPage waits for the page's last line, which is the only one that speaks
// of Ctrl-C.
func startPage(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: page ARGS")
	}
	s := start(ts, devArgs(ts, args)...)
	for {
		line, err := s.stdout.ReadString('\n')
		if err != nil {
			ts.Fatalf("dev did not start: %v\n%s", err, readLog(s))
		}
		fmt.Fprint(ts.Stdout(), line)
		if strings.Contains(line, "Ctrl-C") {
			return
		}
	}
}

func startDev(ts *testscript.TestScript, neg bool, args []string) {
	given := devArgs(ts, append([]string{"--json"}, args...))
	if neg {
		refusesToStart(ts, given...)
		return
	}
	s := start(ts, given...)
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		ts.Fatalf("dev did not start: %v\n%s", err, readLog(s))
	}
	go io.Copy(io.Discard, s.stdout) //nolint:errcheck // until the server ends
	fmt.Fprint(ts.Stdout(), line)
	var said struct {
		URL        string            `json:"url"`
		AdminURL   string            `json:"admin_url"`
		AdminToken string            `json:"admin_token"`
		Clients    []node.DemoClient `json:"clients"`
	}
	ts.Check(json.Unmarshal([]byte(line), &said))
	ts.Setenv("URL", said.URL)
	ts.Setenv("ADMIN", said.AdminURL)
	ts.Setenv("GATEHOUSE_ADMIN_TOKEN", said.AdminToken)
	for _, c := range said.Clients {
		name := strings.ToUpper(strings.ReplaceAll(c.Dialect, "-", "_") + "_" + c.Environment)
		ts.Setenv(name+"_ID", c.ClientID)
		ts.Setenv(name+"_SECRET", c.ClientSecret.Reveal())
	}
}

func startServe(ts *testscript.TestScript, neg bool, args []string) {
	args = append([]string{"serve"}, args...)
	if neg {
		refusesToStart(ts, args...)
		return
	}
	s := start(ts, args...)
	line := s.waitFor(ts, regexp.MustCompile(`"msg":"serving"`))
	var said struct {
		URL      string `json:"url"`
		AdminURL string `json:"admin_url"`
	}
	ts.Check(json.Unmarshal([]byte(line), &said))
	ts.Setenv("URL", said.URL)
	ts.Setenv("ADMIN", said.AdminURL)
}

func haltServer(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if neg || len(args) > 0 || s.cmd == nil {
		ts.Fatalf("usage: halt, with a server running")
	}
	if !s.asked {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended: the error says how
	}
	waitForEnd(ts, s)
	if s.err != nil {
		ts.Fatalf("the server ended badly: %v\n%s", s.err, readLog(s))
	}
}

func waitForEnd(ts *testscript.TestScript, s *server) {
	select {
	case <-s.ended:
	case <-time.After(patience):
		ts.Fatalf("the server does not end")
	}
}

var signals = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL,
	"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "ABRT": syscall.SIGABRT,
}

func signalServer(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if neg || len(args) != 1 || signals[args[0]] == 0 || s.cmd == nil {
		ts.Fatalf("usage: signal HUP|INT|TERM|KILL|STOP|CONT|ABRT, with a server running")
	}
	ts.Check(s.cmd.Process.Signal(signals[args[0]]))
	s.asked = s.asked || args[0] == "TERM" || args[0] == "INT"
	if args[0] == "KILL" || args[0] == "ABRT" {
		waitForEnd(ts, s)
	}
}

func matchLog(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if len(args) != 1 || s.cmd == nil {
		ts.Fatalf("usage: log REGEXP, with a server running")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	if !neg {
		fmt.Fprintln(ts.Stdout(), s.waitFor(ts, re))
		return
	}
	if log := readLog(s); re.Match(log) {
		ts.Fatalf("the log has it:\n%s", log)
	}
}

// waitFor returns the first line of the log that matches.
func (s *server) waitFor(ts *testscript.TestScript, re *regexp.Regexp) string {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		for _, line := range bytes.Split(readLog(s), []byte("\n")) {
			if re.Match(line) {
				return string(line)
			}
		}
		select {
		case <-s.ended:
			ts.Fatalf("the server ended: %v\n%s", s.err, readLog(s))
		default:
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no line of the log matches %s:\n%s", re, readLog(s))
		}
	}
}

func readLog(s *server) []byte {
	b, err := os.ReadFile(s.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func makeCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: certificate CERT KEY")
	}
	public, private, err := ed25519.GenerateKey(nil)
	ts.Check(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "127.0.0.1"}, IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	ts.Check(err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	for file, block := range map[string]*pem.Block{args[0]: {Type: "CERTIFICATE", Bytes: der}, args[1]: {Type: "PRIVATE KEY", Bytes: key}} {
		ts.Check(os.WriteFile(ts.MkAbs(file), pem.EncodeToMemory(block), 0o600))
	}
}

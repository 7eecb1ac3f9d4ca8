package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/testscript"
)

// The command that starts a gate beside a script's server:
//
//	gate NAME CONFIG   starts `gatehouse gate --config CONFIG`, and sets NAME to
//	                   where it answers once it is ready to;  ! gate NAME CONFIG:
//	                   it must refuse to start
//	ungate NAME        ends it, and wants it to end well
//
// ${NAME} in settings is a variable of the script. And the one that asks why:
//
//	explains REGEXP    what the owner is told of the last curl's refusal
//
// And the one that lets a server's successor take its address:
//
//	same-address       the next server listens where $URL is
var gateCommands = map[string]func(*testscript.TestScript, bool, []string){
	"gate": startGate, "ungate": stopGate, "explains": explains, "same-address": sameAddress,
}

type gateProcess struct {
	cmd   *exec.Cmd
	ended chan error
}

type gateProcesses map[string]*gateProcess

type gatesKey struct{}

func setupGates(env *testscript.Env) { env.Values[gatesKey{}] = gateProcesses{} }

func startGate(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: gate NAME CONFIG")
	}
	if neg {
		refusesToStart(ts, "gate", "--config", ts.MkAbs(args[1]))
		return
	}
	log, err := os.CreateTemp(ts.Getenv("WORK"), "gate-*.log")
	ts.Check(err)
	cmd := gatehouseCommand(ts, "gate", "--config", ts.MkAbs(args[1]))
	for _, name := range []string{"URL", "GATE_ID", "GATE_SECRET"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	g := &gateProcess{cmd, make(chan error, 1)}
	go func() { g.ended <- cmd.Wait() }()
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		log.Close()
	})
	ts.Value(gatesKey{}).(gateProcesses)[args[0]] = g
	ts.Setenv(args[0]+"_LOG", log.Name())
	serving := regexp.MustCompile(`(?m)^.*"msg":"serving".*$`)
	followed := regexp.MustCompile(`"msg":"the journal is being followed"`)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		said, err := os.ReadFile(log.Name())
		ts.Check(err)
		if line := serving.Find(said); line != nil && followed.Match(said) {
			var at struct {
				URL string `json:"url"`
			}
			ts.Check(json.Unmarshal(bytes.TrimSpace(line), &at))
			ts.Setenv(args[0], at.URL)
			fmt.Fprintln(ts.Stdout(), at.URL)
			return
		}
		select {
		case err := <-g.ended:
			ts.Fatalf("the gate ended: %v\n%s", err, said)
		default:
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the gate doesn't get ready:\n%s", said)
		}
	}
}

func stopGate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ungate NAME")
	}
	g := ts.Value(gatesKey{}).(gateProcesses)[args[0]]
	ts.Check(g.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-g.ended:
		ts.Check(err)
	case <-time.After(patience):
		ts.Fatalf("the gate does not end")
	}
}

func explains(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: explains REGEXP")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	_, header, _ := answered(ts)
	var out []byte
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // a far gate reports once a second
		cmd := gatehouseCommand(ts, "explain", header.Get("Gatehouse-Request-Id"), "--json", "--data", ts.Getenv("DATA"))
		if out, err = cmd.CombinedOutput(); err == nil {
			break
		}
		if time.Now().After(deadline) || !bytes.Contains(out, []byte("no refusal has this request id")) {
			ts.Fatalf("explain: %v: %s", err, out)
		}
	}
	fmt.Fprintf(ts.Stdout(), "%s", out)
	var said struct {
		Sentence string         `json:"explanation"`
		Rest     jsontext.Value `json:",unknown"`
	}
	ts.Check(json.Unmarshal(out, &said))
	if !want.MatchString(said.Sentence) {
		ts.Fatalf("the explanation is %q, and matches no %s", said.Sentence, want)
	}
}

func sameAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: same-address")
	}
	_, address, _ := strings.Cut(ts.Getenv("URL"), "://")
	ts.Setenv("GATEHOUSE_LISTEN", address)
}

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// The commands that start and stop a script's agents:
//
//	agent NAME ARGS…   starts `gatehouse agent --json ARGS` and waits until it listens.
//	                   It sets NAME (its URL), NAME_PID and NAME_LOG, a file. Its environment has
//	                   $CLIENT_ID and $CLIENT_SECRET.
//	endagent NAME      ends it by SIGTERM, and wants it to end well
//	eventually STATUS URL   asks URL until it answers so
var agentCommands = map[string]func(*testscript.TestScript, bool, []string){
	"agent": startAgent, "endagent": endAgent, "eventually": eventually,
}

func startAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: agent NAME ARGS")
	}
	name := args[0]
	cmd := exec.Command("gatehouse", append([]string{"agent", "--json"}, args[1:]...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, variable := range append([]string{"CLIENT_ID", "CLIENT_SECRET"}, inherited...) {
		if v := ts.Getenv(variable); v != "" {
			cmd.Env = append(cmd.Env, variable+"="+v)
		}
	}
	log, err := os.CreateTemp(ts.Getenv("WORK"), "agent-*.log")
	ts.Check(err)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		log.Close()
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		ts.Fatalf("the agent did not start: %v\n%s", err, said)
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		ended <- cmd.Wait()
	}()
	fmt.Fprint(ts.Stdout(), line)
	var said agentStarted
	ts.Check(json.Unmarshal([]byte(line), &said))
	ts.Setenv(name, said.URL)
	ts.Setenv(name+"_PID", strconv.Itoa(cmd.Process.Pid))
	ts.Setenv(name+"_LOG", log.Name())
	agentsOf(ts)[name] = ended
}

type agentsKey struct{}

// agentsOf are the ends of a script's agents, by name.
func agentsOf(ts *testscript.TestScript) map[string]chan error {
	return ts.Value(agentsKey{}).(map[string]chan error)
}

func setupAgents(env *testscript.Env) { env.Values[agentsKey{}] = map[string]chan error{} }

func endAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || agentsOf(ts)[args[0]] == nil {
		ts.Fatalf("usage: endagent NAME")
	}
	pid, err := strconv.Atoi(ts.Getenv(args[0] + "_PID"))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGTERM))
	select {
	case err := <-agentsOf(ts)[args[0]]:
		ts.Check(err)
	case <-time.After(patience):
		ts.Fatalf("the agent does not end")
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually STATUS CURL-ARGS…")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		runCurl(ts, false, args[1:])
		status, _, body := answered(ts)
		if strconv.Itoa(status) == args[0] {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("it answers %d\n%s", status, body)
		}
	}
}

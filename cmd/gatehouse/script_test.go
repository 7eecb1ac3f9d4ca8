package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this test binary as `gatehouse`, in processes
// of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": func() { os.Exit(run()) }})
}

// testscript's own stop ends a script without a word, and what stands after it is
// never run. A script here that wants to end a server says halt.
func TestNoScriptEndsEarly(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	early := regexp.MustCompile(`(?m)^(\[.*\] )?(stop|skip)\b`)
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if at := early.FindIndex(text); at != nil {
			t.Errorf("%s:%d ends the script", script, 1+bytes.Count(text[:at[0]], []byte("\n")))
		}
	}
}

// TestScripts runs testdata/script/*.txtar: what the product does, told against
// the real thing. Besides testscript's own commands there are those of
// serverCommands, jsonCommands, answerCommands and agentCommands.
func TestScripts(t *testing.T) {
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	maps.Copy(commands, serverCommands)
	maps.Copy(commands, jsonCommands)
	maps.Copy(commands, answerCommands)
	maps.Copy(commands, gateCommands)
	maps.Copy(commands, agentCommands)
	builtin, err := filepath.Abs("../../dialect/builtin")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                commands,
		Setup: func(env *testscript.Env) error {
			setupServer(env)
			setupGates(env)
			setupAgents(env)
			env.Setenv("DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("BUILTIN", builtin)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("HOME", env.WorkDir) // no ~/.curlrc
			return nil
		},
	})
}

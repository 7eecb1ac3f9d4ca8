package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/agent"
)

// A childStatus is the exit status of a command that was run for the caller,
// and becomes ours.
type childStatus int

func (s childStatus) Error() string { return fmt.Sprintf("the command ended with status %d", int(s)) }

func agentRun(config *string) *cobra.Command {
	var tokens []string
	c := &cobra.Command{
		Use: "run -- COMMAND [ARG]…", Short: "Run a command with an agent of its own", Args: cobra.MinimumNArgs(1),
		Long: "Runs an agent on a free port of loopback, and COMMAND with its address in the environment:\n" +
			"GATEHOUSE_AGENT_URL, and GATEHOUSE_AGENT_NAME_URL for each upstream. --token VARIABLE=NAME\n" +
			"also puts a token of NAME there, which is live at the start but isn't renewed.\n" +
			"The exit status is the command's.",
		Example: "gatehouse agent run --config agent.yaml -- ./import.py\n" +
			"gatehouse agent run --config agent.yaml --token BANK_TOKEN=bank -- sh -c 'curl -H \"Authorization: Bearer $BANK_TOKEN\" …'",
	}
	c.Flags().StringArrayVar(&tokens, "token", nil, "VARIABLE=NAME: a token of upstream NAME (repeatable)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		settings, err := agentSettings(*config)
		if err != nil {
			return err
		}
		settings.Listen, settings.ListenAny = "127.0.0.1:0", false
		ctx, stop := untilAsked(cmd.Context())
		defer stop()
		log, flush := newLogger(slog.LevelWarn)
		defer flush()
		a, err := agent.New(settings, log)
		if err != nil {
			return err
		}
		defer a.Close()
		environment, err := tokenVariables(ctx, a, tokens)
		if err != nil {
			return err
		}
		l, err := settings.Open(ctx)
		if err != nil {
			return err
		}
		serving, end := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- a.Run(serving, l) }()
		err = runChild(ctx, cmd, args, append(environment, addressVariables(startedOf(l, settings))...))
		end()
		return errors.Join(err, <-ended)
	}
	return c
}

func tokenVariables(ctx context.Context, a *agent.Agent, wanted []string) (environment []string, err error) {
	for _, w := range wanted {
		variable, name, ok := strings.Cut(w, "=")
		if !ok || variable == "" {
			return nil, wrongUsage("--token is VARIABLE=NAME")
		}
		t, err := a.Token(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		environment = append(environment, variable+"="+t.AccessToken.Reveal())
	}
	return environment, nil
}

func addressVariables(s agentStarted) []string {
	environment := []string{"GATEHOUSE_AGENT_URL=" + s.URL}
	for _, name := range s.Upstreams {
		variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		environment = append(environment, "GATEHOUSE_AGENT_"+variable+"_URL="+s.URL+"/"+name)
	}
	return environment
}

// runChild runs a command to its end; what ends us asks it to end.
func runChild(ctx context.Context, cmd *cobra.Command, args, environment []string) error {
	child := exec.CommandContext(ctx, args[0], args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	child.Env = append(os.Environ(), environment...)
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	err := child.Run()
	if status, ok := errors.AsType[*exec.ExitError](err); ok {
		if signal, ok := status.Sys().(syscall.WaitStatus); ok && signal.Signaled() {
			return childStatus(128 + int(signal.Signal())) // as shells say it
		}
		return childStatus(status.ExitCode())
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("running %s: %w", args[0], err)
	}
	return nil
}

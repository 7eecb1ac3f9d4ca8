package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/agent"
	"github.com/gatehouse-auth/gatehouse/node"
)

func agentCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "agent", Short: "Run a local proxy that adds live tokens to calls of APIs", Args: unknownCommand,
		Long: "Runs a proxy on loopback: http://127.0.0.1:4180/NAME/v1/x goes to NAME's base_url + /v1/x\n" +
			"with a token, which is renewed before it ends. SIGHUP reads the settings again, and keeps\n" +
			"the old ones if the new ones have a fault; files of credentials are followed by themselves.",
		Example: "gatehouse agent --config agent.yaml\n\n" +
			"# A live token for a script\ngatehouse agent token --config agent.yaml bank\n\n" +
			"# A program that finds the proxy in its environment\ngatehouse agent run --config agent.yaml -- ./import.py",
	}
	c.PersistentFlags().StringVar(&config, "config", "", "settings file (YAML)")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := agentSettings(config)
		if err != nil {
			return err
		}
		return runAgent(cmd, config, settings)
	}
	c.AddCommand(agentToken(&config), agentRun(&config))
	return c
}

func agentSettings(config string) (agent.Settings, error) {
	if config == "" {
		return agent.Settings{}, wrongUsage("name the settings file: --config agent.yaml")
	}
	return agent.ReadSettings(config)
}

// agentStarted is what `agent --json` prints, on one line.
type agentStarted struct {
	URL       string   `json:"url"`
	Upstreams []string `json:"upstreams"`
}

func startedOf(l net.Listener, s agent.Settings) agentStarted {
	url := "http://" + l.Addr().String()
	if l.Addr().Network() == "unix" {
		url = "unix:" + l.Addr().String()
	}
	return agentStarted{url, slices.Sorted(maps.Keys(s.Upstreams))}
}

func runAgent(cmd *cobra.Command, config string, settings agent.Settings) error {
	ctx, stop := untilAsked(cmd.Context())
	defer stop()
	log, flush := newLogger(slog.LevelInfo)
	defer flush()
	a, err := agent.New(settings, log)
	if err != nil {
		return err
	}
	defer a.Close()
	l, err := settings.Open(ctx)
	if err != nil {
		return err
	}
	node.TuneRuntime()
	go reloadAgent(ctx, a, config, settings, log)
	started := startedOf(l, settings)
	if err := show(cmd, started, func(w io.Writer) {
		for _, name := range started.Upstreams {
			fmt.Fprintf(w, "%s/%s\n", started.URL, name)
		}
	}); err != nil {
		return err
	}
	return a.Run(ctx, l)
}

// reloadAgent reads the settings again with each SIGHUP.
func reloadAgent(ctx context.Context, a *agent.Agent, config string, first agent.Settings, log *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		next, err := agent.ReadSettings(config)
		if err == nil {
			err = a.Reload(next)
		}
		if err != nil {
			log.Error("reload failed; the old settings stay", "error", err)
			continue
		}
		if next.Listen != first.Listen {
			log.Warn("listen has changed, which takes a restart", "listen", first.Listen)
		}
		log.Info("reloaded", "upstreams", len(next.Upstreams))
	}
}

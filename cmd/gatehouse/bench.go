package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/node"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/speed"
)

// What one run may ask for at most: it is a measurement, not a load test.
const (
	longestBench    = time.Minute
	mostConnections = 1000
)

// benchmark is what bench is told.
type benchmark struct {
	length        time.Duration
	dir, database string
	server        speed.Server
}

// benchReport is what bench prints.
type benchReport struct {
	Server      string           `json:"server"`
	Cores       int              `json:"cores"`
	Connections int              `json:"connections"`
	Seconds     float64          `json:"seconds"` // of each measurement
	Measured    []speed.Measured `json:"measured"`
}

func benchCommand() *cobra.Command {
	b := &benchmark{}
	c := &cobra.Command{
		Use: "bench", Short: "Measure what a server does on this machine", Args: cobra.NoArgs,
		Long: "Starts a server of its own on loopback, with a ledger in DIR that is removed afterwards,\n" +
			"and measures it beside what the disk and the cores could do at most. The load comes from\n" +
			"the same machine, so the figures are lower than those of a server that has it for itself.\n" +
			"With --url it measures that server instead, as the client whose secret is on stdin; limits\n" +
			"of the client hold, and the tokens stay on the ledger until they expire.",
		Example: "gatehouse bench\ngatehouse bench --database postgres://localhost/scratch\n" +
			"gatehouse bench --url https://auth.example.com --client acme < secret.txt",
	}
	f := c.Flags()
	f.DurationVar(&b.length, "duration", 3*time.Second, "how long each measurement takes, a minute at most")
	f.IntVar(&b.server.Connections, "connections", 32, "how many callers there are at once")
	f.StringVar(&b.dir, "dir", ".", "where the ledger is put: on the disk that is to be measured")
	f.StringVar(&b.database, "database", "", "another place for the ledger: postgres://…; what is written there stays")
	f.StringVar(&b.server.URL, "url", "", "measure the server at this URL")
	f.StringVar(&b.server.ClientID, "client", "", "id of a client of standard OAuth 2.0, with --url")
	f.StringVar(&b.server.Environment, "environment", "live", "the client's environment, with --url")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		report, err := b.run(cmd)
		if err != nil {
			return err
		}
		return show(cmd, report, report.print)
	}
	return c
}

func (b *benchmark) run(cmd *cobra.Command) (report *benchReport, err error) {
	switch elsewhere := b.server.URL != ""; {
	case b.length <= 0 || b.length > longestBench:
		return nil, wrongUsage("--duration: %s must be more than 0 and at most %s", b.length, longestBench)
	case b.server.Connections < 1 || b.server.Connections > mostConnections:
		return nil, wrongUsage("--connections: %d must be between 1 and %d", b.server.Connections, mostConnections)
	case elsewhere != (b.server.ClientID != ""):
		return nil, wrongUsage("--url and --client go together: whose tokens shall be issued there?")
	case elsewhere && b.database != "":
		return nil, wrongUsage("--database is for a server that bench starts; --url names one that runs")
	}
	ctx, stop := untilAsked(cmd.Context())
	defer stop()
	report = &benchReport{Server: b.server.URL, Cores: runtime.GOMAXPROCS(0), Connections: b.server.Connections, Seconds: b.length.Seconds()}
	if b.server.URL != "" {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
		if err != nil {
			return nil, err
		}
		if b.server.ClientSecret = secret.New(strings.TrimRight(string(text), "\r\n")); b.server.ClientSecret.IsZero() {
			return nil, errors.New("the client's secret is missing: give it on stdin, as in `gatehouse bench … < secret.txt`")
		}
		return report, b.measure(ctx, cmd.ErrOrStderr(), report)
	}
	dir, err := os.MkdirTemp(b.dir, "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, m := range []struct {
		what string
		do   func() (speed.Measured, error)
	}{
		{"the cores", func() (speed.Measured, error) { return speed.Signing(ctx, b.length) }},
		{"the disk", func() (speed.Measured, error) { return speed.Syncing(ctx, dir, b.length) }},
	} {
		fmt.Fprintf(cmd.ErrOrStderr(), "measuring %s …\n", m.what)
		measured, err := m.do()
		if err != nil {
			return nil, err
		}
		report.Measured = append(report.Measured, measured)
	}
	return report, b.own(ctx, cmd.ErrOrStderr(), dir, report)
}

// own starts a server and measures it.
func (b *benchmark) own(ctx context.Context, progress io.Writer, dir string, report *benchReport) error {
	database := b.database
	if database == "" {
		database = "sqlite:" + dir
	}
	settings, err := node.LoadSettings("", map[string]any{
		"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "database": database,
		"admin_socket": filepath.Join(dir, admin.SocketName), "log_level": "error",
	}, devEnvironment())
	if err != nil {
		return err
	}
	settings.Dev, settings.Ledger, settings.Dir = true, settings.Dir, dir
	log, flush := newLogger(settings.LogLevel)
	defer flush()
	n, err := node.Open(ctx, settings, buildVersion(), log)
	if err != nil {
		return err
	}
	clients, err := n.Demo(ctx)
	if err != nil || len(clients) == 0 {
		n.Close()
		return errors.Join(err, errors.New("the server has no demo client: give bench a database of its own"))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() error { close(started); return nil }) }()
	select {
	case <-started:
	case err := <-ended:
		return err
	}
	for _, c := range clients {
		if c.Dialect == "oauth2" && c.Environment == "live" {
			b.server.ClientID, b.server.ClientSecret = c.ClientID, c.ClientSecret.Text
		}
	}
	b.server.URL = n.URL()
	report.Server = "its own"
	err = b.measure(ctx, progress, report)
	stop()
	return errors.Join(err, <-ended)
}

func (b *benchmark) measure(ctx context.Context, progress io.Writer, report *benchReport) error {
	b.server.Open()
	defer b.server.Close()
	for _, m := range []struct {
		what string
		do   func(context.Context, time.Duration) (speed.Measured, error)
	}{{"issuing", b.server.Issue}, {"verifying", b.server.Verify}} {
		fmt.Fprintf(progress, "measuring %s …\n", m.what)
		measured, err := m.do(ctx, b.length)
		if err != nil {
			return err
		}
		report.Measured = append(report.Measured, measured)
	}
	return nil
}

func (r *benchReport) print(w io.Writer) {
	rows := [][]string{}
	for _, m := range r.Measured {
		rows = append(rows, []string{m.What, strconv.FormatFloat(m.PerSecond, 'f', 0, 64),
			m.P50.String(), m.P99.String(), m.Longest.String()})
	}
	table(w, "WHAT A-SECOND P50 P99 LONGEST", rows)
}

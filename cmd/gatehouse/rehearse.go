package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/node"
	"github.com/gatehouse-auth/gatehouse/rehearse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A rehearsal is a stage on the public address, with dev's server behind it.
type rehearsal struct {
	plan     rehearse.Plan
	listener net.Listener
	stage    *rehearse.Stage
	server   *http.Server
	ended    chan struct{} // closed when the rest is set
	report   *rehearse.Report
	failed   error
}

var bySelf = gatehouse.System("rehearsal")

// newRehearsal reads the plan and takes the address that dev was given; dev's
// own server moves to a free port.
func newRehearsal(ctx context.Context, path string, settings *node.Settings) (*rehearsal, error) {
	plan, err := rehearse.ReadPlan(path)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", settings.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		l.Close()
		return nil, errors.New("listen: a rehearsal is for this machine: use an address of loopback")
	}
	settings.Listen = "127.0.0.1:0"
	return &rehearsal{plan: plan, listener: l}, nil
}

func (r *rehearsal) url() string { return "http://" + r.listener.Addr().String() }

// start puts the stage before n, and has end called when the last act is over.
func (r *rehearsal) start(ctx context.Context, n *node.Node, clients []node.DemoClient, end func()) error {
	i := slices.IndexFunc(clients, func(c node.DemoClient) bool { return c.Name == r.plan.Client && c.Environment == r.plan.Environment })
	if i < 0 {
		return fmt.Errorf("the plan's client: dev has no %q in %s; its clients are named like %s", r.plan.Client, r.plan.Environment, clients[0].Name)
	}
	demo := clients[i]
	behind, err := url.Parse(n.URL())
	if err != nil {
		return err
	}
	wings, err := newWings(n.Engine(), demo, r.plan)
	if err != nil {
		return err
	}
	var d *dialect.Dialect
	if i := slices.IndexFunc(n.Dialects(), func(d *dialect.Dialect) bool { return d.Name == demo.Dialect }); i >= 0 {
		d = n.Dialects()[i]
	}
	r.stage, err = rehearse.New(rehearse.Config{
		Plan: r.plan, Dialect: d, ClientID: demo.ClientID, Secret: demo.ClientSecret.Text, Backstage: wings,
		Server: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(behind) }},
	})
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r.stage, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(r.listener) }() // until it is closed
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		defer end()
		r.report, r.failed = r.stage.Run(ctx)
		r.failed = errors.Join(r.failed, wings.restore(context.WithoutCancel(ctx)))
	}()
	return nil
}

// finish writes the reports. The error says that not every point held.
func (r *rehearsal) finish(cmd *cobra.Command) error {
	if r.server == nil {
		return nil // it has not begun, and dev says why
	}
	r.server.Close()
	<-r.ended
	if errors.Is(r.failed, context.Canceled) {
		return errors.New("the rehearsal was interrupted, so there is no report")
	}
	if r.report == nil {
		return r.failed
	}
	for _, path := range r.plan.Reports {
		if err := r.report.Write(path); err != nil {
			return err
		}
	}
	if err := show(cmd, r.report, func(w io.Writer) { printRehearsal(w, r.report) }); err != nil {
		return err
	}
	if !r.report.Full() {
		return errors.Join(r.failed, fmt.Errorf("%d of %d points held: the report says what to change", r.report.Marks, r.report.Of))
	}
	return r.failed
}

func printRehearsal(w io.Writer, r *rehearse.Report) {
	fmt.Fprintf(w, "\n%s in %s, %s\n\n", r.Client, r.Environment, r.Dialect)
	var rows [][]string
	for _, p := range r.Points {
		rows = append(rows, []string{map[bool]string{true: "held", false: "FAILED"}[p.Held], p.Name, p.Detail, p.Source})
	}
	table(w, "RESULT POINT SEEN SOURCE", rows)
	fmt.Fprintf(w, "\n%d of %d\n", r.Marks, r.Of)
}

// wings does behind the stage what the plan asks for.
type wings struct {
	engine *gatehouse.Engine
	client *gatehouse.Client
	env    gatehouse.Environment
	file   string
}

func newWings(e *gatehouse.Engine, demo node.DemoClient, plan rehearse.Plan) (*wings, error) {
	for _, c := range e.Clients("", 1000) {
		if c.Name == demo.Name {
			w := &wings{e, c, gatehouse.Environment(plan.Environment), plan.SecretFile}
			return w, w.tell(demo.ClientSecret.Text)
		}
	}
	return nil, fmt.Errorf("the client %s is gone", demo.Name)
}

// tell writes the secret where the program reads it.
func (w *wings) tell(s secret.Text) error {
	if w.file == "" {
		return nil
	}
	if err := os.WriteFile(w.file+".new", []byte(s.Reveal()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(w.file+".new", w.file)
}

func (w *wings) SetLife(ctx context.Context, life time.Duration) error {
	_, err := w.engine.UpdateClient(ctx, bySelf, w.client.ID, gatehouse.ClientUpdate{MaxTTL: &life})
	return err
}

func (w *wings) restore(ctx context.Context) error { return w.SetLife(ctx, w.client.MaxTTL) }

func (w *wings) RotateKey(ctx context.Context) error {
	_, err := w.engine.RotateKeys(ctx, bySelf, w.env, "")
	return err
}

func (w *wings) ReplaceSecret(ctx context.Context) (secret.Text, error) {
	known, ok := w.engine.Client(w.client.ID)
	if !ok {
		return secret.Text{}, fmt.Errorf("the client %s is gone", w.client.Name)
	}
	for _, old := range known.LiveSecrets(w.env) {
		if _, err := w.engine.RetireSecret(ctx, bySelf, old.ID, true); err != nil {
			return secret.Text{}, err
		}
	}
	added, err := w.engine.AddSecret(ctx, bySelf, w.client.ID, w.env, secret.Text{}, nil)
	if err != nil {
		return secret.Text{}, err
	}
	return added.Secret, w.tell(added.Secret)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/node"
)

func devCommand() *cobra.Command {
	var dir, listen, adminListen, database, issuer, plan string
	var files []string
	var limits bool
	c := &cobra.Command{
		Use: "dev", Short: "Run everything on loopback, with demo clients and curl lines to paste", Args: cobra.NoArgs,
		Long: "Runs the whole server on loopback, with a ledger, keys and a demo client for each dialect\n" +
			"and for standard OAuth 2.0, in both environments. A second start on the same directory\n" +
			"keeps clients, tokens and keys, and prints the same secrets.",
		Example: "gatehouse dev\ngatehouse dev --dialect ./bank.yaml --json",
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "address of the public listener; port 0 takes a free one")
	f.StringVar(&adminListen, "admin-listen", "127.0.0.1:8081", "address of the admin listener")
	f.StringVar(&dir, "data", defaultDir, "directory for the ledger, keys and demo secrets")
	f.StringVar(&database, "database", "", "another place for the ledger: sqlite:DIR or postgres://…")
	f.StringArrayVar(&files, "dialect", nil, "a dialect file to serve beside the built-in ones (repeatable)")
	f.StringVar(&issuer, "issuer", "", "issuer of standard tokens; none is the URL of the first start")
	f.BoolVar(&limits, "limits", false, "enforce limits, as serve does")
	f.StringVar(&plan, "rehearse", "", "misbehave as this plan (YAML) says, and grade the program that calls")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		flags := map[string]any{
			"listen": listen, "admin_listen": adminListen, "issuer": issuer, "database": "sqlite:" + dir,
			"dialects": append(dialect.BuiltinNames(), files...), "admin_socket": filepath.Join(dir, admin.SocketName),
		}
		if database != "" {
			flags["database"] = database
		}
		settings, err := node.LoadSettings("", flags, devEnvironment())
		if err != nil {
			return err
		}
		settings.Dev, settings.Limits = true, limits
		settings.Ledger, settings.Dir = settings.Dir, filepath.Clean(dir)
		return dev(cmd, settings, plan)
	}
	return c
}

// devEnvironment is all of the environment that dev heeds: what is set for
// another program, such as PORT, is not meant for it.
func devEnvironment() (out []string) {
	for _, name := range []string{"GATEHOUSE_KEY_ENCRYPTION_KEY", "GATEHOUSE_KEY_ENCRYPTION_KEY_FILE", "GATEHOUSE_LOG_LEVEL", "GATEHOUSE_REDIS", "GATEHOUSE_REDIS_FILE"} {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

func dev(cmd *cobra.Command, settings node.Settings, plan string) (err error) {
	ctx, stop := untilAsked(cmd.Context())
	defer stop()
	if settings.AdminToken, err = node.DemoAdminToken(settings.Dir); err != nil {
		return err
	}
	log, flush := newLogger(settings.LogLevel)
	defer flush()
	var staged *rehearsal
	if plan != "" {
		if staged, err = newRehearsal(ctx, plan, &settings); err != nil {
			return err
		}
		defer staged.listener.Close()
	}
	n, err := node.Open(ctx, settings, buildVersion(), log)
	if err != nil {
		return err
	}
	clients, err := n.Demo(ctx)
	if err != nil {
		n.Close()
		return err
	}
	users, err := n.DemoUsers(ctx)
	if err != nil {
		n.Close()
		return err
	}
	err = n.Run(ctx, func() error {
		publicURL := n.URL()
		if staged != nil {
			if err := staged.start(ctx, n, clients, stop); err != nil {
				return err
			}
			publicURL = staged.url()
		}
		started := devStarted{publicURL, n.AdminURL(), admin.Credential{Text: settings.AdminToken}, clients, users}
		var human string
		if asJSON, _ := cmd.Flags().GetBool("json"); !asJSON {
			if human, err = devPage(cmd, n, started); err != nil {
				return err
			}
		}
		return show(cmd, started, func(w io.Writer) { fmt.Fprint(colorprofile.NewWriter(w, os.Environ()), human) })
	})
	if staged != nil {
		err = errors.Join(err, staged.finish(cmd))
	}
	return err
}

// devStarted is what `dev --json` prints, on one line.
type devStarted struct {
	URL        string            `json:"url"`
	AdminURL   string            `json:"admin_url"`
	AdminToken admin.Credential  `json:"admin_token"`
	Clients    []node.DemoClient `json:"clients"`
	Users      []node.DemoUser   `json:"users"`
}

var (
	heading = lipgloss.NewStyle().Bold(true)
	faint   = lipgloss.NewStyle().Faint(true)
)

func devPage(cmd *cobra.Command, n *node.Node, s devStarted) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", heading.Render("Gatehouse is ready."))
	details(&b,
		"  API", s.URL,
		"  Issuer", n.Engine().Issuer(gatehouse.Live),
		"  Admin", s.AdminURL,
		"  Admin token", s.AdminToken.Reveal(),
		"  Data", n.Settings().Dir)
	if len(s.Clients) == 0 {
		fmt.Fprintf(&b, "\n%s\n", "This node has joined others on the database: the first one printed the demo clients' secrets.")
	}
	last := ""
	for _, c := range s.Clients {
		if c.Dialect != last {
			fmt.Fprintf(&b, "\n%s\n", heading.Render(c.Dialect+"  "+titleOf(n, c.Dialect)))
			last = c.Dialect
		}
		fmt.Fprintf(&b, "\n  %s\n", c.Environment)
		details(&b, "  client id", c.ClientID, "  client secret", c.ClientSecret.Reveal())
		line, note, err := curlLine(cmd, n, s.URL, c)
		if err != nil {
			return "", err
		}
		if note != "" {
			fmt.Fprintf(&b, "  %s\n", faint.Render(note))
		}
		fmt.Fprintf(&b, "  %s\n", line)
		if at := n.ConnectDemo(c); at != "" {
			fmt.Fprintf(&b, "  %s\n  %s\n", faint.Render("An end user connects in a browser at"), at)
		}
	}
	if len(s.Users) > 0 {
		fmt.Fprintf(&b, "\n%s\n", heading.Render("End users who can sign in to the Connect pages of the sandbox"))
		for _, u := range s.Users {
			details(&b, "  name", u.Name, "  password", u.Password.Reveal())
		}
	}
	fmt.Fprintf(&b, "\n%s\n", faint.Render("Clients, tokens and keys stay in the data directory. Ctrl-C stops the server."))
	return b.String(), nil
}

func titleOf(n *node.Node, name string) string {
	for _, d := range n.Dialects() {
		if d.Name == name {
			return d.Title
		}
	}
	return "Standard OAuth 2.0"
}

// curlLine is a line that obtains a token for c. Where the dialect gives tokens
// for access codes only, a connection of a demo user is made for it.
func curlLine(cmd *cobra.Command, n *node.Node, base string, c node.DemoClient) (line, note string, err error) {
	var d *dialect.Dialect
	for _, known := range n.Dialects() {
		if known.Name == c.Dialect {
			d = known
		}
	}
	if d == nil {
		return fmt.Sprintf("curl -s -u %s:%s -d grant_type=client_credentials %s/oauth2/token", c.ClientID, c.ClientSecret.Reveal(), base), "", nil
	}
	id, _ := d.FromWire(dialect.ClientID, c.ClientID)
	v := dialect.NewValues(4)
	v.SetText(dialect.ClientID, id)
	v.SetSecret(dialect.ClientSecret, c.ClientSecret.Text)
	op := d.Operation(dialect.Issue)
	if op == nil {
		if op = d.Operation(dialect.Exchange); op == nil {
			return "", "this dialect gives out no tokens", nil
		}
		linked, err := n.Engine().CreateConnection(cmd.Context(), gatehouse.System("dev"), gatehouse.ClientID(id), gatehouse.Environment(c.Environment), "demo-user", nil)
		if err != nil {
			return "", "", err
		}
		v.SetSecret(dialect.AccessCode, linked.AccessCode)
		v.SetText(dialect.ConnectionID, linked.Connection.ID.String())
		note = "An access code of the user demo-user, good for one exchange until " + when(linked.CodeExpiresAt)
	}
	line, err = op.Curl(base, v)
	return line, note, err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/doctor"
	"github.com/gatehouse-auth/gatehouse/node"
)

// examined is what `doctor --json` prints.
type examined struct {
	Server   string           `json:"server"` // "" where none was running
	Findings []doctor.Finding `json:"findings"`
}

func doctorCommand() *cobra.Command {
	var config string
	var asCaller bool
	c := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong with a deployment, why, and how to mend it", Args: cobra.NoArgs,
		Long: "Looks at clocks, signing keys, the schema, the journal, permissions, certificates, settings, the\n" +
			"database and disk space. A running server looks at itself; where none runs, the settings and the\n" +
			"files are looked at. Exit status 1 means that there is an error among the findings.",
		Example: "gatehouse doctor --config /etc/gatehouse/gatehouse.yaml\ngatehouse doctor --data ./gatehouse-data --as-caller",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := examine(cmd, config, asCaller)
			if err != nil {
				return err
			}
			if err := show(cmd, out, func(w io.Writer) { printFindings(w, out) }); err != nil {
				return err
			}
			if doctor.Failed(out.Findings) {
				return childStatus(exitRefused)
			}
			return nil
		},
	}
	c.Flags().StringVar(&config, "config", "", "settings file of the server")
	c.Flags().BoolVar(&asCaller, "as-caller", false, "also go to the server by its issuer's address, as its callers do")
	administers(c)
	c.MarkFlagsMutuallyExclusive("config", "admin-url")
	c.MarkFlagsMutuallyExclusive("config", "data")
	return c
}

func examine(cmd *cobra.Command, config string, asCaller bool) (*examined, error) {
	ctx := cmd.Context()
	settings, known, err := settingsToExamine(cmd, config)
	if err != nil {
		return nil, err
	}
	api, err := dial(cmd)
	if config != "" {
		api, err = admin.DialSocket(settings.AdminSocket), nil
	}
	if err != nil {
		return nil, err
	}
	out := &examined{Findings: []doctor.Finding{}}
	before := time.Now()
	told, err := api.Examine(ctx)
	issuer := settings.Issuer
	var away *admin.UnreachableError
	switch {
	case err == nil:
		out.Server, issuer = told.Issuer, told.Issuer
		out.Findings = append(out.Findings, told.Findings...)
		asked := before.Add(time.Since(before) / 2)
		if f, ok := doctor.ClockFinding("the server", told.At.Sub(asked)); ok {
			out.Findings = append(out.Findings, f)
		}
	case errors.As(err, &away) && known:
		out.Findings = append(out.Findings, node.Examine(ctx, settings)...)
	default:
		return nil, err
	}
	if asCaller {
		found, err := examineAsCaller(ctx, issuer)
		if err != nil {
			return nil, err
		}
		out.Findings = append(out.Findings, found...)
	}
	doctor.Sort(out.Findings)
	return out, nil
}

// settingsToExamine are those of the file, or of a data directory alone. known
// is false where neither is there.
func settingsToExamine(cmd *cobra.Command, config string) (s node.Settings, known bool, err error) {
	if config != "" {
		s, err = node.LoadSettings(config, nil, os.Environ())
		return s, true, err
	}
	dir, _ := cmd.Flags().GetString("data")
	if s, err = node.LoadSettings("", map[string]any{"database": "sqlite:" + dir}, nil); err != nil {
		return s, false, err
	}
	s.AdminSocket = filepath.Join(dir, admin.SocketName)
	_, err = os.Stat(dir)
	known = err == nil && !cmd.Flags().Changed("admin-url")
	// Of a directory alone it isn't known whether it is dev's or serve's.
	s.Dev = true
	return s, known, nil
}

// examineAsCaller goes to the issuer's address.
func examineAsCaller(ctx context.Context, issuer string) ([]doctor.Finding, error) {
	if issuer == "" {
		return nil, wrongUsage("--as-caller needs an issuer in the settings, or a running server")
	}
	unreachable := func(why string) []doctor.Finding {
		return []doctor.Finding{{
			Check: "issuer-unreachable", Severity: doctor.Error, What: fmt.Sprintf("the server can't be reached at its issuer's address %s: %s", issuer, why),
			Why: "callers that go by the issuer find neither its metadata nor its keys", Mend: "let that address lead to the public listener, with a certificate for it; or ask again from where callers are",
		}}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	host, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(issuer, "https://"), "http://"), "/")
	address := issuer[:strings.Index(issuer, "://")+3] + host + "/.well-known/oauth-authorization-server"
	if path != "" {
		address += "/" + path // RFC 8414 §3.1
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return unreachable(err.Error()), nil
	}
	before := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return unreachable(err.Error()), nil
	}
	defer res.Body.Close()
	asked := before.Add(time.Since(before) / 2)
	var told struct {
		Issuer string         `json:"issuer"`
		Rest   jsontext.Value `json:",unknown"`
	}
	if err := json.UnmarshalRead(io.LimitReader(res.Body, 64<<10), &told); res.StatusCode != http.StatusOK || err != nil {
		return unreachable("it answers " + res.Status), nil
	}
	var out []doctor.Finding
	if told.Issuer != issuer {
		out = append(out, doctor.Finding{
			Check: "issuer-differs", Severity: doctor.Error, What: fmt.Sprintf("at %s the server calls itself %s", issuer, told.Issuer),
			Why: "standard clients refuse an issuer that isn't where they found it (RFC 8414, section 3.3)", Mend: "set issuer to the address that callers use, before tokens are issued",
		})
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		// The header has whole seconds.
		if f, ok := doctor.ClockFinding("the server at "+issuer, date.Add(500*time.Millisecond).Sub(asked)); ok {
			out = append(out, f)
		}
	}
	return out, nil
}

func printFindings(w io.Writer, out *examined) {
	for _, f := range out.Findings {
		fmt.Fprintf(w, "%s %s: %s\n  why:  %s\n  mend: %s\n\n", f.Severity, f.Check, f.What, f.Why, f.Mend)
	}
	of := "of the files and settings; no server is running"
	if out.Server != "" {
		of = "of the running server " + out.Server
	}
	fmt.Fprintf(w, "%s, %s\n", count(len(out.Findings), "finding"), of)
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/dialect/check"
	"github.com/gatehouse-auth/gatehouse/node"
)

// checkReport is what `dialect check --json` prints. Valid says that the file
// can be used and that everything that was tried held.
type checkReport struct {
	admin.DialectCheck
	Tried []check.Result `json:"tried"`
}

func dialectCheck() *cobra.Command {
	var against, client, connection string
	c := &cobra.Command{
		Use: "check FILE", Short: "Say what is wrong with a dialect file, and have its two halves speak to each other", Args: cobra.ExactArgs(1),
		Long: "Serves the dialect on loopback and speaks it with the client's half, through each operation\n" +
			"and each error, and says what held. With --against, the client's half speaks to a real server\n" +
			"instead. It is given the client's secret on stdin, in a line; for a dialect that exchanges\n" +
			"access codes the next lines are the code, which is spent, and the user secret.",
		Example: "gatehouse dialect check bank.yaml\n" +
			"gatehouse dialect check bank.yaml --against https://sandbox.bank.example --client CLIENT_ID < secret.txt",
	}
	c.Flags().StringVar(&against, "against", "", "base URL of a real server")
	c.Flags().StringVar(&client, "client", "", "with --against: client id")
	c.Flags().StringVar(&connection, "connection", "", "with --against: connection id, where the dialect has connections")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		report := checkReport{Tried: []check.Result{}}
		d, err := describeFile(args[0], &report.DialectCheck)
		if err != nil {
			return err
		}
		if report.Valid {
			if against == "" {
				report.Tried, err = check.Loopback(cmd.Context(), d)
			} else {
				var with check.Credentials
				if with, err = credentialsFrom(cmd.InOrStdin(), d); err == nil {
					with.ClientID, with.ConnectionID = client, connection
					report.Tried = check.Against(cmd.Context(), d, against, with)
				}
			}
			if err != nil {
				return err
			}
			report.Valid = check.Held(report.Tried)
		}
		if err := show(cmd, report, func(w io.Writer) { printCheck(w, d, report, against) }); err != nil {
			return err
		}
		if !report.Valid {
			return errors.New(strings.Join(append(report.Problems, failures(report.Tried)...), "\n"))
		}
		return nil
	}
	return c
}

// describeFile loads a file; what is wrong with it goes into the report.
func describeFile(path string, report *admin.DialectCheck) (*dialect.Dialect, error) {
	builtin, err := node.LoadDialects(nil)
	if err != nil {
		return nil, err
	}
	d, err := node.LoadDialect(path)
	if err != nil {
		report.Problems = strings.Split(err.Error(), "\n")
		return nil, nil
	}
	*report = admin.CheckAgainst(d, builtin)
	return d, nil
}

// credentialsFrom reads secrets, one a line.
func credentialsFrom(r io.Reader, d *dialect.Dialect) (c check.Credentials, err error) {
	lines := bufio.NewReader(r)
	if c.ClientSecret, err = secretLine(lines, "the client's secret"); err != nil || d.Operation(dialect.Issue) != nil {
		return c, err
	}
	if c.AccessCode, err = secretLine(lines, "the client's secret and, in the next line, an access code"); err != nil {
		return c, err
	}
	if _, err := lines.Peek(1); err == nil {
		c.UserSecret, err = secretLine(lines, "the user secret")
		return c, err
	}
	return c, nil
}

func failures(results []check.Result) (out []string) {
	for _, r := range results {
		if !r.Held {
			out = append(out, fmt.Sprintf("%s, %s: %s", r.Operation, r.Case, r.Detail))
		}
	}
	return out
}

func printCheck(w io.Writer, d *dialect.Dialect, report checkReport, against string) {
	if d == nil {
		return
	}
	fmt.Fprintf(w, "%s  %s\n\n", d.Name, d.Title)
	var rows [][]string
	for _, op := range d.Operations {
		rows = append(rows, []string{string(op.Name), op.Method(), op.Path()})
	}
	table(w, "OPERATION METHOD PATH", rows)
	fmt.Fprintln(w)
	rows = nil
	for _, r := range report.Tried {
		rows = append(rows, []string{r.Operation, r.Case, map[bool]string{true: "held", false: "FAILED"}[r.Held], r.Detail})
	}
	table(w, "OPERATION TRIED RESULT DETAIL", rows)
	for _, warning := range report.Warnings {
		fmt.Fprintf(w, "\nwarning: %s\n", warning)
	}
	switch {
	case !report.Valid:
	case against != "":
		fmt.Fprintf(w, "\n%s speaks the dialect, in all that was tried.\n", against)
	default:
		fmt.Fprintln(w, "\nEvery message reads back what it writes, and no route is another dialect's.")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

// Exit statuses.
const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
)

// run executes the command line and returns the exit status.
func run() int {
	root := newRoot()
	// What goes wrong before a command's own code runs is wrong usage: flags,
	// arguments, unknown commands.
	running := false
	eachCommand(root, func(c *cobra.Command) {
		if f := c.RunE; f != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				running = true
				return f(cmd, args)
			}
		}
	})
	err := fang.Execute(context.Background(), root,
		fang.WithVersion(buildVersion().Version), fang.WithErrorHandler(printError))
	var usage *usageError
	var child childStatus
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &child):
		return int(child)
	case !running || errors.As(err, &usage):
		return exitUsage
	}
	return exitRefused
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gatehouse",
		Short: "A token authority for partner APIs",
		Long: "Gatehouse issues, checks and takes back the tokens of partner APIs, in the wire\n" +
			"dialect that the partners' programs already speak, and in standard OAuth 2.0.",
		Example: "# Everything on, on loopback, with demo clients and curl lines to paste\ngatehouse dev\n\n" +
			"# The same server for real use\ngatehouse serve --config gatehouse.yaml",
		Args: unknownCommand,
		RunE: needsCommand,
	}
	root.PersistentFlags().Bool("json", false, "print one JSON document on stdout")
	root.AddCommand(devCommand(), serveCommand(),
		clientCommand(), secretCommand(), tokenCommand(), connectionCommand(), userCommand(), webhookCommand(),
		backupCommand(), restoreCommand(), migrateCommand(),
		importCommand(), doctorCommand(), keyCommand(), dialectCommand(), auditCommand(), agentCommand(), gateCommand(), explainCommand(), benchCommand(), versionCommand())
	return root
}

func eachCommand(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		eachCommand(sub, f)
	}
}

// group makes a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: unknownCommand, RunE: needsCommand}
	c.AddCommand(subs...)
	return c
}

// A usageError is wrong usage that only a command's own code can see.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func wrongUsage(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("%q is no command of %s", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return wrongUsage("%s", message)
}

func needsCommand(cmd *cobra.Command, _ []string) error {
	if err := cmd.Help(); err != nil {
		return err
	}
	return wrongUsage("name one of the commands of %s", cmd.CommandPath())
}

// printError says what went wrong and what to do next.
func printError(w io.Writer, styles fang.Styles, err error) {
	if errors.As(err, new(childStatus)) {
		return // the command has said what it had to say
	}
	fmt.Fprintln(w, styles.ErrorHeader.UnsetMargins().UnsetString().UnsetPadding().Render("gatehouse:")+" "+err.Error())
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(w, hint)
	}
}

func hintFor(err error) string {
	var unreachable *admin.UnreachableError
	var usage *usageError
	switch {
	case errors.As(err, &unreachable):
		return "Start one with `gatehouse dev` or `gatehouse serve --config FILE`. A server that runs already is\n" +
			"named by its data directory (--data DIR), or by --admin-url with GATEHOUSE_ADMIN_TOKEN."
	case errors.As(err, &usage), isFlagError(err):
		return "See --help for what it takes."
	}
	return ""
}

// isFlagError recognises cobra's own errors, which have no type.
func isFlagError(err error) bool {
	for _, start := range []string{"unknown flag", "unknown shorthand", "flag needs", "invalid argument", "required flag", "accepts ", "if any flags in"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}

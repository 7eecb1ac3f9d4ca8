package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const defaultDir = "./gatehouse-data"

// administers gives a group of commands the flags that say where the server is.
func administers(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().String("data", defaultDir, "data directory of the running server")
	c.PersistentFlags().String("admin-url", "", "admin listener (with GATEHOUSE_ADMIN_TOKEN), or unix:PATH")
	c.MarkFlagsMutuallyExclusive("data", "admin-url")
	return c
}

// dial returns the running server's admin API.
func dial(cmd *cobra.Command) (*admin.Caller, error) {
	where, _ := cmd.Flags().GetString("admin-url")
	dir, _ := cmd.Flags().GetString("data")
	if where == "" && !cmd.Flags().Changed("data") {
		where = os.Getenv("GATEHOUSE_ADMIN_URL")
	}
	if where == "" {
		return admin.DialSocket(filepath.Join(dir, admin.SocketName)), nil
	}
	token, err := adminToken()
	if err != nil {
		return nil, err
	}
	c, err := admin.DialURL(where, token)
	if err != nil {
		return nil, wrongUsage("%s", err)
	}
	return c, nil
}

func adminToken() (secret.Text, error) {
	if t := os.Getenv("GATEHOUSE_ADMIN_TOKEN"); t != "" {
		return secret.New(t), nil
	}
	path := os.Getenv("GATEHOUSE_ADMIN_TOKEN_FILE")
	if path == "" {
		return secret.Text{}, nil
	}
	b, err := os.ReadFile(path)
	return secret.New(strings.TrimSpace(string(b))), err
}

// pageFlags gives a list command --limit and --cursor.
func pageFlags(c *cobra.Command) *admin.Page {
	p := &admin.Page{Limit: 50}
	c.Flags().Var((*limit)(&p.Limit), "limit", "how many to list at most")
	c.Flags().StringVar(&p.Cursor, "cursor", "", "continue where a list ended: its \"next\"")
	return p
}

// listed reads as many pages as it takes to list page.Limit items.
func listed[T any](page admin.Page, read func(admin.Page) (admin.List[T], error)) (admin.List[T], error) {
	list, err := read(page)
	for err == nil && list.Next != "" && len(list.Items) < page.Limit {
		var more admin.List[T]
		more, err = read(admin.Page{Limit: page.Limit - len(list.Items), Cursor: list.Next})
		list = admin.List[T]{Items: append(list.Items, more.Items...), Next: more.Next}
	}
	return list, err
}

// limit is a flag for the size of a page.
type limit int

const longestList = 100_000

// Set reads a number from 1 to longestList.
func (l *limit) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > longestList {
		return fmt.Errorf("it must be a number from 1 to %d", longestList)
	}
	*l = limit(n)
	return nil
}

// Type names the kind of value in help.
func (l *limit) Type() string { return "number" }

func (l *limit) String() string { return strconv.Itoa(int(*l)) }

// life is a flag for durations that also reads days.
type life struct{ time.Duration }

var _ pflag.Value = (*life)(nil)

// Set reads 90s, 48h or 30d.
func (l *life) Set(s string) error {
	hours, days := strings.CutSuffix(s, "d")
	if days {
		hours += "h"
	}
	d, err := time.ParseDuration(hours)
	if err != nil || s == "d" {
		return errors.New("write it like 90s, 48h or 30d")
	}
	if days {
		d *= 24
	}
	if d < 0 || d%time.Second != 0 {
		return errors.New("it must be whole seconds, and not negative")
	}
	l.Duration = d
	return nil
}

// Type names the kind of value in help.
func (l *life) Type() string { return "duration" }

func (l *life) String() string {
	if l.Duration == 0 {
		return ""
	}
	return l.Duration.String()
}

func (l *life) seconds() int64 { return int64(l.Duration / time.Second) }

// environmentFlag gives a command --environment.
func environmentFlag(c *cobra.Command, to *string, about string) {
	c.Flags().StringVar(to, "environment", "", about)
	_ = c.RegisterFlagCompletionFunc("environment", cobra.FixedCompletions([]string{"sandbox", "live"}, cobra.ShellCompDirectiveNoFileComp))
}

func required(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // the command has no such flag
		}
	}
}

const maxSecretLine = 16 << 10

// secretLine reads one line from r, where credentials come in: argv is seen by
// every process of the machine.
func secretLine(r *bufio.Reader, what string) (secret.Text, error) {
	var b strings.Builder
	for {
		part, err := r.ReadByte()
		if err == io.EOF || err == nil && part == '\n' {
			break
		}
		if err != nil {
			return secret.Text{}, err
		}
		if b.Len() == maxSecretLine {
			return secret.Text{}, wrongUsage("what came on stdin is too long for %s", what)
		}
		b.WriteByte(part)
	}
	s := strings.TrimSpace(b.String())
	if s == "" {
		return secret.Text{}, wrongUsage("put %s on stdin", what)
	}
	return secret.New(s), nil
}

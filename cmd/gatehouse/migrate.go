package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/node"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func migrateCommand() *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use: "migrate", Short: "Move a ledger from SQLite to PostgreSQL", Args: cobra.NoArgs,
		Long: "Moves the ledger of a directory, which no server may be using, into an empty PostgreSQL database:\n" +
			"all in one transaction, which is committed only if every table counts as many rows as before and\n" +
			"every hash chain fits. Until then nothing is changed; afterwards the directory's ledger is marked\n" +
			"as moved. Tokens stand as before. Nodes on the database need the same key-encryption key:\n" +
			"that of DIR/key-encryption-key, where none was set.",
		Example: "gatehouse migrate --from sqlite:/var/lib/gatehouse --to postgres://gatehouse@db.internal/gatehouse",
	}
	c.Flags().StringVar(&from, "from", "", "sqlite:DIR")
	c.Flags().StringVar(&to, "to", "", "postgres://…; a password is better kept in ~/.pgpass or PGPASSWORD")
	required(c, "from")
	required(c, "to")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, ok := strings.CutPrefix(from, "sqlite:")
		if !ok || dir == "" {
			return wrongUsage("--from must be sqlite:DIR")
		}
		if !strings.HasPrefix(to, "postgres://") && !strings.HasPrefix(to, "postgresql://") {
			return wrongUsage("--to must be postgres://…")
		}
		log, flush := newLogger(0)
		defer flush()
		ctx, stop := untilAsked(cmd.Context())
		defer stop()
		p := newProgress(cmd, "moved")
		m := node.Migration{Dir: dir, Postgres: secret.New(to), Log: log, Progress: p.rows}
		done, err := m.Run(ctx)
		p.end()
		if err != nil {
			return err
		}
		return show(cmd, done, func(w io.Writer) {
			var rows [][]string
			for _, t := range done.Tables {
				rows = append(rows, []string{t.Table, strconv.FormatInt(t.Source, 10), strconv.FormatInt(t.Target, 10)})
			}
			table(w, "TABLE BEFORE AFTER", rows)
			fmt.Fprintf(w, "\nThe ledger is in %s now; %s and %s checked there.\n", done.To, count(done.Events, "event"), count(done.Tokens, "token"))
			fmt.Fprintf(w, "Set `database` to it, and key_encryption_key to the one that %s has been served with.\n", done.From)
		})
	}
	return c
}

// rows tells how many rows of all have been moved.
func (p *progress) rows(done, all int64) {
	if p.due() {
		fmt.Fprintf(p.to, "\r%s %d of %d tokens", p.what, done, all)
	}
}

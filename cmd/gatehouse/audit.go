package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func auditCommand() *cobra.Command {
	return administers(group("audit", "Read and check the audit record", auditList(), auditCheck()))
}

func auditList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List audit events, newest first", Args: cobra.NoArgs}
	page := pageFlags(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.Event], error) { return api.Events(cmd.Context(), p) })
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, e := range list.Items {
				var detail []string
				for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
					detail = append(detail, k+"="+e.Detail[k])
				}
				rows = append(rows, []string{strconv.FormatInt(e.Seq, 10), when(e.At), e.By.Kind + ":" + e.By.ID, e.By.Address, e.Action, e.Subject, strings.Join(detail, " ")})
			}
			table(w, "SEQ AT BY FROM ACTION SUBJECT DETAIL", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func auditCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Recompute every hash chain, and name what does not fit", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			r, err := api.CheckAudit(cmd.Context())
			if err != nil {
				return err
			}
			err = show(cmd, r, func(w io.Writer) {
				fmt.Fprintf(w, "%s and %s checked\n", count(r.Events, "event"), count(r.Tokens, "token"))
				for _, f := range r.Faults {
					fmt.Fprintln(w, f)
				}
			})
			if err == nil && !r.Clean {
				err = errors.New("the audit record was changed: compare the ledger with a backup, and find out who can write to its directory")
			}
			return err
		},
	}
}

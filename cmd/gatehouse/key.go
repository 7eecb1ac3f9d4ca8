package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func keyCommand() *cobra.Command {
	return administers(group("key", "List, rotate and retire signing keys", keyList(), keyRotate(), keyRetire()))
}

func keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List signing keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			list, err := api.Keys(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) { printKeys(w, list) })
		},
	}
}

func keyRotate() *cobra.Command {
	var r admin.RotateKeys
	c := &cobra.Command{
		Use: "rotate", Short: "Sign with the keys that stand by, from now on; tokens signed before keep passing", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			list, err := api.RotateKeys(cmd.Context(), r)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) { printKeys(w, list) })
		},
	}
	environmentFlag(c, &r.Environment, "sandbox or live")
	c.Flags().StringVar(&r.Format, "format", "", "only the keys of oauth2, or of this dialect")
	required(c, "environment")
	return c
}

func keyRetire() *cobra.Command {
	var compromised bool
	c := &cobra.Command{
		Use: "retire KEY_ID", Short: "Retire a key: another signs from now on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			list, err := api.RetireKey(cmd.Context(), args[0], compromised)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) {
				if compromised {
					fmt.Fprintf(w, "key %s verifies nothing any more\n\n", args[0])
				}
				printKeys(w, list)
			})
		},
	}
	c.Flags().BoolVar(&compromised, "compromised", false, "it is in wrong hands: nothing that it signed passes any more")
	return c
}

func printKeys(w io.Writer, list admin.List[admin.Key]) {
	var rows [][]string
	for _, k := range list.Items {
		rows = append(rows, []string{k.KeyID, k.Environment, k.Format, k.Algorithm, k.State, whenOr(k.SignsFrom, ""), whenOr(k.RetiredAt, ""), whenOr(k.GoneAt, "")})
	}
	table(w, "KEY_ID ENVIRONMENT FORMAT ALGORITHM STATE SIGNS_FROM RETIRED GONE", rows)
}

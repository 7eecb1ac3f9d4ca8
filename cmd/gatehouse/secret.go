package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func secretCommand() *cobra.Command {
	return administers(group("secret", "Add, list and retire client secrets", secretAdd(), secretList(), secretRetire()))
}

func secretAdd() *cobra.Command {
	var client string
	var n admin.AddSecret
	var hash bool
	c := &cobra.Command{
		Use: "add", Short: "Add a second secret in an environment, and print it this once", Args: cobra.NoArgs,
		Example: "gatehouse secret add --client CLIENT_ID --environment live",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if hash {
				h, err := secretLine(bufio.NewReader(cmd.InOrStdin()), "the hash of the secret")
				if err != nil {
					return err
				}
				n.Hash = admin.Credential{Text: h}
			}
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			added, err := api.AddSecret(cmd.Context(), client, n, "")
			if err != nil {
				return err
			}
			return show(cmd, added, func(w io.Writer) { printSecret(w, added.NewSecret) })
		},
	}
	c.Flags().StringVar(&client, "client", "", "client id")
	environmentFlag(c, &n.Environment, "sandbox or live")
	c.Flags().BoolVar(&hash, "hash-stdin", false, "import the hash of a secret from stdin instead of making one")
	required(c, "client", "environment")
	return c
}

func secretList() *cobra.Command {
	var client string
	c := &cobra.Command{
		Use: "list", Short: "List a client's secrets, with their last use", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			list, err := api.Secrets(cmd.Context(), client)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) {
				var rows [][]string
				for _, s := range list.Items {
					state := "live"
					if s.RetiredAt != nil {
						state = "retired"
					}
					rows = append(rows, []string{s.SecretID, s.Environment, state, when(s.CreatedAt), whenOr(s.LastUsedAt, "never"), s.LastUsedFrom, strconv.FormatInt(s.Uses, 10), s.Advice})
				}
				table(w, "SECRET_ID ENVIRONMENT STATE CREATED LAST_USED FROM USES ADVICE", rows)
			})
		},
	}
	c.Flags().StringVar(&client, "client", "", "client id")
	required(c, "client")
	return c
}

func secretRetire() *cobra.Command {
	var compromised bool
	c := &cobra.Command{
		Use: "retire SECRET_ID", Short: "Retire a secret: it proves nothing any more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			r, err := api.RetireSecret(cmd.Context(), args[0], compromised)
			if err != nil {
				return err
			}
			return show(cmd, r, func(w io.Writer) {
				fmt.Fprintf(w, "secret %s of %s (%s) is retired; %s revoked\n", r.SecretID, r.ClientID, r.Environment, count(r.Revoked, "token"))
			})
		},
	}
	c.Flags().BoolVar(&compromised, "compromised", false, "it is in wrong hands: revoke what it obtained, too")
	return c
}

func printSecret(w io.Writer, s admin.NewSecret) {
	shown := "imported"
	if !s.ClientSecret.IsZero() {
		shown = s.ClientSecret.Reveal()
	}
	details(w, "environment", s.Environment, "client_id", s.ClientID, "secret_id", s.SecretID, "client_secret", shown)
}

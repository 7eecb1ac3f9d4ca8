package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func connectionCommand() *cobra.Command {
	return administers(group("connection", "Link end users to clients, and end such links", connectionCreate(), connectionList(), connectionShow(), connectionDelink()))
}

func connectionCreate() *cobra.Command {
	var n admin.NewConnection
	c := &cobra.Command{
		Use: "create", Short: "Link a user whom your backend has authenticated, and print what the Connect page hands over", Args: cobra.NoArgs,
		Example: "gatehouse connection create --client CLIENT_ID --environment live --user alice",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			made, err := api.CreateConnection(cmd.Context(), n, "")
			if err != nil {
				return err
			}
			var document any = made
			if len(made.Message) > 0 {
				document = made.Message
			}
			return show(cmd, document, func(w io.Writer) {
				details(w, "connection_id", made.ConnectionID, "user", made.User, "access_code", made.AccessCode.Reveal(),
					"code_expires_at", when(made.CodeExpiresAt), "user_secret", made.UserSecret.Reveal())
			})
		},
	}
	c.Flags().StringVar(&n.ClientID, "client", "", "client id")
	environmentFlag(c, &n.Environment, "sandbox or live")
	c.Flags().StringVar(&n.User, "user", "", "the user, as your backend knows them")
	required(c, "client", "environment", "user")
	return c
}

func connectionList() *cobra.Command {
	var f admin.ConnectionFilter
	c := &cobra.Command{Use: "list", Short: "List connections, newest first", Args: cobra.NoArgs}
	page := pageFlags(c)
	c.Flags().StringVar(&f.ClientID, "client", "", "only this client's")
	environmentFlag(c, &f.Environment, "only this environment's")
	c.Flags().StringVar(&f.User, "user", "", "only this user's")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.Connection], error) { return api.Connections(cmd.Context(), f, p) })
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, c := range list.Items {
				rows = append(rows, []string{c.ConnectionID, c.ClientID, c.Environment, c.User, when(c.CreatedAt), whenOr(c.DelinkedAt, "")})
			}
			table(w, "CONNECTION_ID CLIENT_ID ENVIRONMENT USER CREATED DELINKED", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func connectionShow() *cobra.Command {
	return &cobra.Command{Use: "show CONNECTION_ID", Short: "Show a connection", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		c, err := api.Connection(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(cmd, c, func(w io.Writer) {
			details(w, "connection_id", c.ConnectionID, "client_id", c.ClientID, "environment", c.Environment, "user", c.User,
				"created_at", when(c.CreatedAt), "delinked_at", whenOr(c.DelinkedAt, ""))
		})
	}}
}

func connectionDelink() *cobra.Command {
	return &cobra.Command{
		Use: "delink CONNECTION_ID", Short: "End a connection and the tokens obtained through it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			r, err := api.Delink(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, r, func(w io.Writer) {
				fmt.Fprintf(w, "connection %s is delinked; %s revoked\n", args[0], count(r.Revoked, "token"))
			})
		},
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func userCommand() *cobra.Command {
	return administers(group("user", "Manage the end users of the built-in directory", userCreate(), userList(), userPasswd(),
		userChange("disable USER", "Let a user sign in no more; what they have agreed to stays", "can't sign in any more", (*admin.Caller).DisableUser),
		userChange("enable USER", "Let a disabled user sign in again", "can sign in again", (*admin.Caller).EnableUser),
		userChange("delete USER", "Remove a user for good", "is removed", (*admin.Caller).DeleteUser)))
}

func userCreate() *cobra.Command {
	var n admin.NewUser
	var keyless bool
	c := &cobra.Command{
		Use: "create NAME", Short: "Add a user, whose password comes on stdin", Args: cobra.ExactArgs(1),
		Example: "gatehouse user create alice@example.com --environment live < password-file",
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Name = args[0]
			if !keyless {
				var err error
				if n.Password.Text, err = secretLine(bufio.NewReader(cmd.InOrStdin()), "the user's password"); err != nil {
					return err
				}
			}
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			u, err := api.CreateUser(cmd.Context(), n, "")
			if err != nil {
				return err
			}
			return show(cmd, u, func(w io.Writer) {
				details(w, "user_id", u.UserID, "environment", u.Environment, "name", u.Name, "display_name", u.DisplayName)
			})
		},
	}
	environmentFlag(c, &n.Environment, "sandbox or live: a user of one is nobody in the other")
	c.Flags().StringVar(&n.DisplayName, "display-name", "", "what pages greet them by")
	c.Flags().BoolVar(&keyless, "no-password", false, "give them none yet: read nothing from stdin")
	required(c, "environment")
	return c
}

func userList() *cobra.Command {
	var f admin.UserFilter
	c := &cobra.Command{Use: "list", Short: "List users by environment and name", Args: cobra.NoArgs}
	page := pageFlags(c)
	environmentFlag(c, &f.Environment, "only this environment's")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.User], error) { return api.Users(cmd.Context(), f, p) })
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, u := range list.Items {
				rows = append(rows, []string{u.UserID, u.Environment, u.Name, u.State, whenOr(u.PasswordSince, "none"), strconv.Itoa(u.Passkeys), when(u.CreatedAt)})
			}
			table(w, "USER_ID ENVIRONMENT NAME STATE PASSWORD_SINCE PASSKEYS CREATED", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func userPasswd() *cobra.Command {
	c := &cobra.Command{
		Use: "passwd USER", Short: "Give a user another password, which comes on stdin", Args: cobra.ExactArgs(1),
		Example: "gatehouse user passwd alice@example.com --environment live < password-file",
	}
	find := namedUser(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		password, err := secretLine(bufio.NewReader(cmd.InOrStdin()), "the new password")
		if err != nil {
			return err
		}
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		id, err := find(cmd.Context(), api, args[0])
		if err != nil {
			return err
		}
		u, err := api.SetUserPassword(cmd.Context(), id, admin.UserPassword{Password: admin.Credential{Text: password}})
		if err != nil {
			return err
		}
		return show(cmd, u, func(w io.Writer) {
			fmt.Fprintf(w, "user %s (%s, %s) has a new password\n", u.UserID, u.Name, u.Environment)
		})
	}
	return c
}

// userChange makes a command that changes one user.
func userChange(use, short, done string, do func(*admin.Caller, context.Context, string) (admin.User, error)) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	find := namedUser(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		id, err := find(cmd.Context(), api, args[0])
		if err != nil {
			return err
		}
		u, err := do(api, cmd.Context(), id)
		if err != nil {
			return err
		}
		return show(cmd, u, func(w io.Writer) { fmt.Fprintf(w, "user %s (%s, %s) %s\n", u.UserID, u.Name, u.Environment, done) })
	}
	return c
}

// namedUser gives a command on one user its --environment: with it USER is a
// name, without it an id.
func namedUser(c *cobra.Command) func(ctx context.Context, api *admin.Caller, user string) (id string, err error) {
	var env string
	environmentFlag(c, &env, "USER is a name of this environment, not an id")
	return func(ctx context.Context, api *admin.Caller, user string) (string, error) {
		if env == "" {
			return user, nil
		}
		found, err := api.Users(ctx, admin.UserFilter{Environment: env, Name: user}, admin.Page{})
		if err != nil {
			return "", err
		}
		return found.Items[0].UserID, nil
	}
}

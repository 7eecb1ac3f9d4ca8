package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func tokenCommand() *cobra.Command {
	return administers(group("token", "Issue, list, inspect and revoke tokens", tokenIssue(), tokenList(), tokenInspect(), tokenRevoke()))
}

func tokenIssue() *cobra.Command {
	var n admin.IssueToken
	var lasting life
	var scopes []string
	c := &cobra.Command{
		Use: "issue", Short: "Issue a token on a client's behalf", Args: cobra.NoArgs,
		Example: "gatehouse token issue --client CLIENT_ID --environment sandbox",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("life") && lasting.Duration == 0 {
				return wrongUsage("--life must be at least one second")
			}
			n.Life, n.Scopes = lasting.seconds(), words(scopes)
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			issued, err := api.IssueToken(cmd.Context(), n, "")
			if err != nil {
				return err
			}
			return show(cmd, issued, func(w io.Writer) {
				details(w, "token_id", issued.TokenID, "client_id", issued.ClientID, "environment", issued.Environment,
					"expires_at", whenOr(issued.ExpiresAt, "never"), "scope", issued.Scope,
					"access_token", issued.AccessToken.Reveal(), "refresh_token", issued.RefreshToken.Reveal())
			})
		},
	}
	c.Flags().StringVar(&n.ClientID, "client", "", "client id")
	environmentFlag(c, &n.Environment, "sandbox or live")
	c.Flags().Var(&lasting, "life", "how long it shall live, such as 15m; none is the client's usual")
	c.Flags().StringVar(&n.Name, "name", "", "token name, where its dialect has names")
	c.Flags().StringArrayVar(&scopes, "scope", nil, "a scope to give it; none is all that the client has (repeatable)")
	required(c, "client", "environment")
	return c
}

func tokenList() *cobra.Command {
	var f admin.TokenFilter
	c := &cobra.Command{
		Use: "list", Short: "List tokens, newest first", Args: cobra.NoArgs,
		Example: "gatehouse token list --client CLIENT_ID --status active",
	}
	page := pageFlags(c)
	c.Flags().StringVar(&f.ClientID, "client", "", "only this client's")
	environmentFlag(c, &f.Environment, "only this environment's")
	c.Flags().StringVar(&f.Name, "name", "", "only those of this name")
	c.Flags().StringVar(&f.Status, "status", "", "active, expired or revoked")
	c.Flags().StringVar(&f.Kind, "kind", "", "access, refresh or code; none is access and refresh")
	c.Flags().StringVar(&f.Connection, "connection", "", "only those obtained through this connection")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.Token], error) { return api.Tokens(cmd.Context(), f, p) })
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, t := range list.Items {
				rows = append(rows, []string{t.TokenID, t.Kind, t.ClientID, t.Environment, t.Dialect, t.Name, when(t.IssuedAt), whenOr(t.ExpiresAt, "never"), t.Status})
			}
			table(w, "TOKEN_ID KIND CLIENT_ID ENVIRONMENT DIALECT NAME ISSUED EXPIRES STATUS", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func tokenInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect", Short: "Say what the token on stdin is, and why it does or doesn't pass", Args: cobra.NoArgs,
		Example: "gatehouse token inspect < token.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := secretLine(bufio.NewReader(cmd.InOrStdin()), "the token")
			if err != nil {
				return err
			}
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			found, err := api.InspectToken(cmd.Context(), t)
			if err != nil {
				return err
			}
			return show(cmd, found, func(w io.Writer) {
				details(w, "status", found.Status, "reason", strings.ReplaceAll(found.Reason, "_", " "),
					"token_id", found.TokenID, "kind", found.Kind, "client_id", found.ClientID, "client", found.Client,
					"environment", found.Environment, "dialect", found.Dialect, "name", found.Name,
					"scope", strings.Join(found.Scopes, " "), "user", found.User, "issued_at", when(found.IssuedAt),
					"expires_at", whenOr(found.ExpiresAt, "never"), "revoked_at", whenOr(found.RevokedAt, ""))
			})
		},
	}
}

func tokenRevoke() *cobra.Command {
	var s admin.Selection
	var old admin.OldToken
	var before string
	var stdin bool
	c := &cobra.Command{
		Use: "revoke [TOKEN_ID]", Short: "Revoke one token, a connection's, or those of a client", Args: cobra.MaximumNArgs(1),
		Example: "gatehouse token revoke TOKEN_ID\n" +
			"gatehouse token revoke --client CLIENT_ID --environment live --before 2026-01-31T00:00:00Z\n" +
			"gatehouse token revoke --stdin < token.txt",
	}
	c.Flags().StringVar(&s.ClientID, "client", "", "all tokens of this client")
	environmentFlag(c, &s.Environment, "with --client: only this environment's")
	c.Flags().StringVar(&s.Name, "name", "", "with --client: only those of this name")
	c.Flags().StringVar(&before, "before", "", "with --client: only those issued at or before this time (RFC 3339)")
	c.Flags().StringVar(&s.ConnectionID, "connection", "", "all tokens obtained through this connection, which ends")
	c.Flags().BoolVar(&stdin, "stdin", false, "the token that stands on stdin, or all in a text there; client secrets in it are flagged")
	c.Flags().StringVar(&old.OldIssuer, "old-issuer", "", "with --client and --jti: one token of this old issuer")
	c.Flags().StringVar(&old.JTI, "jti", "", "with --old-issuer: which token, as its \"jti\" says")
	c.MarkFlagsRequiredTogether("old-issuer", "jti")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if old.OldIssuer != "" {
			old.ClientID = s.ClientID
			if more := len(args) > 0 || stdin || before != "" || s.Environment != "" || s.Name != "" || s.ConnectionID != ""; more || s.ClientID == "" {
				return wrongUsage("--old-issuer and --jti go with --client, and with nothing else")
			}
			return revokeOld(cmd, old)
		}
		ways := 0
		for _, given := range []bool{len(args) == 1, s.ClientID != "", s.ConnectionID != "", stdin} {
			if given {
				ways++
			}
		}
		if ways != 1 {
			return wrongUsage("name what to revoke by exactly one of TOKEN_ID, --client, --connection and --stdin")
		}
		if s.ClientID == "" && (s.Environment != "" || s.Name != "" || before != "") {
			return wrongUsage("--environment, --name and --before go with --client")
		}
		if len(args) == 1 {
			s.TokenID = args[0]
		}
		if before != "" {
			t, err := time.Parse(time.RFC3339, before)
			if err != nil {
				return wrongUsage("--before must be a time such as 2026-01-31T00:00:00Z (RFC 3339)")
			}
			s.Before = &t
		}
		if stdin {
			return revokePasted(cmd)
		}
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		r, err := api.Revoke(cmd.Context(), s)
		if err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) { fmt.Fprintf(w, "%s revoked\n", count(r.Revoked, "token")) })
	}
	return c
}

// revokeOld ends a token of an old issuer that nobody here holds.
func revokeOld(cmd *cobra.Command, old admin.OldToken) error {
	api, err := dial(cmd)
	if err != nil {
		return err
	}
	r, err := api.RevokeOldToken(cmd.Context(), old)
	if err != nil {
		return err
	}
	return show(cmd, r, func(w io.Writer) { fmt.Fprintf(w, "%s revoked\n", count(r.Revoked, "token")) })
}

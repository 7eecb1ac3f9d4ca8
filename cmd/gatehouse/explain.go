package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	return administers(&cobra.Command{
		Use: "explain REQUEST_ID", Short: "Say why a request was refused", Args: cobra.ExactArgs(1),
		Long: "Says why the server refused a request, which its caller was not told. REQUEST_ID is the\n" +
			"Gatehouse-Request-Id of the answer, of any node or far gate. Refusals are kept for six\n" +
			"hours, without any credential; logs have them longer.",
		Example: "gatehouse explain 01a20733-900a-7629-ae30-8f1fceed0559",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			r, err := api.Refusal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, r, func(w io.Writer) {
				pairs := []string{"why", r.Sentence, "advice", r.Advice, "at", when(r.At), "route", r.Route, "status", strconv.Itoa(r.Status),
					"code", r.Code, "reason", strings.ReplaceAll(r.Reason, "_", " "), "address", r.Address, "gate", r.Gate, "client_id", r.ClientID}
				if t := r.Token; t != nil {
					pairs = append(pairs, "token_id", t.TokenID, "environment", t.Environment, "issued_at", when(t.IssuedAt),
						"expires_at", whenOr(t.ExpiresAt, "never"), "revoked_at", whenOr(t.RevokedAt, ""))
				}
				if e := r.Event; e != nil {
					pairs = append(pairs, "act", e.Action, "by", e.By.Kind+" "+e.By.ID, "audit_seq", strconv.FormatInt(e.Seq, 10))
				}
				details(w, pairs...)
			})
		},
	})
}

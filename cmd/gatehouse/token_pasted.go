package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// maxPasted bounds what is read of stdin: the admin API takes no more.
const maxPasted = 48 << 10

// pasted is what came of a revocation by what stands on stdin.
type pasted struct {
	Revoked int          `json:"revoked"`
	Items   []admin.Leak `json:"items,omitempty"`
}

// revokePasted revokes the token that stands on stdin, or all those that stand
// in a text there. Client secrets in it are flagged.
func revokePasted(cmd *cobra.Command) error {
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPasted+1))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(b))
	switch {
	case text == "":
		return wrongUsage("put the token on stdin")
	case len(b) > maxPasted:
		return wrongUsage("what came on stdin is longer than %d KiB: give the part that holds the tokens", maxPasted>>10)
	}
	api, err := dial(cmd)
	if err != nil {
		return err
	}
	var done pasted
	if len(strings.Fields(text)) == 1 {
		r, err := api.Revoke(cmd.Context(), admin.Selection{Token: admin.Credential{Text: secret.New(text)}})
		if done.Revoked = r.Revoked; err == nil {
			return showPasted(cmd, done)
		}
		var problem *admin.Problem
		if !errors.As(err, &problem) || problem.Status != http.StatusNotFound {
			return err
		}
	}
	found, err := api.ReportLeak(cmd.Context(), admin.ReportLeak{Text: admin.Credential{Text: secret.New(text)}, Source: "gatehouse token revoke --stdin"})
	if err != nil {
		return err
	}
	if len(found.Items) == 0 {
		return errors.New("what stands on stdin is no token of this server, and holds none")
	}
	done.Items = found.Items
	for _, l := range found.Items {
		done.Revoked += l.Stopped
	}
	return showPasted(cmd, done)
}

func showPasted(cmd *cobra.Command, done pasted) error {
	return show(cmd, done, func(w io.Writer) {
		var rows [][]string
		for _, l := range done.Items {
			rows = append(rows, []string{fmt.Sprint(l.Offset), l.Kind, l.Status, l.TokenID + l.SecretID, l.ClientID, l.Environment, l.Dialect})
		}
		if rows != nil {
			table(w, "OFFSET KIND STATUS ID CLIENT_ID ENVIRONMENT DIALECT", rows)
		}
		fmt.Fprintf(w, "%s revoked\n", count(done.Revoked, "token"))
		for _, l := range done.Items {
			if l.Status == "flagged" {
				fmt.Fprintf(w, "A client secret works on. To end it, and all that it obtained: gatehouse secret retire %s --compromised\n", l.SecretID)
			}
		}
	})
}

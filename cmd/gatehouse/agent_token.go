package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

// agentTokenPrinted is what `agent token --json` prints.
type agentTokenPrinted struct {
	Upstream    string           `json:"upstream"`
	AccessToken admin.Credential `json:"access_token"`
	ExpiresAt   *time.Time       `json:"expires_at"`
}

func agentToken(config *string) *cobra.Command {
	return &cobra.Command{
		Use: "token NAME", Short: "Print a live token of an upstream", Args: cobra.ExactArgs(1),
		Example: "curl -H \"Authorization: Bearer $(gatehouse agent token --config agent.yaml bank)\" https://api.example/v1/x",
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := agentSettings(*config)
			if err != nil {
				return err
			}
			ctx, stop := untilAsked(cmd.Context())
			defer stop()
			source, err := settings.Source(args[0])
			if err != nil {
				return err
			}
			defer source.Close()
			t, err := source.Token(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			printed := agentTokenPrinted{Upstream: args[0], AccessToken: admin.Credential{Text: t.AccessToken}}
			if !t.ExpiresAt.IsZero() {
				end := t.ExpiresAt.UTC().Truncate(time.Second)
				printed.ExpiresAt = &end
			}
			return show(cmd, printed, func(w io.Writer) { fmt.Fprintln(w, t.AccessToken.Reveal()) })
		},
	}
}

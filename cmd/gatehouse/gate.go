package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/gate/remote"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/node"
)

func gateCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "gate", Short: "Run a verifier beside a far gateway", Args: cobra.NoArgs,
		Long: "Runs a verifier that answers a gateway's forward-auth requests by itself. It follows the\n" +
			"journal of a Gatehouse server as a client of standard OAuth 2.0 with the scope\n" +
			"gatehouse:gate, so that a token revoked there is refused here at once.",
		Example: "gatehouse gate --config gate.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := remote.Load(config, os.LookupEnv)
			if err != nil {
				return err
			}
			dialects, err := node.LoadDialects(settings.Dialects)
			if err != nil {
				return err
			}
			policies, err := httpd.Policies(dialects)
			if err != nil {
				return err
			}
			ctx, stop := untilAsked(cmd.Context())
			defer stop()
			log, flush := newLogger(settings.LogLevel)
			defer flush()
			g, err := remote.Open(ctx, settings, dialects, policies, log)
			if err != nil {
				return err
			}
			return g.Run(ctx, func() {
				log.Info("serving", "url", g.URL(), "authority", settings.Authority, "environment", string(settings.Environment), "envoy", g.EnvoyAddress(), "proxy", g.ProxyURL())
			})
		},
	}
	c.Flags().StringVar(&config, "config", "", "settings file (YAML)")
	required(c, "config")
	return c
}

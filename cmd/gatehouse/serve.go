package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/node"
)

func serveCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "serve", Short: "Run the server for real use", Args: cobra.NoArgs,
		Long: "Runs the server until SIGTERM, which lets requests under way finish first. SIGHUP reads\n" +
			"dialect and TLS files again, and keeps the old ones if the new ones have a fault.\n\n" +
			"Settings come from the file, from GATEHOUSE_… in the environment (GATEHOUSE_TLS_CERT is\n" +
			"tls.cert; PORT and DATABASE_URL are understood), and from flags; the later ones win.\n" +
			"key_encryption_key and admin_token can also be files: key_encryption_key_file.",
		Example: "gatehouse serve --config gatehouse.yaml",
	}
	flags := map[string]*string{}
	c.Flags().StringVar(&config, "config", "", "settings file (YAML)")
	for key, about := range map[string]string{
		"listen":       "address of the public listener",
		"admin-listen": "address of the admin listener",
		"issuer":       "URL under which callers reach the server",
		"database":     "where the ledger is: sqlite:DIR or postgres://…",
	} {
		flags[key] = c.Flags().String(key, "", about)
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		given := map[string]any{}
		for key, value := range flags {
			if cmd.Flags().Changed(key) {
				given[strings.ReplaceAll(key, "-", "_")] = *value
			}
		}
		settings, err := node.LoadSettings(config, given, os.Environ())
		if err != nil {
			return err
		}
		ctx, stop := untilAsked(cmd.Context())
		defer stop()
		log, flush := newLogger(settings.LogLevel)
		defer flush()
		n, err := node.Open(ctx, settings, buildVersion(), log)
		if err != nil {
			return err
		}
		return n.Run(ctx, func() error {
			n.LogStart()
			return nil
		})
	}
	return c
}

// untilAsked ends with the first SIGTERM or SIGINT; a second one ends the
// process at once.
func untilAsked(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

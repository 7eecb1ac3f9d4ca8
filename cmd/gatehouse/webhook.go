package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
)

func webhookCommand() *cobra.Command {
	return administers(group("webhook", "Tell apps what happens to what is theirs", webhookCreate(), webhookList(), webhookDeliveries(),
		webhookReplay(), webhookSecret(), webhookEnable(), webhookDelete()))
}

func webhookCreate() *cobra.Command {
	var n admin.NewWebhook
	c := &cobra.Command{
		Use: "create", Short: "Have a client's messages sent to a URL, and print the secret that they are signed with", Args: cobra.NoArgs,
		Example: "gatehouse webhook create --client CLIENT_ID --environment live --url https://app.example.com/webhooks",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			made, err := api.CreateWebhook(cmd.Context(), n, "")
			if err != nil {
				return err
			}
			return show(cmd, made, func(w io.Writer) { printWebhookSecret(w, made) })
		},
	}
	c.Flags().StringVar(&n.ClientID, "client", "", "client id")
	environmentFlag(c, &n.Environment, "sandbox or live: it is told of this one's events")
	c.Flags().StringVar(&n.URL, "url", "", "where the messages go: https, at a public address")
	c.Flags().StringArrayVar(&n.Events, "event", nil, "only messages of this type, such as connection.linked (repeatable)")
	required(c, "client", "environment", "url")
	return c
}

func printWebhookSecret(w io.Writer, made admin.CreatedWebhook) {
	details(w, "webhook_id", made.WebhookID, "client_id", made.ClientID, "environment", made.Environment, "url", made.URL,
		"events", strings.Join(made.Events, " "), "secret", made.Secret.Reveal())
}

func webhookList() *cobra.Command {
	var f admin.WebhookFilter
	c := &cobra.Command{Use: "list", Short: "List webhooks, with how they answer", Args: cobra.NoArgs}
	page := pageFlags(c)
	c.Flags().StringVar(&f.ClientID, "client", "", "only this client's")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.Webhook], error) { return api.Webhooks(cmd.Context(), f, p) })
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, h := range list.Items {
				rows = append(rows, []string{h.WebhookID, h.ClientID, h.Environment, h.State, h.URL, strings.Join(h.Events, ","), whenOr(h.NextTry, ""), h.LastError})
			}
			table(w, "WEBHOOK_ID CLIENT_ID ENVIRONMENT STATE URL EVENTS NEXT_TRY LAST_ERROR", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func webhookDeliveries() *cobra.Command {
	f := admin.WebhookDeliveryFilter{}
	c := &cobra.Command{
		Use: "deliveries WEBHOOK_ID", Short: "List a webhook's messages: pending, delivered (newest first) or dead", Args: cobra.ExactArgs(1),
	}
	page := pageFlags(c)
	c.Flags().StringVar(&f.State, "state", "pending", "pending, delivered or dead")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.WebhookDelivery], error) {
			return api.WebhookDeliveries(cmd.Context(), args[0], f, p)
		})
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, d := range list.Items {
				rows = append(rows, []string{d.MessageID, d.Type, when(d.QueuedAt), strconv.Itoa(d.Tries), whenOr(d.TriedAt, ""), d.Error})
			}
			table(w, "MESSAGE_ID TYPE QUEUED TRIES LAST_TRY ERROR", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func webhookReplay() *cobra.Command {
	var r admin.ReplayWebhook
	c := &cobra.Command{
		Use: "replay WEBHOOK_ID", Short: "Deliver the dead-letter list, or one message, again, and try a failing webhook now", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			done, err := api.ReplayWebhook(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			return show(cmd, done, func(w io.Writer) { fmt.Fprintf(w, "%s will be delivered again\n", count(done.Queued, "message")) })
		},
	}
	c.Flags().StringVar(&r.MessageID, "message", "", "this one alone, delivered or dead")
	return c
}

func webhookSecret() *cobra.Command {
	var compromised bool
	c := &cobra.Command{
		Use: "secret WEBHOOK_ID", Short: "Make a new signing secret; the one before signs beside it for 24 hours", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			made, err := api.RotateWebhookSecret(cmd.Context(), args[0], compromised)
			if err != nil {
				return err
			}
			return show(cmd, made, func(w io.Writer) { printWebhookSecret(w, made) })
		},
	}
	c.Flags().BoolVar(&compromised, "compromised", false, "the one before is in wrong hands: it signs nothing more")
	return c
}

func webhookEnable() *cobra.Command {
	return &cobra.Command{
		Use: "enable WEBHOOK_ID", Short: "Tell a webhook again, from now on, that had answered 410", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			h, err := api.EnableWebhook(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, h, func(w io.Writer) { fmt.Fprintf(w, "webhook %s is enabled\n", h.WebhookID) })
		},
	}
}

func webhookDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete WEBHOOK_ID", Short: "Remove a webhook, and what is pending for it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			h, err := api.DeleteWebhook(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, h, func(w io.Writer) { fmt.Fprintf(w, "webhook %s (%s) is removed\n", h.WebhookID, h.URL) })
		},
	}
}

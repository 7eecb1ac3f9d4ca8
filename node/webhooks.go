package node

import (
	"fmt"
	"net/netip"

	"github.com/knadh/koanf/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/webhook"
)

// openWebhooks makes what tells apps of what happens to what is theirs. dev may
// tell programs on loopback.
func (n *Node) openWebhooks(sealer *credential.Sealer) {
	networks := n.settings.WebhookNetworks
	if n.settings.Dev {
		networks = append([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, networks...)
	}
	n.webhooks = webhook.New(webhook.Config{
		Store: n.store, Clients: n.engine, Sealer: sealer, WireID: n.wireID, Alone: n.settings.Postgres.IsZero(), Networks: networks, Version: n.version.Version, Logger: n.log,
	})
}

// wireID writes a client's id as its dialect does.
func (n *Node) wireID(c *gatehouse.Client, env gatehouse.Environment) string {
	id, _ := c.WireID(env)
	for _, d := range n.Dialects() {
		if d.Name == c.Dialect {
			return d.WireForm(dialect.ClientID, string(id))
		}
	}
	return string(id)
}

// parseNetworks reads the networks that webhooks may be sent to though they are
// not public.
func parseNetworks(k *koanf.Koanf) (networks []netip.Prefix, err error) {
	for _, text := range k.Strings("webhooks.networks") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("webhooks.networks: %q must be a network such as 10.0.0.0/8", text)
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// measureWebhooks shows what has become of webhooks.
func (n *Node) measureWebhooks(r prometheus.Registerer) {
	for name, outcome := range map[string]struct {
		help  string
		count func(webhook.Counts) int64
	}{
		"delivered": {"Webhook messages that an endpoint took.", func(c webhook.Counts) int64 { return c.Delivered }},
		"failed":    {"Tries to deliver a webhook message that failed.", func(c webhook.Counts) int64 { return c.Failed }},
		"dead":      {"Webhook messages that were put on the dead-letter list.", func(c webhook.Counts) int64 { return c.Dead }},
	} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_webhooks_" + name + "_total", Help: outcome.help,
		}, func() float64 { return float64(outcome.count(n.webhooks.Counts())) }))
	}
}

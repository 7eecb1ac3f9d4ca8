package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/webhook"
)

// WebhookPath names an endpoint in a path.
type WebhookPath struct {
	ID string `path:"id" doc:"webhook id"`
}

func (s *server) webhookRoutes(api huma.API, w *webhook.Sender) {
	tags := []string{"Webhooks"}
	route(s, api, huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: "/webhooks", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Tell an app of what happens to what is its own, at a URL",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Idempotent
		Body NewWebhook
	}) (CreatedWebhook, error) {
		c, err := s.client(in.Body.ClientID)
		if err != nil {
			return CreatedWebhook{}, err
		}
		env, err := environment("environment", in.Body.Environment)
		if err != nil {
			return CreatedWebhook{}, err
		}
		out, shown, err := repeatable(ctx, s, by, in.key("create-webhook"), func(remember rememberer[Webhook]) (Webhook, secret.Text, error) {
			ep, shown, err := w.Create(ctx, by, webhook.NewEndpoint{
				Client: c.ID, Environment: env, URL: in.Body.URL, Types: in.Body.Events,
				Remember: func(ep *webhook.Endpoint, shown secret.Text) (*gatehouse.Replay, error) {
					return remember(s.shownWebhook(ep), shown)
				},
			})
			if err != nil {
				return Webhook{}, secret.Text{}, err
			}
			return s.shownWebhook(ep), shown, nil
		})
		return CreatedWebhook{Webhook: out, Secret: Credential{shown}, Omitted: Omitted{err == nil && shown.IsZero()}}, err
	})

	route(s, api, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/webhooks", Tags: tags, Summary: "List webhooks, with how they answer",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Page
		WebhookFilter
	}) (List[Webhook], error) {
		client, _, err := s.selected(in.ClientID, "")
		if err != nil {
			return List[Webhook]{}, err
		}
		if client != "" {
			c, err := s.client(string(client))
			if err != nil {
				return List[Webhook]{}, err
			}
			client = c.ID
		}
		after, limit, err := s.page("webhooks", in.Page)
		if err != nil {
			return List[Webhook]{}, err
		}
		rows, err := w.Endpoints(ctx, client, after, limit+1)
		if err != nil {
			return List[Webhook]{}, err
		}
		return list(s, "webhooks", rows, limit, func(e *webhook.Endpoint) string { return e.ID }, s.shownWebhook), nil
	})

	route(s, api, huma.Operation{
		OperationID: "show-webhook", Method: http.MethodGet, Path: "/webhooks/{id}", Tags: tags, Summary: "Show a webhook",
	}, func(ctx context.Context, by gatehouse.Actor, in *WebhookPath) (Webhook, error) {
		ep, err := w.Endpoint(ctx, in.ID)
		if err != nil {
			return Webhook{}, err
		}
		return s.shownWebhook(ep), nil
	})

	for _, change := range []struct {
		id, method, path, summary string
		do                        func(ctx context.Context, by gatehouse.Actor, id string) (*webhook.Endpoint, error)
	}{
		{"enable-webhook", http.MethodPost, "/webhooks/{id}/enable", "Tell a webhook again that had answered 410", w.Enable},
		{"delete-webhook", http.MethodDelete, "/webhooks/{id}", "Remove a webhook, and what is pending for it", w.Delete},
	} {
		op := huma.Operation{OperationID: change.id, Method: change.method, Path: change.path, Tags: tags, Summary: change.summary, DefaultStatus: http.StatusOK}
		route(s, api, op, func(ctx context.Context, by gatehouse.Actor, in *WebhookPath) (Webhook, error) {
			ep, err := change.do(ctx, by, in.ID)
			if err != nil {
				return Webhook{}, err
			}
			return s.shownWebhook(ep), nil
		})
	}

	route(s, api, huma.Operation{
		OperationID: "rotate-webhook-secret", Method: http.MethodPost, Path: "/webhooks/{id}/secret", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Make a new signing secret; the one before signs beside it for 24 hours, unless it is compromised",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		WebhookPath
		Body Compromise
	}) (CreatedWebhook, error) {
		ep, shown, err := w.Rotate(ctx, by, in.ID, in.Body.Compromised)
		if err != nil {
			return CreatedWebhook{}, err
		}
		return CreatedWebhook{Webhook: s.shownWebhook(ep), Secret: Credential{shown}}, nil
	})

	route(s, api, huma.Operation{
		OperationID: "list-webhook-deliveries", Method: http.MethodGet, Path: "/webhooks/{id}/deliveries", Tags: tags,
		Summary: "List a webhook's messages: pending, delivered in the last week (newest first), or dead in the last 30 days",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		WebhookPath
		Page
		WebhookDeliveryFilter
	}) (List[WebhookDelivery], error) {
		after, limit, err := s.page("webhook deliveries", in.Page)
		if err != nil {
			return List[WebhookDelivery]{}, err
		}
		rows, err := w.Deliveries(ctx, in.ID, webhook.DeliveryState(in.State), after, limit+1)
		if err != nil {
			return List[WebhookDelivery]{}, err
		}
		return list(s, "webhook deliveries", rows, limit, (*webhook.Delivery).Key, shownDelivery), nil
	})

	route(s, api, huma.Operation{
		OperationID: "replay-webhook", Method: http.MethodPost, Path: "/webhooks/{id}/replay", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Deliver messages again under their ids, and try a failing webhook now",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		WebhookPath
		Body ReplayWebhook
	}) (ReplayedWebhook, error) {
		n, err := w.Replay(ctx, by, in.ID, in.Body.MessageID)
		return ReplayedWebhook{n}, err
	})
}

func (s *server) shownWebhook(ep *webhook.Endpoint) Webhook {
	out := Webhook{
		WebhookID: ep.ID, ClientID: string(ep.Client), Environment: string(ep.Environment), URL: ep.URL, Events: append([]string{}, ep.Types...),
		State: "enabled", CreatedAt: ep.CreatedAt.UTC(), Secrets: []WebhookSecret{}, FailingSince: moment(ep.FailingSince), NextTry: moment(ep.NextTry),
		LastError: ep.LastError,
	}
	switch {
	case ep.Disabled:
		out.State = "disabled"
	case !ep.FailingSince.IsZero():
		out.State = "failing"
	}
	for _, k := range ep.Secrets {
		out.Secrets = append(out.Secrets, WebhookSecret{k.CreatedAt.UTC(), moment(k.ExpiresAt)})
	}
	if c, ok := s.engine.Client(ep.Client); ok {
		id, _ := c.WireID(ep.Environment)
		out.ClientID = s.wire(c.Dialect, id)
	}
	return out
}

func shownDelivery(d *webhook.Delivery) WebhookDelivery {
	return WebhookDelivery{
		MessageID: d.MessageID, Type: d.Type, State: string(d.State), QueuedAt: d.QueuedAt.UTC(), TriedAt: moment(d.TriedAt),
		Tries: d.Tries, Status: d.Status, Error: d.Error, Body: jsontext.Value(d.Body),
	}
}

// CreateWebhook adds an endpoint. A key makes the call safe to repeat; "" is none.
func (c *Caller) CreateWebhook(ctx context.Context, n NewWebhook, key string) (out CreatedWebhook, err error) {
	return out, c.call(ctx, http.MethodPost, "/webhooks", nil, key, n, &out)
}

// Webhooks lists endpoints.
func (c *Caller) Webhooks(ctx context.Context, f WebhookFilter, p Page) (out List[Webhook], err error) {
	q := p.query()
	set(q, "client_id", f.ClientID)
	return out, c.call(ctx, http.MethodGet, "/webhooks", q, "", nil, &out)
}

// EnableWebhook lets a disabled endpoint be told again.
func (c *Caller) EnableWebhook(ctx context.Context, id string) (out Webhook, err error) {
	return out, c.call(ctx, http.MethodPost, webhookURL(id)+"/enable", nil, "", nil, &out)
}

// DeleteWebhook removes an endpoint.
func (c *Caller) DeleteWebhook(ctx context.Context, id string) (out Webhook, err error) {
	return out, c.call(ctx, http.MethodDelete, webhookURL(id), nil, "", nil, &out)
}

// RotateWebhookSecret makes a new signing secret.
func (c *Caller) RotateWebhookSecret(ctx context.Context, id string, compromised bool) (out CreatedWebhook, err error) {
	return out, c.call(ctx, http.MethodPost, webhookURL(id)+"/secret", nil, "", Compromise{compromised}, &out)
}

// WebhookDeliveries lists an endpoint's messages.
func (c *Caller) WebhookDeliveries(ctx context.Context, id string, f WebhookDeliveryFilter, p Page) (out List[WebhookDelivery], err error) {
	q := p.query()
	set(q, "state", f.State)
	return out, c.call(ctx, http.MethodGet, webhookURL(id)+"/deliveries", q, "", nil, &out)
}

// ReplayWebhook asks for messages again.
func (c *Caller) ReplayWebhook(ctx context.Context, id string, r ReplayWebhook) (out ReplayedWebhook, err error) {
	return out, c.call(ctx, http.MethodPost, webhookURL(id)+"/replay", nil, "", r, &out)
}

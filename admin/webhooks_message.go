package admin

import (
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Webhook is an endpoint that takes an app's messages.
type Webhook struct {
	WebhookID    string          `json:"webhook_id"`
	ClientID     string          `json:"client_id"`
	Environment  string          `json:"environment"`
	URL          string          `json:"url"`
	Events       []string        `json:"events" doc:"types of message that it takes; none is all"`
	State        string          `json:"state" enum:"enabled,failing,disabled"`
	CreatedAt    time.Time       `json:"created_at"`
	Secrets      []WebhookSecret `json:"secrets" doc:"the newest first; messages are signed with each that has not expired"`
	FailingSince *time.Time      `json:"failing_since" doc:"null while it takes its messages"`
	NextTry      *time.Time      `json:"next_try"`
	LastError    string          `json:"last_error,omitempty"`
}

// WebhookSecret is a signing secret as operators see it: never its value.
type WebhookSecret struct {
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null for the newest one"`
}

// NewWebhook asks for an endpoint.
type NewWebhook struct {
	ClientID    string   `json:"client_id" minLength:"1"`
	Environment string   `json:"environment"`
	URL         string   `json:"url" minLength:"1" maxLength:"2000"`
	Events      []string `json:"events,omitempty" doc:"none is all"`
}

// CreatedWebhook answers NewWebhook and a new secret, which is shown this once.
type CreatedWebhook struct {
	Webhook
	Secret Credential `json:"secret,omitzero" doc:"what its messages are signed with (Standard Webhooks)"`
	Omitted
}

// WebhookFilter selects endpoints of a list.
type WebhookFilter struct {
	ClientID string `query:"client_id"`
}

// WebhookDelivery is a message on its way to an endpoint, or that was.
type WebhookDelivery struct {
	MessageID string         `json:"message_id"`
	Type      string         `json:"type"`
	State     string         `json:"state" enum:"pending,delivered,dead"`
	QueuedAt  time.Time      `json:"queued_at"`
	TriedAt   *time.Time     `json:"tried_at"`
	Tries     int            `json:"tries"`
	Status    int            `json:"status" doc:"of the last answer; 0 is none"`
	Error     string         `json:"error,omitempty" doc:"what was wrong with it"`
	Body      jsontext.Value `json:"body"`
}

// WebhookDeliveryFilter selects deliveries of a list.
type WebhookDeliveryFilter struct {
	State string `query:"state" enum:"pending,delivered,dead" default:"pending"`
}

// ReplayWebhook asks for messages again.
type ReplayWebhook struct {
	MessageID string `json:"message_id,omitempty" doc:"this one, delivered or dead; none is all on the dead-letter list"`
}

// ReplayedWebhook answers ReplayWebhook.
type ReplayedWebhook struct {
	Queued int `json:"queued" doc:"messages that will be delivered again"`
}

func webhookURL(id string) string { return "/webhooks/" + url.PathEscape(id) }

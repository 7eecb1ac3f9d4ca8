package webhook

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
)

// Kinds of documents. Keys of deliveries begin with their endpoint's id and go
// on with the event's number, so that they stand in order.
const (
	kindEndpoint = "webhook"
	kindHealth   = "webhook-health" // how an endpoint answers
	kindLease    = "webhook-lease"  // held by the node that delivers to an endpoint
	kindCursor   = "webhook-cursor"
	kindPending  = "webhook-pending"
	kindDead     = "webhook-dead"
	kindDone     = "webhook-done"
)

// What apps are told of.
const (
	ConnectionLinked   = "connection.linked"
	ConnectionDelinked = "connection.delinked"
	TokenRevoked       = "token.revoked"
	SecretRetired      = "secret.retired"
)

// Types lists all types of message.
var Types = []string{ConnectionLinked, ConnectionDelinked, TokenRevoked, SecretRetired}

// An Endpoint is where an app takes its messages: those of one client in one
// environment.
type Endpoint struct {
	ID          string
	Client      gatehouse.ClientID
	Environment gatehouse.Environment
	URL         string
	Types       []string // which ones; none is all
	Disabled    bool
	CreatedAt   time.Time
	Secrets     []SecretState

	FailingSince time.Time // zero while it answers
	NextTry      time.Time // where it fails
	LastError    string
}

// A SecretState is what is shown of a signing secret.
type SecretState struct {
	CreatedAt time.Time
	ExpiresAt time.Time // zero for the newest one
}

// endpoint is an Endpoint as it is kept.
type endpoint struct {
	ID          string                `json:"id"`
	Client      gatehouse.ClientID    `json:"client"`
	Environment gatehouse.Environment `json:"environment"`
	URL         string                `json:"url"`
	Types       []string              `json:"types"`
	Disabled    bool                  `json:"disabled,omitzero"`
	CreatedAt   time.Time             `json:"created_at"`
	After       int64                 `json:"after"`   // it is told of events with greater numbers
	Secrets     []signingSecret       `json:"secrets"` // the newest first

	version int64
}

type signingSecret struct {
	Sealed    []byte    `json:"sealed"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// health is how an endpoint has answered lately. It is kept apart from the
// endpoint, so that deliveries and its owner's changes don't meet.
type health struct {
	Failures     int       `json:"failures"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	NextTry      time.Time `json:"next_try,omitzero"`
	LastError    string    `json:"last_error,omitzero"`

	version int64
}

func decode[T any](d *gatehouse.Document) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(d.Value, v); err != nil {
		return nil, fmt.Errorf("document %s %s is damaged: %w", d.Kind, d.Key, err)
	}
	return v, nil
}

// document makes one whose value marshals: all of ours do.
func document(kind, key, owner string, version int64, v any) gatehouse.Document {
	value, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err) // a type of this package that can't be JSON
	}
	return gatehouse.Document{Kind: kind, Key: key, Owner: owner, Value: value, Version: version}
}

// gone is a document that takes the place of d and is not found.
func gone(kind, key string, version int64) gatehouse.Document {
	return gatehouse.Document{Kind: kind, Key: key, Version: version, ExpiresAt: time.Unix(0, 0)}
}

func readEndpoint(d *gatehouse.Document) (*endpoint, error) {
	ep, err := decode[endpoint](d)
	if err == nil {
		ep.version = d.Version
	}
	return ep, err
}

func (ep *endpoint) document() gatehouse.Document {
	return document(kindEndpoint, ep.ID, string(ep.Client), ep.version, ep)
}

func (h *health) document(endpoint string) gatehouse.Document {
	return document(kindHealth, endpoint, "", h.version, h)
}

// wants reports whether the endpoint is told of a message.
func (ep *endpoint) wants(m *message) bool {
	return !ep.Disabled && ep.Client == m.client && (m.environment == "" || m.environment == ep.Environment) &&
		m.seq > ep.After && (len(ep.Types) == 0 || slices.Contains(ep.Types, m.Type))
}

// shown is the endpoint as its owner sees it.
func (ep *endpoint) shown(h *health) *Endpoint {
	out := &Endpoint{
		ID: ep.ID, Client: ep.Client, Environment: ep.Environment, URL: ep.URL, Types: ep.Types, Disabled: ep.Disabled, CreatedAt: ep.CreatedAt,
		FailingSince: h.FailingSince, NextTry: h.NextTry, LastError: h.LastError,
	}
	for _, s := range ep.Secrets {
		out.Secrets = append(out.Secrets, SecretState{s.CreatedAt, s.ExpiresAt})
	}
	return out
}

const maxURL = 2000

// checkURL refuses what no message could be sent to. What a name resolves to is
// seen when a connection is made, each time.
func (s *Sender) checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(text, "\r\n\t ") {
		return wrong("url", "it must be a URL without credentials or fragment, such as https://app.example.com/webhooks")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || len(s.networks) == 0) {
		return wrong("url", "it must be https: what is sent there tells of users and tokens")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := s.mayDial(u.Scheme, a); err != nil {
			return wrong("url", err.Error())
		}
	}
	return nil
}

func wrong(field, message string) error {
	e := gatehouse.Refuse(gatehouse.InvalidRequest, gatehouse.ReasonMalformed, message)
	e.Field = field
	return e
}

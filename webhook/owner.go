package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A NewEndpoint is what an endpoint is created from.
type NewEndpoint struct {
	Client      gatehouse.ClientID // its whole id
	Environment gatehouse.Environment
	URL         string
	Types       []string // none is all
	// Remember makes what a repeated create is answered by; nil is nothing.
	Remember func(*Endpoint, secret.Text) (*gatehouse.Replay, error)
}

// perClient bounds a client's endpoints.
const perClient = 10

// secretOverlap is how long an old secret signs beside a new one.
const secretOverlap = 24 * time.Hour

// Create adds an endpoint, and returns the secret that its messages are signed
// with, the only time.
func (s *Sender) Create(ctx context.Context, by gatehouse.Actor, n NewEndpoint) (*Endpoint, secret.Text, error) {
	none := secret.Text{}
	c, ok := s.clients.Client(n.Client)
	if !ok {
		return nil, none, wrong("client_id", fmt.Sprintf("there is no client %q: see `gatehouse client list`", n.Client))
	}
	if _, ok := c.WireID(n.Environment); !ok || n.Environment == "" {
		return nil, none, wrong("environment", fmt.Sprintf("client %s has no environment %q", c.ID, n.Environment))
	}
	if err := s.checkURL(n.URL); err != nil {
		return nil, none, err
	}
	slices.Sort(n.Types)
	n.Types = slices.Compact(n.Types)
	for _, t := range n.Types {
		if !slices.Contains(Types, t) {
			return nil, none, wrong("events", fmt.Sprintf("there are no messages of type %q: use %s", t, strings.Join(Types, ", ")))
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	ep := &endpoint{ID: "wh_" + token.NewID(now).String(), Client: c.ID, Environment: n.Environment, URL: n.URL, Types: n.Types, CreatedAt: now}
	shown, err := s.addSecret(ep)
	if err != nil {
		return nil, none, err
	}
	const tries = 5
	for try := 1; ; try++ {
		err := s.keepNew(ctx, by, ep, func() (*gatehouse.Replay, error) {
			if n.Remember == nil {
				return nil, nil
			}
			return n.Remember(ep.shown(&health{}), shown)
		})
		switch {
		case err == nil:
			return ep.shown(&health{}), shown, nil
		case try == tries || !errors.Is(err, gatehouse.ErrConflict):
			return nil, none, err
		}
	}
}

// keepNew keeps a new endpoint, and begins the cursor where it is the first one:
// what happened before any is nobody's news.
func (s *Sender) keepNew(ctx context.Context, by gatehouse.Actor, ep *endpoint, remember func() (*gatehouse.Replay, error)) error {
	of, err := s.endpoints(ctx, ep.Client)
	if err != nil {
		return err
	}
	if len(of) >= perClient {
		return gatehouse.Refuse(gatehouse.Conflict, gatehouse.ReasonNotAllowed, fmt.Sprintf("client %s has %d webhooks already: delete one first", ep.Client, len(of)))
	}
	if ep.After, err = s.newest(ctx); err != nil {
		return err
	}
	docs := []gatehouse.Document{ep.document()}
	any, err := s.store.Documents(ctx, kindEndpoint, "", "", 1)
	if err != nil {
		return err
	}
	if len(any) == 0 {
		version := int64(0)
		if old, err := s.store.Document(ctx, kindCursor, cursorKey); err == nil {
			version = old.Version
		} else if !errors.Is(err, gatehouse.ErrNotFound) {
			return err
		}
		docs = append(docs, document(kindCursor, cursorKey, "", version, cursor{ep.After}))
	}
	act := s.act(by, "webhook.create", ep)
	if act.Replay, err = remember(); err != nil {
		return err
	}
	return s.store.Keep(ctx, &act, docs...)
}

// addSecret puts a new secret in front.
func (s *Sender) addSecret(ep *endpoint) (secret.Text, error) {
	shown := newSecret()
	sealed, err := s.sealer.Seal(sealedSecret, []byte(shown.Reveal()))
	if err != nil {
		return secret.Text{}, err
	}
	ep.Secrets = append([]signingSecret{{Sealed: sealed, CreatedAt: time.Now().UTC().Truncate(time.Millisecond)}}, ep.Secrets...)
	return shown, nil
}

// Rotate gives an endpoint a new secret. The one before signs beside it for
// another day, or ends at once where it is compromised.
func (s *Sender) Rotate(ctx context.Context, by gatehouse.Actor, id string, compromised bool) (*Endpoint, secret.Text, error) {
	var shown secret.Text
	ep, err := s.change(ctx, by, "webhook.rotate", id, func(ep *endpoint) (err error) {
		now := time.Now().UTC().Truncate(time.Millisecond)
		old := ep.Secrets[:1]
		if compromised {
			old = nil
		} else {
			old[0].ExpiresAt = now.Add(secretOverlap)
		}
		ep.Secrets = old
		shown, err = s.addSecret(ep)
		return err
	})
	return ep, shown, err
}

// Enable lets a disabled endpoint be told again, from now on.
func (s *Sender) Enable(ctx context.Context, by gatehouse.Actor, id string) (*Endpoint, error) {
	newest, err := s.newest(ctx)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, by, "webhook.enable", id, func(ep *endpoint) error {
		if ep.Disabled {
			ep.Disabled, ep.After = false, newest
		}
		return nil
	})
}

// change saves a changed copy of an endpoint.
func (s *Sender) change(ctx context.Context, by gatehouse.Actor, action, id string, f func(*endpoint) error) (*Endpoint, error) {
	const tries = 5
	for try := 1; ; try++ {
		ep, err := s.endpoint(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := f(ep); err != nil {
			return nil, err
		}
		act := s.act(by, action, ep)
		err = s.store.Keep(ctx, &act, ep.document())
		if err == nil {
			h, err := s.health(ctx, id)
			if err != nil {
				return nil, err
			}
			return ep.shown(h), nil
		}
		if !errors.Is(err, gatehouse.ErrConflict) || try == tries {
			return nil, fmt.Errorf("saving webhook %s: %w", id, err)
		}
	}
}

// Delete removes an endpoint; what is pending for it is dropped.
func (s *Sender) Delete(ctx context.Context, by gatehouse.Actor, id string) (*Endpoint, error) {
	ep, err := s.endpoint(ctx, id)
	if err != nil {
		return nil, err
	}
	h, err := s.health(ctx, id)
	if err != nil {
		return nil, err
	}
	act := s.act(by, "webhook.delete", ep)
	docs := []gatehouse.Document{gone(kindEndpoint, id, ep.version)}
	if h.version > 0 {
		docs = append(docs, gone(kindHealth, id, h.version))
	}
	if err := s.store.Keep(ctx, &act, docs...); err != nil {
		return nil, fmt.Errorf("removing webhook %s: %w", id, err)
	}
	return ep.shown(&health{}), nil
}

// Endpoint returns one.
func (s *Sender) Endpoint(ctx context.Context, id string) (*Endpoint, error) {
	ep, err := s.endpoint(ctx, id)
	if err != nil {
		return nil, err
	}
	h, err := s.health(ctx, id)
	if err != nil {
		return nil, err
	}
	return ep.shown(h), nil
}

func (s *Sender) endpoint(ctx context.Context, id string) (*endpoint, error) {
	doc, err := s.store.Document(ctx, kindEndpoint, id)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, &gatehouse.Error{
			Code: gatehouse.NotFound, Reason: gatehouse.ReasonMalformed, Field: "webhook_id", Err: err,
			Message: fmt.Sprintf("there is no webhook %q: see `gatehouse webhook list`", id),
		}
	} else if err != nil {
		return nil, err
	}
	return readEndpoint(doc)
}

// Endpoints lists up to limit endpoints of a client, or of all, whose id is
// greater than after.
func (s *Sender) Endpoints(ctx context.Context, client gatehouse.ClientID, after string, limit int) ([]Endpoint, error) {
	docs, err := s.store.Documents(ctx, kindEndpoint, string(client), after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Endpoint, 0, len(docs))
	for i := range docs {
		ep, err := readEndpoint(&docs[i])
		if err != nil {
			return nil, err
		}
		h, err := s.health(ctx, ep.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, *ep.shown(h))
	}
	return list, nil
}

// A DeliveryState is where a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered" // shown for a week
	Dead      DeliveryState = "dead"      // on the dead-letter list, for 30 days
)

var kinds = map[DeliveryState]string{Pending: kindPending, Delivered: kindDone, Dead: kindDead}

// A Delivery is a message on its way to an endpoint, or that was.
type Delivery struct {
	MessageID string
	Type      string
	Body      string
	State     DeliveryState
	QueuedAt  time.Time
	TriedAt   time.Time // zero: not yet
	Tries     int
	Status    int    // of the last answer; 0 is none
	Error     string // what was wrong with it

	key string
}

// Key is where a list that ended with d goes on.
func (d *Delivery) Key() string { return d.key }

// Deliveries lists up to limit deliveries of an endpoint in a state, after a
// key: the delivered ones newest first, the others in the order of what
// happened.
func (s *Sender) Deliveries(ctx context.Context, id string, state DeliveryState, after string, limit int) ([]Delivery, error) {
	if _, err := s.endpoint(ctx, id); err != nil {
		return nil, err
	}
	kind, ok := kinds[state]
	if !ok {
		return nil, wrong("state", fmt.Sprintf("no delivery is %q: use pending, delivered or dead", state))
	}
	list, err := s.list(ctx, kind, id, after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Delivery, 0, len(list))
	for _, d := range list {
		key := deliveryKey(id, d.Seq)
		if state == Delivered {
			key = doneKey(id, d.Seq)
		}
		out = append(out, Delivery{
			MessageID: d.ID, Type: d.Type, Body: d.Body, State: state, QueuedAt: d.QueuedAt, TriedAt: d.TriedAt, Tries: d.Tries,
			Status: d.Status, Error: d.Error, key: key,
		})
	}
	return out, nil
}

// Replay queues messages of an endpoint again, under the ids that they had: all
// on the dead-letter list, or the one called messageID, delivered or dead. An
// endpoint that is waiting after failures is tried at once. It returns how many
// were queued.
func (s *Sender) Replay(ctx context.Context, by gatehouse.Actor, id, messageID string) (n int, err error) {
	ep, err := s.endpoint(ctx, id)
	if err != nil {
		return 0, err
	}
	if ep.Disabled {
		return 0, gatehouse.Refuse(gatehouse.Conflict, gatehouse.ReasonNotAllowed, fmt.Sprintf("webhook %s is disabled: enable it first", id))
	}
	found := 0
	for _, kind := range []string{kindDead, kindDone} {
		if kind == kindDone && messageID == "" {
			break
		}
		for after := ""; ; {
			list, err := s.list(ctx, kind, id, after, buriedAtOnce)
			if err != nil {
				return n, err
			}
			var again []*delivery
			for _, d := range list {
				if messageID == "" || d.ID == messageID {
					again = append(again, d)
				}
			}
			found += len(again)
			if err := s.requeue(ctx, by, ep, kind, again); err != nil {
				return n, err
			}
			n += len(again)
			if len(list) < buriedAtOnce {
				break
			}
			last := list[len(list)-1]
			if after = deliveryKey(id, last.Seq); kind == kindDone {
				after = doneKey(id, last.Seq)
			}
		}
	}
	if found == 0 && messageID != "" {
		return 0, &gatehouse.Error{
			Code: gatehouse.NotFound, Reason: gatehouse.ReasonMalformed, Field: "message_id",
			Message: fmt.Sprintf("webhook %s has neither delivered nor dead-lettered a message %q: see `gatehouse webhook deliveries %s`", id, messageID, id),
		}
	}
	return n, s.wake(ctx, id)
}

// requeue moves deliveries back to the queue. One that is pending already stays
// as it is.
func (s *Sender) requeue(ctx context.Context, by gatehouse.Actor, ep *endpoint, kind string, list []*delivery) error {
	if len(list) == 0 {
		return nil
	}
	var docs []gatehouse.Document
	for _, d := range list {
		if kind == kindDead {
			docs = append(docs, gone(kindDead, deliveryKey(ep.ID, d.Seq), d.version))
		}
		if _, err := s.store.Document(ctx, kindPending, deliveryKey(ep.ID, d.Seq)); err == nil {
			continue
		} else if !errors.Is(err, gatehouse.ErrNotFound) {
			return err
		}
		again := &delivery{ID: d.ID, Seq: d.Seq, Type: d.Type, Body: d.Body, QueuedAt: time.Now().UTC()}
		docs = append(docs, again.pending(ep.ID))
	}
	act := s.act(by, "webhook.replay", ep)
	act.Detail["messages"] = fmt.Sprint(len(list))
	return s.store.Keep(ctx, &act, docs...)
}

// wake has an endpoint tried now, whatever it is waiting for.
func (s *Sender) wake(ctx context.Context, id string) error {
	h, err := s.health(ctx, id)
	if err != nil {
		return err
	}
	if !h.NextTry.IsZero() {
		h.NextTry = time.Time{}
		if err := s.store.Keep(ctx, nil, h.document(id)); err != nil && !errors.Is(err, gatehouse.ErrConflict) {
			return err
		}
	}
	s.sooner(id)
	return nil
}

// act begins the audit record of a change of an endpoint. Of its URL the host is
// told: what stands behind it may be a credential.
func (s *Sender) act(by gatehouse.Actor, action string, ep *endpoint) gatehouse.Act {
	host := ""
	if u, err := url.Parse(ep.URL); err == nil {
		host = u.Host
	}
	return gatehouse.Act{
		At: time.Now().UTC().Truncate(time.Millisecond), By: by, Action: action, Subject: ep.ID,
		Detail: map[string]string{"client_id": string(ep.Client), "environment": string(ep.Environment), "host": host},
	}
}

package webhook

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// buriedAtOnce bounds one transaction; two documents each.
const buriedAtOnce = 200

// bury puts the delivery that has just failed, and all behind it that are as
// old, on the dead-letter list: what the endpoint has not taken for so long is
// its owner's to ask for again.
func (s *Sender) bury(ctx context.Context, ep *endpoint, h *health, failed *delivery) error {
	list, err := s.list(ctx, kindPending, ep.ID, "", buriedAtOnce)
	if err != nil {
		return err
	}
	docs := []gatehouse.Document{h.document(ep.ID)}
	n := int64(0)
	for _, d := range list {
		if time.Since(d.QueuedAt) < s.limit.patience {
			break
		}
		if d.Seq == failed.Seq {
			*d = *failed
		} else if d.Error == "" {
			d.Error = "not tried: the endpoint has not answered since before it"
		}
		docs = append(docs, s.dead(ep.ID, d)...)
		n++
	}
	if err := s.store.Keep(ctx, nil, docs...); err != nil {
		return err
	}
	h.version++
	s.counts.dead.Add(n)
	s.log.Warn("messages that a webhook's endpoint did not take are on the dead-letter list", "webhook", ep.ID, "client", ep.Client, "messages", n)
	return nil
}

// dead moves a delivery to the dead-letter list.
func (s *Sender) dead(endpoint string, d *delivery) []gatehouse.Document {
	dead := document(kindDead, deliveryKey(endpoint, d.Seq), endpoint, 0, d)
	dead.ExpiresAt = time.Now().Add(deadKept)
	return []gatehouse.Document{gone(kindPending, deliveryKey(endpoint, d.Seq), d.version), dead}
}

// refusedForGood disables an endpoint that has answered 410, which says that it
// wants no more (Standard Webhooks). What is pending is dropped with it.
func (s *Sender) refusedForGood(ctx context.Context, ep *endpoint, h *health) error {
	disabled := *ep
	disabled.Disabled = true
	act := s.act(gatehouse.System("webhooks"), "webhook.disable", &disabled)
	act.Detail["why"] = "the endpoint answered 410"
	if err := s.store.Keep(ctx, &act, disabled.document(), h.document(ep.ID)); err != nil {
		return err
	}
	h.version++
	s.log.Warn("a webhook's endpoint answered 410 and is disabled", "webhook", ep.ID, "client", ep.Client)
	return s.drop(ctx, ep.ID)
}

// drop removes what is pending of an endpoint that is gone or disabled.
func (s *Sender) drop(ctx context.Context, id string) error {
	for {
		list, err := s.list(ctx, kindPending, id, "", buriedAtOnce)
		if err != nil || len(list) == 0 {
			return err
		}
		var docs []gatehouse.Document
		for _, d := range list {
			docs = append(docs, gone(kindPending, deliveryKey(id, d.Seq), d.version))
		}
		if err := s.store.Keep(ctx, nil, docs...); err != nil {
			return err
		}
	}
}

package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// cursor is up to which event all has been queued.
type cursor struct {
	Seq int64 `json:"seq"`
}

const cursorKey = "events"

// A delivery is a message on its way to one endpoint.
type delivery struct {
	ID       string    `json:"id"`
	Seq      int64     `json:"seq"`
	Type     string    `json:"type"`
	Body     string    `json:"body"`
	QueuedAt time.Time `json:"queued_at"`
	Tries    int       `json:"tries,omitzero"`
	TriedAt  time.Time `json:"tried_at,omitzero"`
	Status   int       `json:"status,omitzero"` // of the last answer; 0 is none
	Error    string    `json:"error,omitzero"`

	version int64
}

// seqDigits makes the order of keys that of events.
const seqDigits = 16

func deliveryKey(endpoint string, seq int64) string {
	return fmt.Sprintf("%s/%0*d", endpoint, seqDigits, seq)
}

// doneKey lists the newest first.
func doneKey(endpoint string, seq int64) string {
	const top = 1e16 - 1
	return deliveryKey(endpoint, top-seq)
}

func (d *delivery) pending(endpoint string) gatehouse.Document {
	return document(kindPending, deliveryKey(endpoint, d.Seq), endpoint, d.version, d)
}

// Bounds of one transaction that queues.
const (
	eventsAtOnce     = 200
	deliveriesAtOnce = 500
)

// queueAll queues what the events since the cursor mean to the endpoints.
func (s *Sender) queueAll(ctx context.Context) error {
	for {
		more, err := s.queueSome(ctx)
		if errors.Is(err, gatehouse.ErrConflict) {
			continue // another node was first
		}
		if err != nil || !more {
			return err
		}
	}
}

func (s *Sender) queueSome(ctx context.Context) (more bool, err error) {
	// The newest event is read before the endpoints are: one that is missed here
	// was made after these events.
	newest, err := s.newest(ctx)
	if err != nil {
		return false, err
	}
	doc, err := s.store.Document(ctx, kindCursor, cursorKey)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return false, nil // there has never been an endpoint
	} else if err != nil {
		return false, err
	}
	at, err := decode[cursor](doc)
	if err != nil || at.Seq >= newest {
		return false, err
	}
	endpoints, err := s.endpoints(ctx, "")
	if err != nil || len(endpoints) == 0 {
		return false, err
	}
	n := min(newest-at.Seq, eventsAtOnce)
	events, err := s.store.Audit(ctx, at.Seq+n+1, int(n))
	if err != nil {
		return false, err
	}
	slices.Reverse(events)
	if len(events) != int(n) || events[0].Seq != at.Seq+1 {
		return false, fmt.Errorf("the audit record has %d events after %d where %d were expected: run `gatehouse audit check`", len(events), at.Seq, n)
	}
	docs := []gatehouse.Document{{}} // the cursor goes first
	for i := range events {
		queued, err := s.deliveries(ctx, &events[i], endpoints)
		if err != nil {
			return false, err
		}
		if len(docs)+len(queued) > deliveriesAtOnce && len(docs) > 1 {
			break
		}
		docs, at.Seq = append(docs, queued...), events[i].Seq
	}
	docs[0] = document(kindCursor, cursorKey, "", doc.Version, at)
	return at.Seq < newest, s.store.Keep(ctx, nil, docs...)
}

// newest is the number of the newest event.
func (s *Sender) newest(ctx context.Context) (int64, error) {
	events, err := s.store.Audit(ctx, 0, 1)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	return events[0].Seq, nil
}

// deliveries are what one event puts into the queues.
func (s *Sender) deliveries(ctx context.Context, e *gatehouse.Event, endpoints []*endpoint) (docs []gatehouse.Document, err error) {
	m, err := s.meaning(ctx, e)
	if errors.Is(err, errNobody) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading what event %d is about: %w", e.Seq, err)
	}
	for _, ep := range endpoints {
		if ep.wants(m) {
			d := &delivery{ID: messageID(e), Seq: e.Seq, Type: m.Type, Body: string(s.body(m, ep)), QueuedAt: time.Now().UTC()}
			docs = append(docs, d.pending(ep.ID))
		}
	}
	return docs, nil
}

const listStep = 500

// endpoints reads all endpoints of a client, or of all.
func (s *Sender) endpoints(ctx context.Context, client gatehouse.ClientID) (all []*endpoint, err error) {
	for after := ""; ; {
		docs, err := s.store.Documents(ctx, kindEndpoint, string(client), after, listStep)
		if err != nil {
			return nil, err
		}
		for i := range docs {
			ep, err := readEndpoint(&docs[i])
			if err != nil {
				return nil, err
			}
			all = append(all, ep)
		}
		if len(docs) < listStep {
			return all, nil
		}
		after = docs[len(docs)-1].Key
	}
}

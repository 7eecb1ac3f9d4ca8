package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/token"
)

// Refusals are in their node's memory, and in the store, where every node finds
// them and a restart leaves them. What is stored is bounded, so that a flood of
// bad requests fills neither the disk nor the writer's time.
const (
	// keptRefusals is how many are in memory, of requests that named somebody,
	// and again of those that didn't: some 4 MB each at most.
	keptRefusals     = 8192
	sharedEachSecond = 20
	refusalsShared   = 6 * time.Hour
)

const documentRefusal = "refusal"

// Refused keeps why a request was refused, for its owner to ask.
func (e *Engine) Refused(r Refusal) { e.refusals.Add(r) }

// RefusedElsewhere keeps what a far gate reports. What it says is bounded, and
// can't take the place of another refusal; an error says what no gate of ours
// would send, and nothing was kept then.
func (e *Engine) RefusedElsewhere(gate ClientID, list []Refusal) error {
	for i := range list {
		r := &list[i]
		if _, err := token.ParseID(r.ID); err != nil {
			return fmt.Errorf("request_id: %w", err)
		}
		if r.Code == "" || r.Reason == "" || r.At.IsZero() {
			return fmt.Errorf("refusal %s: code, reason or at is missing", r.ID)
		}
		r.Gate, r.At = gate, r.At.UTC()
		r.Route, r.Message, r.Detail = short(r.Route), short(r.Message), short(r.Detail)
		r.Code, r.Reason, r.Client = Code(short(string(r.Code))), Reason(short(string(r.Reason))), ClientID(short(string(r.Client)))
	}
	for _, r := range list {
		if _, taken := e.refusals.Find(r.ID); !taken {
			e.refusals.Add(r)
		}
	}
	return nil
}

// shareRefusals stores what the node has refused since the last time.
func (e *Engine) shareRefusals(ctx context.Context) error {
	fresh := e.refusals.Fresh(sharedEachSecond)
	if len(fresh) == 0 {
		return nil
	}
	docs := make([]Document, len(fresh))
	until := e.clock.now().Add(refusalsShared)
	for i, r := range fresh {
		value, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("refusal %s: %w", r.ID, err)
		}
		docs[i] = Document{Kind: documentRefusal, Key: r.ID, Owner: string(r.Client), Value: value, ExpiresAt: until}
	}
	err := e.store.Keep(ctx, nil, docs...)
	if errors.Is(err, ErrExists) { // a far gate has reported one twice
		err = nil
		for _, d := range docs {
			if one := e.store.Keep(ctx, nil, d); one != nil && !errors.Is(one, ErrExists) {
				err = one
			}
		}
	}
	if err != nil { // they are not tried again: this node still has them
		return fmt.Errorf("sharing refusals with other nodes: %w", err)
	}
	return nil
}

// Refusal returns what is known of a refused request by its id: from this
// node's memory, or what another node has shared. ErrNotFound where there is none.
func (e *Engine) Refusal(ctx context.Context, id string) (Refusal, error) {
	if r, ok := e.refusals.Find(id); ok {
		return r, nil
	}
	var r Refusal
	doc, err := e.store.Document(ctx, documentRefusal, id)
	if errors.Is(err, ErrNotFound) {
		return r, err
	} else if err != nil {
		return r, unavailable(err)
	}
	if err := json.Unmarshal(doc.Value, &r); err != nil {
		return r, fmt.Errorf("refusal %s: %w", id, err)
	}
	return r, nil
}

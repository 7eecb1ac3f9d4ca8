package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// An IdempotencyKey makes a create safe to repeat: the same key with the same
// request gets the first answer again, another request with it is refused, and
// so is one while the first is under way. Keys are scoped to who acts.
type IdempotencyKey struct {
	Key     string
	Request [32]byte // digest of route and body
}

// secretsReplayed is how long a repeated create is told the secrets again.
const secretsReplayed = 15 * time.Minute

// inFlight knows the creates under way on this node; other nodes' are found by
// the store when they commit.
type inFlight struct{ keys sync.Map }

func (f *inFlight) begin(caller, key string) (done func(), ok bool) {
	k := caller + "\x00" + key
	_, taken := f.keys.LoadOrStore(k, true)
	return func() { f.keys.Delete(k) }, !taken
}

// An answer is what is remembered of a create.
type answer struct {
	Client  ClientID       `json:"client,omitzero"`
	ID      token.ID       `json:"id,omitzero"`
	Secrets []answerSecret `json:"secrets,omitzero"`
	Body    []byte         `json:"body,omitzero"` // of another part's create
}

type answerSecret struct {
	ID          token.ID    `json:"id"`
	Environment Environment `json:"environment,omitzero"`
	ClientID    ClientID    `json:"client_id,omitzero"`
	Text        string      `json:"text,omitzero"`
}

// An answerForm takes a result apart and puts it together again.
type answerForm[T any] interface {
	take(T) answer
	restore(context.Context, answer) (T, error)
}

// replayOf seals the answer of a create, so that it commits with the change.
type replayOf[T any] struct {
	e      *Engine
	caller string
	key    IdempotencyKey
	form   answerForm[T]
}

func (r *replayOf[T]) seal(v T) (*Replay, error) {
	if r == nil {
		return nil, nil
	}
	plain, err := json.Marshal(r.form.take(v))
	if err != nil {
		return nil, fmt.Errorf("encoding an answer to replay: %w", err)
	}
	sealed, err := r.e.sealer.Seal(sealedAnswer, plain)
	if err != nil {
		return nil, fmt.Errorf("sealing an answer to replay: %w", err)
	}
	return &Replay{Caller: r.caller, Key: r.key.Key, Request: r.key.Request, Answer: sealed, At: r.e.clock.now()}, nil
}

// once runs create, or returns the answer that it gave before.
func once[T any](e *Engine, ctx context.Context, by Actor, key *IdempotencyKey, form answerForm[T], create func(*replayOf[T]) (T, error)) (T, error) {
	var none T
	if key == nil {
		return create(nil)
	}
	caller := string(by.Kind) + " " + by.ID
	underWay := Refuse(Conflict, ReasonInFlight, "a request with this Idempotency-Key is under way: wait for it, then repeat yours")
	done, ok := e.replays.begin(caller, key.Key)
	if !ok {
		return none, underWay
	}
	defer done()
	saved, err := e.store.Replay(ctx, caller, key.Key)
	switch {
	case err == nil:
		return replay(e, ctx, saved, key, form)
	case !errors.Is(err, ErrNotFound):
		return none, fmt.Errorf("looking for an earlier answer: %w", err)
	}
	out, err := create(&replayOf[T]{e: e, caller: caller, key: *key, form: form})
	if err != nil {
		// Another node may have committed the same key meanwhile.
		if saved, again := e.store.Replay(ctx, caller, key.Key); again == nil {
			return replay(e, ctx, saved, key, form)
		}
	}
	return out, err
}

func replay[T any](e *Engine, ctx context.Context, saved *Replay, key *IdempotencyKey, form answerForm[T]) (T, error) {
	var none T
	if saved.Request != key.Request {
		return none, &Error{Code: InvalidRequest, Reason: ReasonReusedKey, Field: "Idempotency-Key", Message: "this Idempotency-Key was used for another request: use a new one"}
	}
	plain, err := e.sealer.Open(sealedAnswer, saved.Answer)
	if err != nil {
		return none, fmt.Errorf("opening an answer to replay: %w", err)
	}
	var a answer
	if err := json.Unmarshal(plain, &a); err != nil {
		return none, fmt.Errorf("reading an answer to replay: %w", err)
	}
	if e.clock.now().Sub(saved.At) > secretsReplayed {
		for i := range a.Secrets {
			a.Secrets[i].Text = ""
		}
	}
	return form.restore(ctx, a)
}

// A CreatedPart is the answer to a create of a part beside the engine: Body in
// that part's own form, and the secret that it shows, if any. In an answer that
// is repeated late the secret is zero.
type CreatedPart struct {
	Body   []byte
	Secret secret.Text
}

// Once makes such a create safe to repeat, as the engine's own are. create
// commits what remember makes of its answer with its act; where key is nil, that
// is nil.
func (e *Engine) Once(ctx context.Context, by Actor, key *IdempotencyKey, create func(remember func(CreatedPart) (*Replay, error)) (CreatedPart, error)) (CreatedPart, error) {
	return once(e, ctx, by, key, partAnswer{}, func(replay *replayOf[CreatedPart]) (CreatedPart, error) { return create(replay.seal) })
}

// partAnswer replays a create of another part.
type partAnswer struct{}

func (partAnswer) take(p CreatedPart) answer {
	return answer{Body: p.Body, Secrets: []answerSecret{{Text: p.Secret.Reveal()}}}
}

func (partAnswer) restore(_ context.Context, a answer) (CreatedPart, error) {
	if len(a.Secrets) != 1 {
		return CreatedPart{}, errors.New("an answer to replay is damaged")
	}
	return CreatedPart{a.Body, secret.New(a.Secrets[0].Text)}, nil
}

// issuedAnswer replays tokens that an operator asked for.
type issuedAnswer struct{ e *Engine }

func (issuedAnswer) take(i *Issued) answer {
	a := answer{Client: i.Client.ID, ID: i.Record.ID, Secrets: []answerSecret{{ID: i.Record.ID, Text: i.Access.Reveal()}}}
	if i.RefreshRecord != nil {
		a.Secrets = append(a.Secrets, answerSecret{ID: i.RefreshRecord.ID, Text: i.Refresh.Reveal()})
	}
	return a
}

func (f issuedAnswer) restore(ctx context.Context, a answer) (*Issued, error) {
	client, err := f.e.named(a.Client)
	if err != nil {
		return nil, err
	}
	r, err := f.e.store.Token(ctx, a.ID)
	if err != nil {
		return nil, fmt.Errorf("reading token %s: %w", a.ID, err)
	}
	wire, _ := client.WireID(r.Environment)
	i := &Issued{Client: client, ClientID: wire, Record: *r, Access: secret.New(a.Secrets[0].Text)}
	if !r.ExpiresAt.IsZero() {
		i.Life = r.ExpiresAt.Sub(r.IssuedAt.Truncate(time.Second))
	}
	if len(a.Secrets) > 1 {
		if i.RefreshRecord, err = f.e.store.Token(ctx, a.Secrets[1].ID); err != nil {
			return nil, fmt.Errorf("reading refresh token %s: %w", a.Secrets[1].ID, err)
		}
		i.Refresh = secret.New(a.Secrets[1].Text)
		i.RefreshLife = i.RefreshRecord.ExpiresAt.Sub(i.RefreshRecord.IssuedAt.Truncate(time.Second))
	}
	return i, nil
}

package admin

import (
	"context"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A rememberer makes what a repeated create is answered by, to be committed
// with the first one's act.
type rememberer[T any] func(shown T, once secret.Text) (*gatehouse.Replay, error)

// repeatable runs a create of a part beside the engine, or returns the answer
// that it gave before; its secret is zero where that was long ago.
func repeatable[T any](ctx context.Context, s *server, by gatehouse.Actor, key *gatehouse.IdempotencyKey, create func(rememberer[T]) (T, secret.Text, error)) (out T, shown secret.Text, err error) {
	pack := func(v T, once secret.Text) (gatehouse.CreatedPart, error) {
		body, err := json.Marshal(v)
		return gatehouse.CreatedPart{Body: body, Secret: once}, err
	}
	part, err := s.engine.Once(ctx, by, key, func(remember func(gatehouse.CreatedPart) (*gatehouse.Replay, error)) (gatehouse.CreatedPart, error) {
		v, once, err := create(func(v T, once secret.Text) (*gatehouse.Replay, error) {
			p, err := pack(v, once)
			if err != nil {
				return nil, err
			}
			return remember(p)
		})
		if err != nil {
			return gatehouse.CreatedPart{}, err
		}
		return pack(v, once)
	})
	if err != nil {
		return out, shown, err
	}
	return out, part.Secret, json.Unmarshal(part.Body, &out)
}

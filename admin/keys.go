package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

func (s *server) keyRoutes(api huma.API) {
	tags := []string{"Signing keys"}
	route(s, api, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/keys", Tags: tags, Summary: "List signing keys",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (List[Key], error) {
		return shownKeys(s.engine.Keys()), nil
	})

	route(s, api, huma.Operation{
		OperationID: "rotate-keys", Method: http.MethodPost, Path: "/keys/rotate", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Sign with the keys that stand by, from now on, and make new ones to stand by",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body RotateKeys }) (List[Key], error) {
		env, err := environment("environment", in.Body.Environment)
		if err != nil {
			return List[Key]{}, err
		}
		keys, err := s.engine.RotateKeys(ctx, by, env, in.Body.Format)
		return shownKeys(keys), err
	})

	route(s, api, huma.Operation{
		OperationID: "retire-key", Method: http.MethodPost, Path: "/keys/{id}/retire", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Retire a key; a compromised one verifies nothing from now on",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		ID   string `path:"id" doc:"key id"`
		Body Compromise
	}) (List[Key], error) {
		keys, err := s.engine.RetireKey(ctx, by, in.ID, in.Body.Compromised)
		return shownKeys(keys), err
	})
}

func shownKeys(keys []gatehouse.KeyStatus) List[Key] {
	out := List[Key]{Items: []Key{}}
	for _, k := range keys {
		out.Items = append(out.Items, Key{
			KeyID: k.ID, Environment: k.Realm.Environment, Format: k.Realm.Format, Algorithm: string(k.Realm.Algorithm), State: string(k.State),
			PublishedAt: k.PublishedAt.UTC(), SignsFrom: moment(k.SignsFrom), RetiredAt: moment(k.RetiredAt), GoneAt: moment(k.GoneAt),
			Compromised: k.Compromised,
		})
	}
	return out
}

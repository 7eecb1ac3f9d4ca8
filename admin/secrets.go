package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

func (s *server) secretRoutes(api huma.API) {
	tags := []string{"Secrets"}
	route(s, api, huma.Operation{
		OperationID: "add-secret", Method: http.MethodPost, Path: "/clients/{id}/secrets", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Add a second secret in an environment, before the first is retired",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		ClientPath
		Idempotent
		Body AddSecret
	}) (AddedSecret, error) {
		c, err := s.client(in.ID)
		if err != nil {
			return AddedSecret{}, err
		}
		env, err := environment("environment", in.Body.Environment)
		if err != nil {
			return AddedSecret{}, err
		}
		hash := in.Body.Hash.Text
		added, err := s.engine.AddSecret(ctx, by, c.ID, env, hash, in.key("add-secret "+string(c.ID)))
		if err != nil {
			return AddedSecret{}, err
		}
		return AddedSecret{s.newSecret(c, *added), Omitted{added.Secret.IsZero() && hash.IsZero()}}, nil
	})

	route(s, api, huma.Operation{
		OperationID: "list-secrets", Method: http.MethodGet, Path: "/clients/{id}/secrets", Tags: tags,
		Summary: "List a client's secrets: when, from where and how often each was used, and which is safe to retire",
	}, func(ctx context.Context, by gatehouse.Actor, in *ClientPath) (List[Secret], error) {
		c, err := s.client(in.ID)
		if err != nil {
			return List[Secret]{}, err
		}
		statuses, err := s.engine.Secrets(ctx, c.ID)
		if err != nil {
			return List[Secret]{}, err
		}
		out := List[Secret]{Items: []Secret{}}
		for _, st := range statuses {
			shown := Secret{
				SecretID: st.Secret.ID.String(), ClientID: s.wire(c.Dialect, st.ClientID), Environment: string(st.Secret.Environment),
				CreatedAt: st.Secret.CreatedAt.UTC(), RetiredAt: moment(st.Secret.RetiredAt), Compromised: st.Secret.Compromised,
				Imported:   st.Secret.Imported != nil || st.Secret.FastHash != "",
				LastUsedAt: moment(st.Use.At), Uses: st.Use.Count, SafeToRetire: st.SafeToRetire, Advice: st.Advice,
			}
			if st.Use.Addr.IsValid() {
				shown.LastUsedFrom = st.Use.Addr.String()
			}
			out.Items = append(out.Items, shown)
		}
		return out, nil
	})

	route(s, api, huma.Operation{
		OperationID: "retire-secret", Method: http.MethodPost, Path: "/secrets/{id}/retire", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Retire a secret; a compromised one ends what it obtained",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		ID   string `path:"id" doc:"secret id"`
		Body Compromise
	}) (RetiredSecret, error) {
		id, err := parseID("id", in.ID)
		if err != nil {
			return RetiredSecret{}, err
		}
		r, err := s.engine.RetireSecret(ctx, by, id, in.Body.Compromised)
		if err != nil {
			return RetiredSecret{}, err
		}
		wire, _ := r.Client.WireID(r.Secret.Environment)
		return RetiredSecret{
			SecretID: r.Secret.ID.String(), ClientID: s.wire(r.Client.Dialect, wire), Environment: string(r.Secret.Environment),
			RetiredAt: r.Secret.RetiredAt.UTC(), Revoked: r.Ended,
		}, nil
	})
}

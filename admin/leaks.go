package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

// ReportLeak tells of a text that others have seen.
type ReportLeak struct {
	Text          Credential `json:"text" doc:"whatever was found: it may hold several tokens and secrets, and anything else"`
	Source        string     `json:"source,omitempty" maxLength:"300" doc:"where it was found, for the audit record"`
	RetireSecrets bool       `json:"retire_secrets,omitzero" doc:"retire client secrets as compromised; otherwise they are only flagged"`
}

// Leak is something of ours in the text, by its place in it.
type Leak struct {
	Offset      int    `json:"offset" doc:"in bytes"`
	Length      int    `json:"length"`
	Kind        string `json:"kind" enum:"access,refresh,code,client_secret"`
	Status      string `json:"status" enum:"revoked,over,flagged,retired" doc:"over: it was of no use any more"`
	TokenID     string `json:"token_id,omitempty"`
	SecretID    string `json:"secret_id,omitempty"`
	ClientID    string `json:"client_id"`
	Environment string `json:"environment"`
	Dialect     string `json:"dialect"`
	Stopped     int    `json:"stopped" doc:"how many live tokens ended with it"`
}

func (s *server) leakRoutes(api huma.API) {
	route(s, api, huma.Operation{
		OperationID: "report-leak", Method: http.MethodPost, Path: "/leaks", DefaultStatus: http.StatusOK, Tags: []string{"Leaks"},
		Summary: "End the tokens, and flag the client secrets, that stand in a text which others have seen",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body ReportLeak }) (List[Leak], error) {
		if in.Body.Text.IsZero() {
			return List[Leak]{}, refuse("text", "give the text that was found")
		}
		found, err := s.engine.ReportLeak(ctx, by, in.Body.Source, in.Body.Text.Reveal(), in.Body.RetireSecrets)
		if err != nil {
			return List[Leak]{}, err
		}
		out := List[Leak]{Items: []Leak{}}
		for i := range found {
			out.Items = append(out.Items, s.shownLeak(&found[i]))
		}
		return out, nil
	})
}

func (s *server) shownLeak(l *gatehouse.Leak) Leak {
	out := Leak{
		Offset: l.At, Length: l.Length, Kind: l.Kind, Status: string(l.Status), ClientID: s.wire(l.Dialect, l.ClientID),
		Environment: string(l.Environment), Dialect: l.Dialect, Stopped: l.Stopped,
	}
	if !l.Token.IsZero() {
		out.TokenID = l.Token.String()
	}
	if !l.Secret.IsZero() {
		out.SecretID = l.Secret.String()
	}
	return out
}

// ReportLeak ends what stands in a text that others have seen.
func (c *Caller) ReportLeak(ctx context.Context, r ReportLeak) (out List[Leak], err error) {
	return out, c.call(ctx, http.MethodPost, "/leaks", nil, "", r, &out)
}

package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

// Refusal says why a request was refused. The caller of that request was told
// the code at most.
type Refusal struct {
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
	Route     string    `json:"route" doc:"our name of it"`
	Gate      string    `json:"gate,omitempty" doc:"the client id of the far gate that refused it; left out where a node did"`
	Status    int       `json:"status" doc:"of the answer"`
	Address   string    `json:"address,omitempty" doc:"where the request came from"`
	Code      string    `json:"code"`
	Reason    string    `json:"reason"`
	Sentence  string    `json:"explanation" doc:"why, in plain words"`
	Advice    string    `json:"advice,omitempty" doc:"what to do"`
	ClientID  string    `json:"client_id,omitempty" doc:"as it was recognised, or claimed"`
	Token     *Token    `json:"token,omitempty" doc:"the token that was refused, where it is on the ledger"`
	Event     *Event    `json:"event,omitempty" doc:"the act behind it, where there is one"`
}

func (s *server) refusalRoutes(api huma.API) {
	route(s, api, huma.Operation{
		OperationID: "explain-refusal", Method: http.MethodGet, Path: "/refusals/{request_id}", Tags: []string{"Refusals"},
		Summary: "Say why a request was refused, by the Gatehouse-Request-Id of its answer",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		ID string `path:"request_id" maxLength:"64"`
	}) (Refusal, error) {
		kept, err := s.engine.Refusal(ctx, in.ID)
		if errors.Is(err, gatehouse.ErrNotFound) {
			e := gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed,
				"no refusal has this request id: ids are those of the answers' Gatehouse-Request-Id header, and refusals are kept for some hours (logs have them longer)")
			e.Field = "request_id"
			return Refusal{}, e
		} else if err != nil {
			return Refusal{}, err
		}
		x, err := s.engine.Explain(ctx, kept)
		if err != nil {
			return Refusal{}, err
		}
		return s.shownRefusal(x), nil
	})
}

func (s *server) shownRefusal(x *gatehouse.Explanation) Refusal {
	out := Refusal{
		RequestID: x.ID, At: x.At, Route: x.Route, Status: x.Status, Code: string(x.Code), Reason: string(x.Reason),
		Gate: string(x.Gate), Sentence: x.Sentence, Advice: x.Advice, ClientID: string(x.Client),
	}
	if x.Addr.IsValid() {
		out.Address = x.Addr.String()
	}
	if x.Record != nil {
		t := s.shownToken(x.Record)
		out.Token, out.ClientID = &t, t.ClientID
	}
	if x.Event != nil {
		e := shownEvent(x.Event)
		out.Event = &e
	}
	return out
}

// Refusal explains a refusal by its request id.
func (c *Caller) Refusal(ctx context.Context, id string) (out Refusal, err error) {
	return out, c.call(ctx, http.MethodGet, "/refusals/"+url.PathEscape(id), nil, "", nil, &out)
}

package admin

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

func (s *server) auditRoutes(api huma.API) {
	tags := []string{"Audit"}
	route(s, api, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/audit", Tags: tags, Summary: "List audit events, newest first",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Page }) (List[Event], error) {
		position, limit, err := s.page("audit", in.Page)
		if err != nil {
			return List[Event]{}, err
		}
		var before int64
		if position != "" {
			if before, err = strconv.ParseInt(position, 10, 64); err != nil {
				return List[Event]{}, err
			}
		}
		rows, err := s.engine.Audit(ctx, before, limit+1)
		if err != nil {
			return List[Event]{}, err
		}
		return list(s, "audit", rows, limit,
			func(e *gatehouse.Event) string { return strconv.FormatInt(e.Seq, 10) }, shownEvent), nil
	})

	route(s, api, huma.Operation{
		OperationID: "check-audit", Method: http.MethodPost, Path: "/audit/check", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Recompute every hash chain and name what does not fit",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (AuditReport, error) {
		r, err := s.engine.CheckAudit(ctx)
		if err != nil {
			return AuditReport{}, err
		}
		return AuditReport{Clean: len(r.Faults) == 0, Events: r.Events, Tokens: r.Tokens, Faults: r.Faults}, nil
	})
}

func (s *server) aboutRoutes(api huma.API, version Version, status func(context.Context) Status) {
	tags := []string{"Server"}
	route(s, api, huma.Operation{
		OperationID: "show-version", Method: http.MethodGet, Path: "/version", Tags: tags, Summary: "Say which Gatehouse is running",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (Version, error) { return version, nil })

	route(s, api, huma.Operation{
		OperationID: "show-status", Method: http.MethodGet, Path: "/status", Tags: tags, Summary: "Say how the server is",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (Status, error) { return status(ctx), nil })
}

func shownEvent(e *gatehouse.Event) Event {
	out := Event{
		Seq: e.Seq, At: e.At.UTC(), By: EventActor{Kind: string(e.By.Kind), ID: e.By.ID, Request: e.By.Request},
		Action: e.Action, Subject: e.Subject, Detail: e.Detail, Hash: hex.EncodeToString(e.Hash[:]),
	}
	if e.By.Addr.IsValid() {
		out.By.Address = e.By.Addr.String()
	}
	return out
}

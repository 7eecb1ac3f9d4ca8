package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/doctor"
)

// Examination is what a server finds wrong with itself.
type Examination struct {
	At       time.Time        `json:"at" doc:"by the server's clock"`
	Issuer   string           `json:"issuer"`
	Findings []doctor.Finding `json:"findings"`
}

func (s *server) doctorRoutes(api huma.API, examine func(context.Context) ([]doctor.Finding, error)) {
	route(s, api, huma.Operation{
		OperationID: "examine", Method: http.MethodGet, Path: "/doctor", Tags: []string{"About"},
		Summary: "Say what is wrong with the deployment, why, and how to mend it",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (Examination, error) {
		found, err := examine(ctx)
		if found == nil {
			found = []doctor.Finding{}
		}
		return Examination{At: time.Now().UTC(), Issuer: s.engine.Issuer(gatehouse.Live), Findings: found}, err
	})
}

// Examine asks what is wrong with the deployment.
func (c *Caller) Examine(ctx context.Context) (out Examination, err error) {
	return out, c.call(ctx, http.MethodGet, "/doctor", nil, "", nil, &out)
}

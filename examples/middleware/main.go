// Command middleware is an API in Go that checks its callers' tokens itself:
// no gateway before it, and no call to the authority on a request's way.
//
//	gatehouse dev &
//	gatehouse client create --name orders --dialect oauth2 --environment live --scope gatehouse:gate
//	AUTHORITY=http://127.0.0.1:8080 GATE_ID=… GATE_SECRET=… go run ./examples/middleware
//	curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:9000/orders/
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/follow"
	"github.com/gatehouse-auth/gatehouse/secret"
)

func main() {
	follower, err := follow.New(follow.Config{
		Authority: os.Getenv("AUTHORITY"), ClientID: os.Getenv("GATE_ID"), ClientSecret: secret.New(os.Getenv("GATE_SECRET")),
		Environment: gatehouse.Live, Logger: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(follower.Run(context.Background())) }()
	handler, err := newAPI(follower)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:9000", Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// newAPI is the API behind its gate.
func newAPI(v gate.Validator) (http.Handler, error) {
	api := http.NewServeMux()
	api.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	api.HandleFunc("GET /orders/", func(w http.ResponseWriter, r *http.Request) {
		claims, _ := gate.FromContext(r.Context())
		fmt.Fprintf(w, "the orders of %s\n", claims.ClientID)
	})
	api.HandleFunc("POST /orders/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })

	routes, err := gate.NewRoutes([]gate.Route{
		{Path: "/health", Public: true},
		{Path: "/orders/", Methods: []string{"POST"}, Want: gatehouse.Requirement{Environment: gatehouse.Live, Scopes: []string{"write"}}},
		{Path: "/orders/", Want: gatehouse.Requirement{Environment: gatehouse.Live, Scopes: []string{"read"}}},
	})
	if err != nil {
		return nil, err
	}
	guard := gate.Middleware(v, gate.Options{
		Routes: routes,
		Refused: func(ctx context.Context, e *gatehouse.Error) {
			slog.InfoContext(ctx, "refused", "code", e.Code, "reason", e.Reason, "client", e.Client)
		},
	})
	return guard(api), nil
}

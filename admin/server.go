package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect/directory"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/doctor"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/webhook"
)

const maxBody = 64 << 10

// Config is what the admin API needs. All but Token, TrustedProxies, Users
// and Metrics must be set.
type Config struct {
	Engine         *gatehouse.Engine
	Dialects       func() []*dialect.Dialect // those in use now
	Environments   []gatehouse.Environment   // those that clients are made for
	Token          secret.Text               // the admin token; zero closes the API on TCP
	TrustedProxies []netip.Prefix
	Version        Version
	Status         func(context.Context) Status
	Examine        func(context.Context) ([]doctor.Finding, error)
	Ready          func(context.Context) error // nil while the server wants requests
	Metrics        prometheus.Gatherer
	Logger         *slog.Logger
	Users          *directory.Directory // nil: end users are another provider's
	Webhooks       *webhook.Sender
}

// New returns the handler of the admin listener and socket. Serve it with
// ConnContext.
func New(cfg Config) http.Handler {
	s := &server{engine: cfg.Engine, dialects: cfg.Dialects, environments: cfg.Environments, log: cfg.Logger}
	api := http.NewServeMux()
	config := huma.DefaultConfig("Gatehouse administration", cfg.Version.Version)
	config.Info.Description = "Clients, secrets, tokens, connections, keys, dialects and the audit record of one Gatehouse."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.CreateHooks, config.OpenAPIPath, config.DocsPath, config.SchemasPath = nil, "", "", ""
	config.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"admin_token": {Type: "http", Scheme: "bearer", Description: "The admin token. The unix socket needs none."},
	}
	config.Security = []map[string][]string{{"admin_token": {}}}
	h := humago.New(api, config)
	s.clientRoutes(h)
	s.secretRoutes(h)
	s.tokenRoutes(h)
	s.connectionRoutes(h)
	if cfg.Users != nil {
		s.userRoutes(h, cfg.Users)
	} else {
		api.HandleFunc("/admin/v1/users", usersElsewhere)
		api.HandleFunc("/admin/v1/users/", usersElsewhere)
	}
	s.webhookRoutes(h, cfg.Webhooks)
	s.keyRoutes(h)
	s.dialectRoutes(h)
	s.auditRoutes(h)
	s.refusalRoutes(h)
	s.leakRoutes(h)
	s.importRoutes(h)
	s.doctorRoutes(h, cfg.Examine)
	s.backupRoutes(h)
	s.aboutRoutes(h, cfg.Version, cfg.Status)
	api.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, problemOf(gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed,
			"no such route or method: /admin/v1/openapi.json lists them")))
	})

	mux := http.NewServeMux()
	mux.Handle("/", s.recovering(&door{token: cfg.Token, trusted: cfg.TrustedProxies, log: cfg.Logger, next: api}))
	mux.Handle("GET /admin/v1/openapi.json", describe(h.OpenAPI()))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := cfg.Ready(r.Context()); err != nil {
			plain(w, http.StatusServiceUnavailable, "not ready: "+gatehouse.AsError(err).Message)
			return
		}
		plain(w, http.StatusOK, "ready")
	})
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{}))
	}
	return mux
}

type server struct {
	engine       *gatehouse.Engine
	dialects     func() []*dialect.Dialect
	environments []gatehouse.Environment
	log          *slog.Logger
}

// describe serves the OpenAPI document, which is no secret.
func describe(doc *huma.OpenAPI) http.Handler {
	body := sync.OnceValues(func() ([]byte, error) { return json.Marshal(doc, json.Deterministic(true)) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := body()
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(b)
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// recovering answers a panic like any internal error. What was being handled
// may be a credential, so only the place is logged.
func (s *server) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				s.log.Error("the admin API panicked", "method", r.Method, "route", r.Pattern,
					"request_id", w.Header().Get(RequestIDHeader), "stack", string(debug.Stack()))
				writeProblem(w, problemOf(gatehouse.Refuse(gatehouse.ServerError, gatehouse.ReasonInternal, "internal error")))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

type answer[O any] struct{ Body O }

// route registers one call. f is told who acts; what it returns is the answer.
func route[I, O any](s *server, api huma.API, op huma.Operation, f func(ctx context.Context, by gatehouse.Actor, in *I) (O, error)) {
	op.MaxBodyBytes = cmp.Or(op.MaxBodyBytes, maxBody)
	op.Path = "/admin/v1" + op.Path
	huma.Register(api, op, func(ctx context.Context, in *I) (*answer[O], error) {
		by, ok := ctx.Value(actorKey).(gatehouse.Actor)
		if !ok {
			return nil, problemOf(gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonInternal, "nobody is asking"))
		}
		out, err := f(ctx, by, in)
		if err != nil {
			p := problemOf(err)
			if p.Status >= http.StatusInternalServerError {
				s.log.Error("an administrative call failed", "operation", op.OperationID, "request_id", by.Request, "error", err)
			}
			return nil, p
		}
		return &answer[O]{out}, nil
	})
}

// Idempotent is part of each create (draft-ietf-httpapi-idempotency-key-header):
// the same key with the same body is answered as at first.
type Idempotent struct {
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"makes the call safe to repeat: the first answer is given again"`
	RawBody []byte
}

// key is the engine's form of the header; nil is none. route tells the calls
// apart that a key could be used for.
func (i *Idempotent) key(route string) *gatehouse.IdempotencyKey {
	if i.Key == "" {
		return nil
	}
	h := sha256.New()
	h.Write([]byte(route))
	h.Write([]byte{0})
	h.Write(canonical(i.RawBody))
	return &gatehouse.IdempotencyKey{Key: i.Key, Request: [32]byte(h.Sum(nil))}
}

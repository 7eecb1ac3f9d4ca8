// Package httpd is the public listener: standard OAuth 2.0 and the dialects on
// one engine, and the gate's forward-auth beside them. A request takes two
// hops: a handler here, the engine, the store.
//
// Every refusal is written in the words of the route that it happened on, be
// it a wrong secret, a wrong method, plain HTTP or a panic. What the caller is
// told depends on the refusal's code alone; the reason goes to the log, under
// the request's id.
package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/reference"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Engine is what the public listener needs of *gatehouse.Engine.
type Engine interface {
	Issue(ctx context.Context, by gatehouse.Actor, r gatehouse.IssueRequest) (*gatehouse.Issued, error)
	Refresh(ctx context.Context, by gatehouse.Actor, r gatehouse.RefreshRequest) (*gatehouse.Issued, error)
	Exchange(ctx context.Context, by gatehouse.Actor, r gatehouse.ExchangeRequest) (*gatehouse.Issued, error)
	AuthorizingClient(id gatehouse.ClientID, redirectURI string) (*gatehouse.Client, gatehouse.Environment, error)
	CheckAuthorization(a gatehouse.Authorization) (*gatehouse.Authorization, error)
	ExchangeCode(ctx context.Context, by gatehouse.Actor, r gatehouse.CodeRequest) (*gatehouse.Issued, error)
	ProveClient(ctx context.Context, by gatehouse.Actor, p gatehouse.ClientProof) (*gatehouse.Principal, error)
	Validate(ctx context.Context, tok secret.Text, want gatehouse.Requirement) (*gatehouse.Claims, error)
	Introspect(ctx context.Context, who *gatehouse.Principal, tok secret.Text) (*gatehouse.Introspection, error)
	RevokeByClient(ctx context.Context, by gatehouse.Actor, who *gatehouse.Principal, tok secret.Text) error
	ProveCall(ctx context.Context, by gatehouse.Actor, c *gatehouse.Claims, p gatehouse.CallProof) error
	DelinkByToken(ctx context.Context, by gatehouse.Actor, dialect string, tok, clientSecret, userSecret secret.Text) error
	JWKS(env gatehouse.Environment) (body []byte, etag string, err error)
	Client(id gatehouse.ClientID) (*gatehouse.Client, bool)
	Issuer(env gatehouse.Environment) string
	Now() time.Time

	// What remote gates are told.
	Changes(ctx context.Context, seq int64) (list []gatehouse.Change, grown <-chan struct{}, err error)
	State() (*gatehouse.Snapshot, []*token.Key)
	Heard() time.Time
	TakesOldIssuers() bool
	Lookup(ctx context.Context, tok secret.Text) (*gatehouse.TokenRecord, error)
	LookupClient(ctx context.Context, id gatehouse.ClientID) (*gatehouse.Client, error)

	Refused(r gatehouse.Refusal)
	RefusedElsewhere(gate gatehouse.ClientID, list []gatehouse.Refusal) error
	ReportLeak(ctx context.Context, by gatehouse.Actor, source, text string, retire bool) ([]gatehouse.Leak, error)
}

// Config is what a Server is made of.
type Config struct {
	Engine   Engine
	Dialects []*dialect.Dialect
	Connect  Connect // nil: no end user signs in here

	// TrustedProxies are the direct peers whose X-Forwarded-Proto and
	// X-Forwarded-For are believed. Nobody else's are.
	TrustedProxies []netip.Prefix
	// Dev takes every plain HTTP request over loopback for a local one, even
	// when a proxy's headers are on it.
	Dev bool

	// Routes say what /gate/verify asks where its query doesn't; nil: the query must.
	Routes *gate.Routes

	LeakReports LeakReports

	// BaseURL is where callers reach the listener, for the reference pages; ""
	// is the issuer. Docs is whose pages they are.
	BaseURL string
	Docs    reference.Brand

	Logger  *slog.Logger // nil: none
	Metrics *Metrics     // nil: none
}

// A Server answers the public listener's requests. It is safe for concurrent
// use.
type Server struct {
	engine  Engine
	connect Connect
	dev     bool
	proxies []netip.Prefix
	log     *slog.Logger
	metrics *Metrics

	own      map[string]*route // by exact path; fixed
	unknown  *route
	docs     *route
	docsCall *route
	about    reference.Config // what the reference pages are made of
	pages    *route           // everything below /connect/; nil where there are none
	dialects atomic.Pointer[dialectSet]
	setting  sync.Mutex // held while dialects changes

	streams   context.Context // of the journal; ends before the server does
	ending    context.CancelFunc
	snapshots snapshots
}

// New makes a Server. Errors name dialects whose routes conflict.
func New(cfg Config) (*Server, error) {
	s := &Server{
		engine: cfg.Engine, connect: cfg.Connect, dev: cfg.Dev, proxies: cfg.TrustedProxies,
		log: cfg.Logger, metrics: cfg.Metrics, own: map[string]*route{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.streams, s.ending = context.WithCancel(context.Background())
	s.unknown = s.route("unknown", serveUnknown, refuseStandard)
	s.addOAuth()
	if s.connect != nil {
		s.addConnect()
	}
	s.addMetadata()
	s.addGate(cfg.Routes)
	s.addGateFollowing()
	s.addLeakReports(cfg.LeakReports)
	s.docs, s.docsCall = s.route("docs", s.serveDocs, refuseStandard), s.route("docs.call", s.serveDocsCall, refuseBearer)
	s.about = docsConfig(cfg)
	if err := s.SetDialects(cfg.Dialects); err != nil {
		return nil, err
	}
	return s, nil
}

// A route is where requests of one kind go.
type route struct {
	label  string // in the log and the metrics; never the caller's own text
	serve  func(*call)
	refuse func(*call, *gatehouse.Error) // answers in the route's words
	meter  *routeMeter
}

func (s *Server) route(label string, serve func(*call), refuse func(*call, *gatehouse.Error)) *route {
	return &route{label: label, serve: serve, refuse: refuse, meter: s.metrics.route(label)}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := newCall(s, w, r)
	c.route = s.find(r)
	defer s.finish(c)
	if why := s.insecure(c); why != "" {
		c.route.refuse(c, &gatehouse.Error{Code: gatehouse.InsecureTransport, Reason: gatehouse.ReasonPlainHTTP, Message: "HTTPS is required", Err: errors.New(why)})
		return
	}
	c.route.serve(c)
}

// find never cleans or redirects: a path is one of ours as it stands, or none.
func (s *Server) find(r *http.Request) *route {
	if rt := s.own[r.URL.Path]; rt != nil && r.URL.RawPath == "" {
		return rt
	}
	if s.pages != nil && isConnect(r.URL.Path) {
		return s.pages
	}
	if rt := s.dialects.Load().find(r); rt != nil {
		return rt
	}
	if rt := s.findDocs(r); rt != nil {
		return rt
	}
	return s.unknown
}

// finish turns a panic into the route's own server_error, and tells the log
// and the metrics.
func (s *Server) finish(c *call) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		s.log.Error("panic", "request_id", c.id, "route", c.route.label, "panic", panicText(p), "stack", string(debug.Stack()))
		if c.status != 0 {
			panic(http.ErrAbortHandler) // an answer is under way: break it off
		}
		c.route.refuse(c, gatehouse.Refuse(gatehouse.ServerError, gatehouse.ReasonInternal, ""))
	}
	took := time.Since(c.began)
	c.route.meter.count(c.status, c.refusal, took)
	s.logCall(c, took)
	s.keepRefusal(c)
	c.free()
}

func (s *Server) addGate(routes *gate.Routes) {
	verify := gate.NewVerify(s.engine, func(name string) *dialect.Dialect { return s.dialects.Load().byName[name] }, s.engine.Now)
	if routes != nil {
		verify.OfferRoutes(routes, s.proxies)
	}
	s.own["/gate/verify"] = s.route("gate.verify",
		func(c *call) { c.refusal = verify.Answer(c, c.r) },
		func(c *call, e *gatehouse.Error) { c.refusal = e; verify.Refuse(c, c.r, e) })
}

func serveUnknown(c *call) {
	refuseStandard(c, gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, ""))
}

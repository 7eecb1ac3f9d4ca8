package connect

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// Engine is what the pages need of *gatehouse.Engine.
type Engine interface {
	Authorize(ctx context.Context, by gatehouse.Actor, a *gatehouse.Authorization, user string) (*gatehouse.LinkResult, error)
	CreateConnection(ctx context.Context, by gatehouse.Actor, id gatehouse.ClientID, env gatehouse.Environment, user string, key *gatehouse.IdempotencyKey) (*gatehouse.LinkResult, error)
	Connections(ctx context.Context, q gatehouse.ConnectionQuery) ([]gatehouse.Connection, error)
	Delink(ctx context.Context, by gatehouse.Actor, id gatehouse.ConnectionID) (gatehouse.Revoked, error)
	Client(id gatehouse.ClientID) (*gatehouse.Client, bool)
	Logo(ctx context.Context, id gatehouse.ClientID) (*gatehouse.Logo, error)
	Policy(dialect string) (gatehouse.Policy, bool)
	Issuer(env gatehouse.Environment) string
	Now() time.Time
}

// Documents is the part of gatehouse.Store that keeps what is under way, so that
// any node serves any step.
type Documents interface {
	Keep(ctx context.Context, act *gatehouse.Act, docs ...gatehouse.Document) error
	Document(ctx context.Context, kind, key string) (*gatehouse.Document, error)
	Take(ctx context.Context, act *gatehouse.Act, kind, key string) (*gatehouse.Document, error)
}

// Config is what Pages are made of.
type Config struct {
	Engine    Engine
	Documents Documents
	Identity  Identity
	Dialects  func() []*dialect.Dialect // those that are loaded now
	Demo      map[string]DemoApp        // by name; nil but in `gatehouse dev`
	// Limits bounds how many requests one address may begin.
	Limits bool
	Logger *slog.Logger // nil: none
}

// Pages serves everything under /connect/, and begins what /oauth2/authorize has
// checked. It is safe for concurrent use.
type Pages struct {
	engine   Engine
	docs     Documents
	identity Identity
	dialects func() []*dialect.Dialect
	log      *slog.Logger
	base     string // the path that a proxy in front has taken off, "" mostly
	secure   bool   // browsers reach us by HTTPS
	origins  *http.CrossOriginProtection
	begun    *beginnings
	views    *views
	routes   map[string]step
}

// New makes Pages. The issuer's URL is where browsers reach them.
func New(cfg Config) (*Pages, error) {
	u, err := url.Parse(cfg.Engine.Issuer(gatehouse.Live))
	if err != nil {
		return nil, err
	}
	p := &Pages{
		engine: cfg.Engine, docs: cfg.Documents, identity: cfg.Identity, dialects: cfg.Dialects, log: cfg.Logger,
		base: strings.TrimRight(u.Path, "/"), secure: u.Scheme == "https",
		origins: http.NewCrossOriginProtection(), begun: newBeginnings(cfg.Limits),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.views, err = newViews(p.base); err != nil {
		return nil, err
	}
	p.routes = map[string]step{
		"GET /connect/open":                (*visit).open,
		"GET /connect/sign-in":             (*visit).showSignIn,
		"POST /connect/sign-in":            (*visit).signIn,
		"POST /connect/sign-out":           (*visit).signOut,
		"POST /connect/upstream":           (*visit).leaveForUpstream,
		"GET " + callbackPath:              (*visit).returnFromUpstream,
		"POST /connect/passkey/begin":      (*visit).beginPasskey,
		"POST /connect/passkey/finish":     (*visit).finishPasskey,
		"POST /connect/passkey/add/begin":  (*visit).beginAdding,
		"POST /connect/passkey/add/finish": (*visit).finishAdding,
		"GET /connect/consent":             (*visit).showConsent,
		"POST /connect/consent":            (*visit).decide,
		"GET /connect/connections":         (*visit).showConnections,
		"POST /connect/connections":        (*visit).endConnections,
	}
	p.routes["GET "+logoPath] = (*visit).showLogo
	if cfg.Demo != nil {
		p.addDemo(cfg.Demo)
	}
	for path, a := range p.views.assets {
		p.routes["GET "+path] = a.serve
	}
	return p, nil
}

// A step answers one request; what it returns is shown to the user.
type step func(*visit) error

// A visit is one request of a browser.
type visit struct {
	*Pages
	w      http.ResponseWriter
	r      *http.Request
	by     gatehouse.Actor // Kind and ID are set once the user is known
	params url.Values      // of the query, or of the form
}

// maxForm bounds what a page's form sends; a passkey's answer is the largest.
const maxForm = 32 << 10

// Serve answers a request whose path begins with /connect/, or for which Ours is
// true. by says where it came from. What it returns is for the log.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, by gatehouse.Actor) *gatehouse.Error {
	v := &visit{Pages: p, w: w, r: r, by: by}
	return v.answer(v.dispatch)
}

// Fail shows a refusal of /oauth2/authorize that must not be sent to anybody.
func (p *Pages) Fail(w http.ResponseWriter, r *http.Request, by gatehouse.Actor, err error) *gatehouse.Error {
	v := &visit{Pages: p, w: w, r: r, by: by}
	return v.answer(func() error { return err })
}

// answer shows the error of a step, if there is one.
func (v *visit) answer(step func() error) *gatehouse.Error {
	v.by.Kind = gatehouse.ByUser
	setHeaders(v.w.Header())
	err := step()
	if err == nil {
		return nil
	}
	return v.fail(err)
}

func (v *visit) dispatch() error {
	step := v.routes[v.r.Method+" "+v.r.URL.Path]
	if a := v.views.assets[v.r.URL.Path]; a != nil && v.r.Method == http.MethodHead {
		step = a.serve // what a page does is done by a GET alone: some steps use something up
	}
	if step == nil {
		return v.noStep()
	}
	if err := v.read(); err != nil {
		return err
	}
	return step(v)
}

func (v *visit) noStep() error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if v.routes[method+" "+v.r.URL.Path] != nil {
			v.w.Header().Set("Allow", method)
			return gatehouse.Refuse(gatehouse.MethodNotAllowed, gatehouse.ReasonMalformed, "")
		}
	}
	return gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
}

// read reads the parameters: of the query in a GET, of the form in a POST, each
// once. A POST must come from a page of ours.
func (v *visit) read() error {
	if v.r.Method == http.MethodPost {
		if err := v.origins.Check(v.r); err != nil {
			return &gatehouse.Error{Code: gatehouse.AccessDenied, Reason: reasonForeignPage, Message: "the form was sent from another site", Err: err}
		}
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return &gatehouse.Error{Code: gatehouse.PayloadTooLarge, Reason: gatehouse.ReasonMalformed, Err: tooLarge}
			}
			return malformed(err)
		}
		v.params = v.r.PostForm
	} else {
		query, err := url.ParseQuery(v.r.URL.RawQuery)
		if err != nil {
			return malformed(err)
		}
		v.params = query
	}
	for name, values := range v.params {
		if len(values) > 1 {
			return malformed(errors.New("parameter " + name + " is repeated"))
		}
		if strings.ContainsRune(values[0], 0) || strings.ToValidUTF8(values[0], "\x00") != values[0] {
			return malformed(errors.New("parameter " + name + " is not text"))
		}
	}
	return nil
}

// Reasons of the pages' own.
const (
	reasonForeignPage gatehouse.Reason = "foreign_page"
	reasonNoCookie    gatehouse.Reason = "no_or_other_browser_cookie"
	reasonGone        gatehouse.Reason = "request_expired_or_finished"
)

func malformed(err error) error {
	return &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Err: err}
}

// goTo sends the browser to another page of ours. Reload and Back repeat the page
// then, and not what was sent to get there.
func (v *visit) goTo(path string, params ...string) error {
	v.redirect(v.link(path, params...))
	return nil
}

// link is the URL of a page of ours; params are names and values in turn.
func (v *visit) link(path string, params ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] != "" {
			q.Set(params[i], params[i+1])
		}
	}
	if len(q) == 0 {
		return v.base + path
	}
	return v.base + path + "?" + q.Encode()
}

func (v *visit) redirect(location string) {
	v.w.Header().Set("Location", location)
	v.w.WriteHeader(http.StatusSeeOther)
}

package httpd

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
)

// Connect is what the public listener needs of *connect.Pages.
type Connect interface {
	Serve(w http.ResponseWriter, r *http.Request, by gatehouse.Actor) *gatehouse.Error
	Fail(w http.ResponseWriter, r *http.Request, by gatehouse.Actor, err error) *gatehouse.Error
	Begin(w http.ResponseWriter, r *http.Request, by gatehouse.Actor, a *connect.Ask) *gatehouse.Error
	Push(ctx context.Context, a *connect.Ask) (requestURI string, err error)
	Pushed(ctx context.Context, requestURI string) (*connect.Ask, error)
	Refuse(w http.ResponseWriter, r *http.Request, by gatehouse.Actor, a *connect.Ask, word string, e *gatehouse.Error) *gatehouse.Error
	SignedIn(r *http.Request, env gatehouse.Environment) (bool, error)
}

// maxState bounds what a client gives us to hand back.
const maxState = 1024

// addConnect adds the pages of end users and the endpoints that lead to them.
func (s *Server) addConnect() {
	fail := func(c *call, e *gatehouse.Error) { c.refusal = s.connect.Fail(c, c.r, c.user(), e) }
	s.pages = s.route("connect", func(c *call) { c.refusal = s.connect.Serve(c, c.r, c.user()) }, fail)
	s.own["/oauth2/authorize"] = s.route("oauth2.authorize", s.authorize, fail)
	s.own["/oauth2/par"] = s.route("oauth2.par", s.pushAuthorization, refuseStandard)
}

// user is who sits before the browser, as far as is known before a sign-in.
func (c *call) user() gatehouse.Actor {
	return gatehouse.Actor{Kind: gatehouse.ByUser, Addr: c.addr, Request: c.id}
}

// A refusedAsk is an authorization request that its client is told about: the
// client and its redirect URI are good.
type refusedAsk struct {
	ask  *connect.Ask
	word string // of the error, where the code's own is not exact enough
	err  *gatehouse.Error
}

// authorize is the authorization endpoint (RFC 6749 §3.1) with PKCE by S256. What
// is wrong is told to the client only when the client and the redirect URI are
// known to belong together; else to the user, who goes nowhere (RFC 9700 §4.11.2).
func (s *Server) authorize(c *call) {
	if c.r.Method != http.MethodGet { // HEAD too would use up what was pushed
		c.Header()["Allow"] = []string{http.MethodGet}
		c.route.refuse(c, gatehouse.Refuse(gatehouse.MethodNotAllowed, gatehouse.ReasonMalformed, "an authorization is asked for with GET"))
		return
	}
	ask, refused, err := s.readAuthorization(c)
	switch {
	case err != nil:
		c.route.refuse(c, gatehouse.AsError(err))
	case refused != nil:
		s.refuseAuthorization(c, refused)
	default:
		c.refusal = s.connect.Begin(c, c.r, c.user(), ask)
	}
}

func (s *Server) readAuthorization(c *call) (*connect.Ask, *refusedAsk, error) {
	if refusal := c.form.read([]byte(c.r.URL.RawQuery)); refusal != nil {
		return nil, nil, refusal
	}
	var ask *connect.Ask
	var refused *refusedAsk
	var err error
	if requestURI := c.form.get("request_uri"); requestURI != "" {
		ask, err = s.pushedAuthorization(c, requestURI)
	} else {
		ask, refused, err = s.checkAuthorization(c)
	}
	if ask == nil || refused != nil || err != nil {
		return nil, refused, err
	}
	if !ask.Silent {
		return ask, nil, nil
	}
	// Who may not be asked can't agree: each authorization is the user's own act.
	in, err := s.connect.SignedIn(c.r, ask.Environment)
	if err != nil {
		return nil, nil, err
	}
	word, message := "login_required", "nobody has signed in"
	if in {
		word, message = "consent_required", "the user must be asked"
	}
	return nil, &refusedAsk{ask, word, gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonNotAllowed, message)}, nil
}

// pushedAuthorization returns what the client has pushed (RFC 9126 §4).
func (s *Server) pushedAuthorization(c *call, requestURI string) (*connect.Ask, error) {
	ask, err := s.connect.Pushed(c.r.Context(), requestURI)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonExpired, Field: "request_uri",
			Message: "this request_uri was used, has expired or was never made: push the request again", Client: gatehouse.ClientID(c.form.get("client_id"))}
	} else if err != nil {
		return nil, err
	}
	// It may have changed, or be switched off, since it was pushed.
	client, env, err := s.engine.AuthorizingClient(gatehouse.ClientID(c.form.get("client_id")), ask.Standard.RedirectURI)
	if err != nil {
		return nil, err
	}
	if client.ID != ask.Client || env != ask.Environment {
		return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonWrongClient, Field: "client_id",
			Message: "this request_uri is another client's", Client: client.ID}
	}
	return ask, nil
}

// checkAuthorization reads the parameters of an authorization request, from the
// query or from a pushed form.
func (s *Server) checkAuthorization(c *call) (*connect.Ask, *refusedAsk, error) {
	f := &c.form
	redirect := f.get("redirect_uri")
	client, env, err := s.engine.AuthorizingClient(gatehouse.ClientID(f.get("client_id")), redirect)
	if err != nil {
		return nil, nil, err
	}
	ask := &connect.Ask{
		Client: client.ID, Environment: env, Mode: connect.ModeQuery, Target: redirect, State: f.get("state"),
		Language: f.get("ui_locales"), Hint: f.get("login_hint"), Frame: f.get("display") == "frame",
		Standard: &gatehouse.Authorization{Client: client.ID, Environment: env, RedirectURI: redirect, Challenge: f.get("code_challenge")},
	}
	refuse := func(e *gatehouse.Error, word string) (*connect.Ask, *refusedAsk, error) {
		e.Client = client.ID
		return nil, &refusedAsk{ask, word, e}, nil
	}
	if len(ask.State) > maxState {
		ask.State = ""
		return refuse(malformed("state is longer than 1,024 bytes"), "")
	}
	switch mode := connect.Mode(f.get("response_mode")); mode {
	case "", connect.ModeQuery:
	case connect.ModeFormPost:
		ask.Mode = mode
	case connect.ModeMessage:
		origin := connect.OriginOf(redirect)
		if registered, ok := client.OriginIn(origin); !ok || registered != env {
			return refuse(malformed("response_mode=web_message needs the redirect URI's origin among the client's registered origins"), "")
		}
		ask.Mode, ask.Target = mode, origin
	default:
		return refuse(malformed("response_mode is query, form_post or web_message"), "")
	}
	switch prompt := f.get("prompt"); prompt {
	case "", "consent", "select_account":
	case "login":
		ask.Fresh = true
	case "none":
		ask.Silent = true
	default:
		return refuse(malformed("prompt is none, login, consent or select_account"), "")
	}
	switch {
	case f.get("request") != "":
		return refuse(malformed("requests in a JWT are not taken: push the request instead (RFC 9126)"), "request_not_supported")
	case f.get("response_type") == "":
		return refuse(malformed("response_type is missing"), "")
	case f.get("response_type") != "code":
		return refuse(malformed("response_type must be code"), "unsupported_response_type")
	case ask.Frame && ask.Mode != connect.ModeMessage:
		return refuse(malformed("display=frame goes with response_mode=web_message"), "")
	case f.get("code_challenge_method") != "S256":
		return refuse(malformed("PKCE is required: send code_challenge and code_challenge_method=S256 (RFC 7636)"), "")
	}
	var refusal *gatehouse.Error
	if ask.Standard.Scopes, refusal = readScope(f.get("scope")); refusal != nil {
		return refuse(refusal, "")
	}
	if ask.Standard.Resources, refusal = readResources(f.all("resource")); refusal != nil {
		return refuse(refusal, "")
	}
	checked, err := s.engine.CheckAuthorization(*ask.Standard)
	if err != nil {
		return refuse(gatehouse.AsError(err), "")
	}
	ask.Standard = checked
	return ask, nil, nil
}

// refuseAuthorization tells the client (RFC 6749 §4.1.2.1).
func (s *Server) refuseAuthorization(c *call, r *refusedAsk) {
	c.refusal = s.connect.Refuse(c, c.r, c.user(), r.ask, r.word, r.err)
}

// isConnect reports whether a path is one of the pages'.
func isConnect(path string) bool { return strings.HasPrefix(path, "/connect/") }

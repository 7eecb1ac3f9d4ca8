package httpd

import (
	"context"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/reference"
	"github.com/gatehouse-auth/gatehouse/token"
)

// docsConfig is what the reference pages are made of, for these dialects.
func docsConfig(cfg Config) reference.Config {
	c := reference.Config{BaseURL: cfg.BaseURL, Brand: cfg.Docs}
	if c.BaseURL == "" {
		c.BaseURL = cfg.Engine.Issuer(gatehouse.Live)
	}
	for _, kind := range []token.Kind{token.ClientSecret, token.AccessToken, token.RefreshToken, token.AccessCode, token.UserSecret} {
		c.LivePrefixes = append(c.LivePrefixes, token.Prefix(string(gatehouse.Live), kind))
	}
	return c
}

// findDocs returns the route of a page, or of the call that pages try tokens on.
func (s *Server) findDocs(r *http.Request) *route {
	path := r.URL.Path
	if !s.dialects.Load().docs.Has(path) || r.URL.RawPath != "" {
		return nil
	}
	if name, ok := strings.CutSuffix(path, "/call"); ok && strings.Count(name, "/") == 2 {
		return s.docsCall
	}
	return s.docs
}

func (s *Server) serveDocs(c *call) {
	s.dialects.Load().docs.ServeHTTP(c, c.r)
}

// A sampleAnswer tells whose token a call was made with.
type sampleAnswer struct {
	ClientID    string  `json:"client_id"`
	Environment string  `json:"environment"`
	Scope       string  `json:"scope"`
	Subject     string  `json:"subject"`
	ExpiresAt   *string `json:"expires_at"` // RFC 3339; null is never
}

// serveDocsCall is an ordinary call of an API of the sandbox, behind the same
// gate as a real one: so a partner can try a token where no API is yet.
func (s *Server) serveDocsCall(c *call) {
	name := strings.TrimSuffix(strings.TrimPrefix(c.r.URL.Path, "/docs/"), "/call")
	d := s.dialects.Load().byName[name]
	if d == nil && name != gatehouse.OAuth2 {
		refuseStandard(c, gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, ""))
		return
	}
	o := gate.Options{
		Want: gatehouse.Requirement{Environment: gatehouse.Sandbox, Dialect: name}, Dialect: d,
		Refused: func(_ context.Context, e *gatehouse.Error) { c.refusal = e },
	}
	if d != nil {
		o.Calls = gate.NewCalls(s.engine, []*dialect.Dialect{d}, maxBody)
	}
	gate.Middleware(s.engine, o)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, _ := gate.FromContext(r.Context())
		answer := sampleAnswer{ClientID: string(claims.ClientID), Environment: string(claims.Environment), Scope: claims.Scope, Subject: claims.Subject}
		if !claims.ExpiresAt.IsZero() {
			at := claims.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z07:00")
			answer.ExpiresAt = &at
		}
		body, err := json.Marshal(answer)
		if err != nil {
			refuseStandard(c, gatehouse.AsError(err))
			return
		}
		c.send(http.StatusOK, jsonType, body)
	})).ServeHTTP(c, c.r)
}

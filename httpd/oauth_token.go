package httpd

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// grantToken is the token endpoint (RFC 6749 §3.2) with the grants
// client_credentials (§4.4), refresh_token (§6) and, where end users sign in,
// authorization_code (§4.1.3).
func (s *Server) grantToken(c *call) ([]byte, *gatehouse.Error) {
	grant := c.form.get("grant_type")
	switch grant {
	case "client_credentials", "refresh_token":
	case "authorization_code":
		if s.connect == nil {
			return nil, gatehouse.Refuse(gatehouse.UnsupportedGrantType, gatehouse.ReasonMalformed, "")
		}
	case "":
		return nil, &gatehouse.Error{Code: gatehouse.MissingParameter, Reason: gatehouse.ReasonMalformed, Field: "grant_type", Message: "grant_type is missing"}
	default:
		return nil, gatehouse.Refuse(gatehouse.UnsupportedGrantType, gatehouse.ReasonMalformed, "")
	}
	proof, refusal := c.clientProof()
	if refusal != nil {
		return nil, refusal
	}
	scopes, refusal := readScope(c.form.get("scope"))
	if refusal != nil {
		return nil, refusal
	}
	resources, refusal := readResources(c.form.all("resource"))
	if refusal != nil {
		return nil, refusal
	}

	var issued *gatehouse.Issued
	var err error
	switch grant {
	case "client_credentials":
		issued, err = s.engine.Issue(c.r.Context(), c.actor(), gatehouse.IssueRequest{Proof: proof, Scopes: scopes, Resources: resources})
	case "authorization_code":
		for _, name := range []string{"code", "redirect_uri", "code_verifier"} {
			if c.form.get(name) == "" {
				return nil, missing(name)
			}
		}
		if scopes != nil {
			return nil, &gatehouse.Error{Code: gatehouse.InvalidScope, Reason: gatehouse.ReasonMalformed, Field: "scope", Message: "the user has agreed to the scope: it can't be asked for again with the code"}
		}
		issued, err = s.engine.ExchangeCode(c.r.Context(), c.actor(), gatehouse.CodeRequest{
			Proof: proof, Code: secret.New(c.form.get("code")), RedirectURI: c.form.get("redirect_uri"),
			Verifier: secret.New(c.form.get("code_verifier")), Resources: resources,
		})
	case "refresh_token":
		tok := c.form.get("refresh_token")
		if tok == "" {
			return nil, missing("refresh_token")
		}
		issued, err = s.engine.Refresh(c.r.Context(), c.actor(), gatehouse.RefreshRequest{
			Dialect: gatehouse.OAuth2, Token: secret.New(tok), Proof: &proof, Scopes: scopes, Resources: resources,
		})
	}
	if err != nil {
		return nil, gatehouse.AsError(err)
	}
	setLimit(c.Header(), issued.Limit)
	return tokenAnswer(issued), nil
}

func missing(name string) *gatehouse.Error {
	return &gatehouse.Error{Code: gatehouse.MissingParameter, Reason: gatehouse.ReasonMalformed, Field: name, Message: name + " is missing"}
}

// tokenAnswer is the answer of RFC 6749 §5.1. The scope stands in every
// answer, so that a client which asked for none knows what it got.
func tokenAnswer(i *gatehouse.Issued) []byte {
	access, refresh := i.Access.Reveal(), i.Refresh.Reveal()
	b := make([]byte, 0, 160+len(access)+len(refresh))
	b = appendMember(append(b, '{'), "access_token", access)
	b = append(b, `,"token_type":"Bearer"`...)
	if i.Life > 0 {
		b = append(b, `,"expires_in":`...)
		b = strconv.AppendInt(b, int64(i.Life/time.Second), 10)
	}
	if len(i.Record.Scopes) > 0 { // a scope has at least one token (§3.3)
		b = appendMember(append(b, ','), "scope", strings.Join(i.Record.Scopes, " "))
	}
	if refresh != "" {
		b = appendMember(append(b, ','), "refresh_token", refresh)
	}
	return append(b, "}\n"...)
}

// readScope splits a scope by the grammar of RFC 6749 §3.3: tokens separated
// by single spaces. No scope is nil.
func readScope(s string) ([]string, *gatehouse.Error) {
	if s == "" {
		return nil, nil
	}
	scopes := make([]string, 0, 1+strings.Count(s, " "))
	for one := range strings.SplitSeq(s, " ") {
		if !isScopeToken(one) {
			return nil, &gatehouse.Error{Code: gatehouse.InvalidScope, Reason: gatehouse.ReasonMalformed, Field: "scope",
				Message: "scope is not a list of scopes separated by single spaces"}
		}
		if !slices.Contains(scopes, one) {
			if len(scopes) == maxScopes {
				return nil, &gatehouse.Error{Code: gatehouse.InvalidScope, Reason: gatehouse.ReasonMalformed, Field: "scope", Message: "too many scopes"}
			}
			scopes = append(scopes, one)
		}
	}
	return scopes, nil
}

// maxScopes bounds the scopes, and maxResources the resources, of a request.
const (
	maxScopes    = 256
	maxResources = 8
)

func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// readResources checks resource indicators: absolute URIs without a fragment
// (RFC 8707 §2).
func readResources(all []string) ([]string, *gatehouse.Error) {
	bad := func(message string) ([]string, *gatehouse.Error) {
		return nil, &gatehouse.Error{Code: gatehouse.InvalidTarget, Reason: gatehouse.ReasonMalformed, Field: "resource", Message: message}
	}
	if len(all) > maxResources {
		return bad("too many resources")
	}
	for _, r := range all {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" || strings.Contains(r, "#") {
			return bad("resource must be an absolute URI without a fragment")
		}
	}
	return all, nil
}

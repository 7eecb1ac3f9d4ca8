package httpd

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
)

// addMetadata adds the documents that clients and verifiers configure
// themselves from: authorization server metadata (RFC 8414) for each
// environment's issuer and the key set (RFC 7517).
func (s *Server) addMetadata() {
	const wellKnown = "/.well-known/oauth-authorization-server"
	for _, env := range gatehouse.Environments {
		body := s.metadata(env)
		sum := sha256.Sum256(body)
		etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		rt := s.route("oauth2.metadata", document(func(*call) ([]byte, string, *gatehouse.Error) { return body, etag, nil }, jsonType), refuseStandard)

		// By path insertion (RFC 8414 §3.1): the issuer's path comes last. An
		// issuer with a path is behind a proxy that may have taken it off.
		sandbox := ""
		if env == gatehouse.Sandbox {
			sandbox = "/sandbox"
		}
		s.own[wellKnown+sandbox] = rt
		s.own[wellKnown+pathOf(s.engine.Issuer(env))] = rt
	}
	s.own["/.well-known/jwks.json"] = s.route("oauth2.jwks", document(s.keySet, keySetType), refuseStandard)
}

var (
	keySetType = []string{"application/jwk-set+json"}
	// cacheable lets keys and metadata be kept for five minutes, well below
	// the time for which a key is published before it signs.
	cacheable = []string{"public, max-age=300"}
	anyOrigin = []string{"*"}
)

func pathOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}

// metadata names what is there, and nothing that isn't yet.
func (s *Server) metadata(env gatehouse.Environment) []byte {
	base := s.engine.Issuer(gatehouse.Live)
	b := appendMember([]byte("{"), "issuer", s.engine.Issuer(env))
	b = appendMember(append(b, ','), "token_endpoint", base+"/oauth2/token")
	b = appendMember(append(b, ','), "introspection_endpoint", base+"/oauth2/introspect")
	b = appendMember(append(b, ','), "revocation_endpoint", base+"/oauth2/revoke")
	b = appendMember(append(b, ','), "jwks_uri", base+"/.well-known/jwks.json?environment="+string(env))
	const methods = `["client_secret_basic","client_secret_post"]`
	if s.connect == nil {
		b = append(b, `,"grant_types_supported":["client_credentials","refresh_token"],"response_types_supported":[]`...)
	} else {
		b = appendMember(append(b, ','), "authorization_endpoint", base+"/oauth2/authorize")
		b = appendMember(append(b, ','), "pushed_authorization_request_endpoint", base+"/oauth2/par")
		b = append(b, `,"grant_types_supported":["authorization_code","client_credentials","refresh_token"],"response_types_supported":["code"]`+
			`,"response_modes_supported":["query","form_post","web_message"],"code_challenge_methods_supported":["S256"]`+
			`,"authorization_response_iss_parameter_supported":true`...)
	}
	b = append(b, `,"token_endpoint_auth_methods_supported":`+methods+
		`,"introspection_endpoint_auth_methods_supported":`+methods+
		`,"revocation_endpoint_auth_methods_supported":`+methods...)
	return append(b, "}\n"...)
}

// keySet is the public keys of one environment, or of all when none is named.
// Outside verifiers must name one, or a sandbox token passes theirs as live.
func (s *Server) keySet(c *call) ([]byte, string, *gatehouse.Error) {
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, "", malformed("the query is not encoded as it must be")
	}
	var env gatehouse.Environment
	if query.Has("environment") {
		if env, err = gatehouse.ParseEnvironment(query.Get("environment")); err != nil || len(query["environment"]) > 1 {
			return nil, "", malformed("unknown environment: use sandbox or live")
		}
	}
	body, etag, err := s.engine.JWKS(env)
	if err != nil {
		return nil, "", gatehouse.AsError(err)
	}
	return body, etag, nil
}

// document serves a public document to GET and HEAD, with its entity tag.
func document(read func(*call) (body []byte, etag string, refusal *gatehouse.Error), contentType []string) func(*call) {
	return func(c *call) {
		h := c.Header()
		if m := c.r.Method; m != http.MethodGet && m != http.MethodHead {
			h["Allow"] = allowGet
			refuseStandard(c, gatehouse.Refuse(gatehouse.MethodNotAllowed, gatehouse.ReasonMalformed, "this document is read with GET"))
			return
		}
		body, etag, refusal := read(c)
		if refusal != nil {
			refuseStandard(c, refusal)
			return
		}
		h["Cache-Control"] = cacheable
		h["Access-Control-Allow-Origin"] = anyOrigin // it is public, and holds for every reader alike
		h["Etag"] = []string{etag}
		if isFresh(c.r.Header["If-None-Match"], etag) {
			c.WriteHeader(http.StatusNotModified)
			return
		}
		c.send(http.StatusOK, contentType, body)
	}
}

// isFresh compares If-None-Match weakly, as RFC 9110 §13.1.2 has it.
func isFresh(fields []string, etag string) bool {
	for _, field := range fields {
		for one := range strings.SplitSeq(field, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(etag, "W/") {
				return true
			}
		}
	}
	return false
}

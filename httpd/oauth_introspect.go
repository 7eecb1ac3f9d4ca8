package httpd

import (
	"strconv"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// introspect is token introspection (RFC 7662) for clients that prove
// themselves. Whatever isn't the asker's to see is {"active":false}. A token
// says by itself what it is, so token_type_hint isn't needed (§2.1).
func (s *Server) introspect(c *call) ([]byte, *gatehouse.Error) {
	who, tok, refusal := s.proveForToken(c)
	if refusal != nil {
		return nil, refusal
	}
	seen, err := s.engine.Introspect(c.r.Context(), who, tok)
	if err != nil {
		return nil, gatehouse.AsError(err)
	}
	return introspectionAnswer(seen), nil
}

// proveForToken reads what introspection and revocation have in common: the
// client's proof and a token, in this order, so that who doesn't prove
// anything learns nothing else.
func (s *Server) proveForToken(c *call) (*gatehouse.Principal, secret.Text, *gatehouse.Error) {
	proof, refusal := c.clientProof()
	if refusal != nil {
		return nil, secret.Text{}, refusal
	}
	who, err := s.engine.ProveClient(c.r.Context(), c.actor(), proof)
	if err != nil {
		return nil, secret.Text{}, gatehouse.AsError(err)
	}
	tok := c.form.get("token")
	if tok == "" {
		return nil, secret.Text{}, &gatehouse.Error{Code: gatehouse.MissingParameter, Reason: gatehouse.ReasonMalformed, Field: "token", Message: "token is missing"}
	}
	return who, secret.New(tok), nil
}

func introspectionAnswer(seen *gatehouse.Introspection) []byte {
	if !seen.Active {
		return []byte("{\"active\":false}\n")
	}
	k := seen.Claims
	b := make([]byte, 0, 512)
	b = appendMember(append(b, `{"active":true,`...), "client_id", string(k.ClientID))
	if k.Scope != "" {
		b = appendMember(append(b, ','), "scope", k.Scope)
	}
	if k.Kind == gatehouse.AccessToken {
		b = append(b, `,"token_type":"Bearer"`...)
	}
	if !k.ExpiresAt.IsZero() {
		b = strconv.AppendInt(append(b, `,"exp":`...), k.ExpiresAt.Unix(), 10)
	}
	b = strconv.AppendInt(append(b, `,"iat":`...), k.IssuedAt.Unix(), 10)
	b = appendMember(append(b, ','), "sub", k.Subject)
	b = append(b, `,"aud":`...)
	b = appendAudience(b, k.Audience)
	b = appendMember(append(b, ','), "iss", k.Issuer)
	b = appendMember(append(b, ','), "jti", k.Token.String())
	return append(b, "}\n"...)
}

// appendAudience appends one audience as a string and several as a list (RFC
// 7519 §4.1.3).
func appendAudience(b []byte, audience []string) []byte {
	if len(audience) == 1 {
		return appendText(b, audience[0])
	}
	b = append(b, '[')
	for i, a := range audience {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, a)
	}
	return append(b, ']')
}

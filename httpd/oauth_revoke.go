package httpd

import "github.com/gatehouse-auth/gatehouse"

// revoke is token revocation (RFC 7009). A token that is unknown or another
// client's changes nothing and gets the same empty 200 (§2.2); a store that
// can't answer is 503, since a client told otherwise would forget a token that
// still works.
func (s *Server) revoke(c *call) ([]byte, *gatehouse.Error) {
	who, tok, refusal := s.proveForToken(c)
	if refusal != nil {
		return nil, refusal
	}
	if err := s.engine.RevokeByClient(c.r.Context(), c.actor(), who, tok); err != nil {
		return nil, gatehouse.AsError(err)
	}
	// The body means nothing (§2.2), but simple-oauth2 and its like fail on an
	// answer that isn't said to be JSON.
	c.Header()["Content-Type"] = jsonType
	return nil, nil
}

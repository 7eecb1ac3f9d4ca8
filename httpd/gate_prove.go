package httpd

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// serveProve tells a remote gate whether the secrets that it was shown beside
// an access token (token=…) belong with it: the client's (client_secret=…), the
// user's (user_secret=…), or both. 204 says that they do. A wrong secret counts
// against its client as one at the token endpoint does.
func (s *Server) serveProve(c *call) {
	_, gate, refusal := s.proveGate(c)
	if refusal == nil {
		refusal = readOAuth(c)
	}
	if refusal == nil {
		refusal = s.proveCall(c, gate.Environment)
	}
	if refusal != nil {
		refuseBearer(c, refusal)
		return
	}
	c.send(http.StatusNoContent, nil, nil)
}

func (s *Server) proveCall(c *call, env gatehouse.Environment) *gatehouse.Error {
	p := gatehouse.CallProof{
		Token: secret.New(c.form.get("token")), ClientSecret: secret.New(c.form.get("client_secret")), UserSecret: secret.New(c.form.get("user_secret")),
	}
	if p.Token.IsZero() || p.ClientSecret.IsZero() && p.UserSecret.IsZero() {
		return malformed("give token, and client_secret or user_secret")
	}
	claims, err := s.engine.Validate(c.r.Context(), p.Token, gatehouse.Requirement{Environment: env})
	if err == nil {
		err = s.engine.ProveCall(c.r.Context(), c.actor(), claims, p)
	}
	if err == nil {
		return nil
	}
	refusal := gatehouse.AsError(err)
	switch refusal.Code {
	case gatehouse.InvalidClient, gatehouse.InvalidToken, gatehouse.ExpiredToken:
		// The gate's own credentials are good: what it asks about isn't.
		told := *refusal
		told.Code, told.Message = gatehouse.AccessDenied, "they do not belong together"
		return &told
	}
	return refusal
}

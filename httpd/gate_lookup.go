package httpd

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// serveLookup tells a remote gate of an opaque token (token=…) that it was
// shown, or of a client (client_id=…) that the journal hasn't told it of yet.
// What is of the other environment isn't there.
func (s *Server) serveLookup(c *call) {
	_, gate, refusal := s.proveGate(c)
	if refusal == nil {
		refusal = readOAuth(c)
	}
	var body []byte
	if refusal == nil {
		body, refusal = s.lookup(c, gate.Environment)
	}
	if refusal != nil {
		refuseBearer(c, refusal)
		return
	}
	c.send(http.StatusOK, jsonType, body)
}

func (s *Server) lookup(c *call, env gatehouse.Environment) ([]byte, *gatehouse.Error) {
	tok, client := c.form.get("token"), c.form.get("client_id")
	var body []byte
	var err error
	found := true
	switch {
	case (tok == "") == (client == ""):
		return nil, malformed("give either token or client_id")
	case tok != "":
		var row *gatehouse.TokenRecord
		row, err = s.engine.Lookup(c.r.Context(), secret.New(tok))
		if refusal := (*gatehouse.Error)(nil); errors.As(err, &refusal) && refusal.Code == gatehouse.InvalidToken {
			return nil, gatehouse.Refuse(gatehouse.NotFound, refusal.Reason, "no such token")
		}
		if found = err == nil && row.Environment == env; found {
			body, err = feed.MarshalRecord(row)
		}
	default:
		var known *gatehouse.Client
		known, err = s.engine.LookupClient(c.r.Context(), gatehouse.ClientID(client))
		if errors.Is(err, gatehouse.ErrNotFound) {
			return nil, gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonUnknownClient, "no such client")
		}
		if err == nil {
			body, found, err = feed.MarshalClient(known, env)
		}
	}
	switch {
	case err != nil:
		return nil, gatehouse.AsError(err)
	case !found:
		return nil, gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonWrongEnvironment, "there is none in this environment")
	}
	return body, nil
}

// refuseBearer answers in the words of RFC 6750 §3.
func refuseBearer(c *call, e *gatehouse.Error) {
	refuseWith(c, e, bearerChallenge)
}

package httpd

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
)

// pushAuthorization takes an authorization request from the client itself (RFC
// 9126): what the browser carries then is only a name for it, which works once.
func (s *Server) pushAuthorization(c *call) {
	refusal := readOAuth(c)
	var body []byte
	if refusal == nil {
		body, refusal = s.pushed(c)
	}
	if refusal != nil {
		refuseStandard(c, refusal)
		return
	}
	c.send(http.StatusCreated, jsonType, body)
}

func (s *Server) pushed(c *call) ([]byte, *gatehouse.Error) {
	if c.form.get("request_uri") != "" {
		return nil, malformed("request_uri can't be pushed (RFC 9126 section 2.1)")
	}
	proof, refusal := c.clientProof()
	if refusal != nil {
		return nil, refusal
	}
	who, err := s.engine.ProveClient(c.r.Context(), c.actor(), proof)
	if err != nil {
		return nil, gatehouse.AsError(err)
	}
	if c.form.get("client_id") == "" {
		c.form.set("client_id", string(proof.ClientID)) // proved by the header
	}
	ask, refused, err := s.checkAuthorization(c)
	switch {
	case err != nil:
		return nil, gatehouse.AsError(err)
	case refused != nil:
		return nil, refused.err
	case ask.Environment != who.Environment:
		return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonWrongEnvironment, Field: "redirect_uri",
			Message: "this redirect_uri is registered in the other environment than the secret that was sent", Client: who.Client.ID}
	}
	requestURI, err := s.connect.Push(c.r.Context(), ask)
	if err != nil {
		return nil, gatehouse.AsError(err)
	}
	b := appendMember([]byte("{"), "request_uri", requestURI)
	b = append(b, `,"expires_in":`...)
	b = strconv.AppendInt(b, int64(connect.PushLife/time.Second), 10)
	return append(b, "}\n"...), nil
}

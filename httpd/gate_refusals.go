package httpd

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
)

// serveRefusals takes what a remote gate has refused (refusals=…, see
// feed.MarshalRefusals), so that `gatehouse explain` knows of it here.
func (s *Server) serveRefusals(c *call) {
	_, gate, refusal := s.proveGate(c)
	if refusal == nil {
		refusal = readOAuth(c)
	}
	if refusal == nil {
		refusal = s.takeRefusals(c, gate.ClientID)
	}
	if refusal != nil {
		refuseBearer(c, refusal)
		return
	}
	c.send(http.StatusNoContent, nil, nil)
}

func (s *Server) takeRefusals(c *call, gate gatehouse.ClientID) *gatehouse.Error {
	list, err := feed.UnmarshalRefusals([]byte(c.form.get("refusals")))
	if err == nil {
		err = s.engine.RefusedElsewhere(gate, list)
	}
	if err != nil {
		return malformed("refusals can't be read: " + err.Error())
	}
	return nil
}

package webhook

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A message is what one act means to an app.
type message struct {
	Type      string            `json:"type"`
	Timestamp time.Time         `json:"timestamp"` // of the act
	Data      map[string]string `json:"data"`

	seq         int64
	client      gatehouse.ClientID
	environment gatehouse.Environment // "": all that the client has
}

// messageID is stable for an event, and no two events' are the same even after a
// backup was restored: it is of the chain's hash.
func messageID(e *gatehouse.Event) string { return "msg_" + hex.EncodeToString(e.Hash[:16]) }

// errNobody: an act that concerns no app, or one of which nobody knows whose
// tokens it was about any more.
var errNobody = errors.New("it concerns no app")

// meaning is what an act means to the app that it is about, or errNobody.
func (s *Sender) meaning(ctx context.Context, e *gatehouse.Event) (*message, error) {
	m := &message{Timestamp: e.At.UTC(), Data: map[string]string{}, seq: e.Seq}
	m.client, m.environment = gatehouse.ClientID(e.Detail["client_id"]), gatehouse.Environment(e.Detail["environment"])
	var err error
	switch e.Action {
	case "connection.create":
		m.Type, m.Data["connection_id"], m.Data["user"] = ConnectionLinked, e.Subject, e.Detail["user"]
	case "connection.delink":
		m.Type, m.Data["connection_id"] = ConnectionDelinked, e.Subject
		var c *gatehouse.Connection
		if c, err = s.connection(ctx, e.Subject); err == nil {
			m.Data["user"] = c.User
		}
	case "secret.retire", "secret.compromised":
		m.Type, m.client = SecretRetired, gatehouse.ClientID(e.Subject)
		m.Data["secret_id"] = e.Detail["secret_id"]
		m.Data["compromised"] = fmt.Sprint(e.Action == "secret.compromised")
		m.environment, err = s.environmentOf(m.client, m.Data["secret_id"])
	case "token.revoke":
		m.Type, m.Data["reason"] = TokenRevoked, "revoked"
		err = s.revoked(ctx, e, m)
	case "token.leaked":
		m.Type, m.Data["reason"], m.Data["token_id"] = TokenRevoked, "leaked", e.Subject
		err = s.ownerOf(ctx, e.Subject, m)
	case "grant.replayed":
		m.Type, m.Data["reason"], m.Data["grant_id"] = TokenRevoked, "replayed", e.Subject
		err = s.ownerOf(ctx, e.Detail["token_id"], m)
	default:
		return nil, errNobody
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// revoked says whose tokens an act named, and how.
func (s *Sender) revoked(ctx context.Context, e *gatehouse.Event, m *message) (err error) {
	switch e.Detail["by"] {
	case "":
		m.Data["token_id"] = e.Subject
		return s.ownerOf(ctx, e.Subject, m)
	case "grant":
		m.Data["grant_id"] = e.Subject
		c, err := s.connection(ctx, e.Subject)
		if errors.Is(err, errNobody) {
			return s.ownerOf(ctx, e.Subject, m) // a family has the id of its first token
		} else if err != nil {
			return err
		}
		m.Data["connection_id"], m.client, m.environment = e.Subject, c.Client, c.Environment
		return nil
	case "secret":
		m.Data["reason"], m.Data["secret_id"] = "secret_compromised", e.Subject
		m.environment, err = s.environmentOf(m.client, e.Subject)
		return err
	case "client":
		m.client, m.Data["all"] = gatehouse.ClientID(e.Subject), "true"
		for _, narrower := range []string{"name", "before"} {
			if v := e.Detail[narrower]; v != "" {
				m.Data[narrower] = v
			}
		}
		return nil
	}
	return errNobody
}

// ownerOf finds whose a token is.
func (s *Sender) ownerOf(ctx context.Context, id string, m *message) error {
	tokenID, err := token.ParseID(id)
	if err != nil {
		return errNobody
	}
	row, err := s.store.Token(ctx, tokenID)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return errNobody
	} else if err != nil {
		return err
	}
	m.client, m.environment = row.Client, row.Environment
	return nil
}

func (s *Sender) connection(ctx context.Context, id string) (*gatehouse.Connection, error) {
	connectionID, err := token.ParseID(id)
	if err != nil {
		return nil, errNobody
	}
	c, err := s.store.Connection(ctx, connectionID)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, errNobody
	}
	return c, err
}

// environmentOf finds the environment of a client's secret.
func (s *Sender) environmentOf(client gatehouse.ClientID, secretID string) (gatehouse.Environment, error) {
	c, ok := s.clients.Client(client)
	if !ok {
		return "", errNobody
	}
	i := slices.IndexFunc(c.Secrets, func(k gatehouse.ClientSecret) bool { return k.ID.String() == secretID })
	if i < 0 {
		return "", errNobody
	}
	return c.Secrets[i].Environment, nil
}

// body is the message as an endpoint gets it.
func (s *Sender) body(m *message, ep *endpoint) []byte {
	told := *m
	told.Data = map[string]string{"client_id": string(ep.Client), "environment": string(ep.Environment)}
	for k, v := range m.Data {
		told.Data[k] = v
	}
	if c, ok := s.clients.Client(ep.Client); ok {
		told.Data["client_id"] = s.wireID(c, ep.Environment)
	}
	return document("", "", "", 0, told).Value
}

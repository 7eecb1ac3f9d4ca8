package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

type connectionPath struct {
	ID string `path:"id" doc:"connection id"`
}

func (s *server) connectionRoutes(api huma.API) {
	tags := []string{"Connections"}
	route(s, api, huma.Operation{
		OperationID: "create-connection", Method: http.MethodPost, Path: "/connections", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Link a user whom you have authenticated to a client, with an access code to exchange",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Idempotent
		Body NewConnection
	}) (CreatedConnection, error) {
		c, err := s.client(in.Body.ClientID)
		if err != nil {
			return CreatedConnection{}, err
		}
		env, err := environment("environment", in.Body.Environment)
		if err != nil {
			return CreatedConnection{}, err
		}
		linked, err := s.engine.CreateConnection(ctx, by, c.ID, env, in.Body.User, in.key("create-connection"))
		if err != nil {
			return CreatedConnection{}, err
		}
		out := CreatedConnection{
			Connection: s.shownConnection(&linked.Connection), AccessCode: Credential{linked.AccessCode}, UserSecret: Credential{linked.UserSecret},
			CodeExpiresAt: linked.CodeExpiresAt.UTC(), Omitted: Omitted{linked.AccessCode.IsZero()},
		}
		if !out.SecretsOmitted {
			out.Message, err = s.connectMessage(linked)
		}
		return out, err
	})

	route(s, api, huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: "/connections", Tags: tags, Summary: "List connections, newest first",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Page
		ConnectionFilter
	}) (List[Connection], error) {
		client, env, err := s.selected(in.ClientID, in.Environment)
		if err != nil {
			return List[Connection]{}, err
		}
		position, limit, err := s.page("connections", in.Page)
		if err != nil {
			return List[Connection]{}, err
		}
		before, err := parseID("cursor", position)
		if err != nil {
			return List[Connection]{}, err
		}
		rows, err := s.engine.Connections(ctx, gatehouse.ConnectionQuery{Client: client, Environment: env, User: in.User, Before: before, Limit: limit + 1})
		if err != nil {
			return List[Connection]{}, err
		}
		return list(s, "connections", rows, limit,
			func(c *gatehouse.Connection) string { return c.ID.String() }, s.shownConnection), nil
	})

	route(s, api, huma.Operation{
		OperationID: "show-connection", Method: http.MethodGet, Path: "/connections/{id}", Tags: tags, Summary: "Show a connection",
	}, func(ctx context.Context, by gatehouse.Actor, in *connectionPath) (Connection, error) {
		id, err := parseID("id", in.ID)
		if err != nil {
			return Connection{}, err
		}
		c, err := s.engine.Connection(ctx, id)
		if err != nil {
			return Connection{}, err
		}
		return s.shownConnection(c), nil
	})

	route(s, api, huma.Operation{
		OperationID: "delink-connection", Method: http.MethodDelete, Path: "/connections/{id}", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "End a connection and the tokens obtained through it",
	}, func(ctx context.Context, by gatehouse.Actor, in *connectionPath) (Revoked, error) {
		id, err := parseID("id", in.ID)
		if err != nil {
			return Revoked{}, err
		}
		r, err := s.engine.Delink(ctx, by, id)
		return Revoked{r.Tokens}, err
	})
}

// connectMessage is what the client's dialect hands over when a user has
// signed in; nil where it says nothing of that.
func (s *server) connectMessage(l *gatehouse.LinkResult) (jsontext.Value, error) {
	d := s.dialect(l.Client.Dialect)
	if d == nil {
		return nil, nil
	}
	op := d.Operation(dialect.Connect)
	if op == nil {
		return nil, nil
	}
	v := dialect.NewValues(6)
	v.SetText(dialect.ClientID, string(l.ClientID))
	v.SetSecret(dialect.AccessCode, l.AccessCode)
	v.SetSecret(dialect.UserSecret, l.UserSecret)
	v.SetText(dialect.ConnectionID, l.Connection.ID.String())
	v.SetText(dialect.UserID, l.Connection.User)
	v.SetText(dialect.TokenID, l.Connection.Token.String())
	resp, err := op.WriteResponse(v)
	if err != nil {
		return nil, err
	}
	return jsontext.Value(resp.Body), nil
}

func (s *server) shownConnection(c *gatehouse.Connection) Connection {
	out := Connection{
		ConnectionID: c.ID.String(), ClientID: string(c.Client), Environment: string(c.Environment), User: c.User,
		CreatedAt: c.CreatedAt.UTC(), DelinkedAt: moment(c.DelinkedAt),
	}
	if client, ok := s.engine.Client(c.Client); ok {
		wire, _ := client.WireID(c.Environment)
		out.ClientID = s.wire(client.Dialect, wire)
	}
	return out
}

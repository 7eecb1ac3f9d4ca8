package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

func (s *server) tokenRoutes(api huma.API) {
	tags := []string{"Tokens"}
	route(s, api, huma.Operation{
		OperationID: "issue-token", Method: http.MethodPost, Path: "/tokens", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Issue a token on a client's behalf",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Idempotent
		Body IssueToken
	}) (IssuedToken, error) {
		c, err := s.client(in.Body.ClientID)
		if err != nil {
			return IssuedToken{}, err
		}
		env, err := environment("environment", in.Body.Environment)
		if err != nil {
			return IssuedToken{}, err
		}
		const longest = 100 * 365 * 24 * 60 * 60 // fits a time.Duration
		life := seconds(min(in.Body.Life, longest))
		issued, err := s.engine.IssueFor(ctx, by, c.ID, env, life, in.Body.Name, in.Body.Scopes, in.key("issue-token"))
		if err != nil {
			return IssuedToken{}, err
		}
		out := IssuedToken{
			Token: s.shownToken(&issued.Record), AccessToken: Credential{issued.Access}, RefreshToken: Credential{issued.Refresh},
			TokenType: "Bearer", Scope: strings.Join(issued.Record.Scopes, " "), Omitted: Omitted{issued.Access.IsZero()},
		}
		if issued.Life > 0 {
			life := int64(issued.Life / time.Second)
			out.ExpiresIn = &life
		}
		return out, nil
	})

	route(s, api, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Tags: tags, Summary: "List tokens, newest first",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Page
		TokenFilter
	}) (List[Token], error) {
		q, err := s.tokenQuery(in.TokenFilter)
		if err != nil {
			return List[Token]{}, err
		}
		before, limit, err := s.page("tokens", in.Page)
		if err != nil {
			return List[Token]{}, err
		}
		if q.Before, err = parseID("cursor", before); err != nil {
			return List[Token]{}, err
		}
		q.Limit = limit + 1
		rows, err := s.engine.Tokens(ctx, q)
		if err != nil {
			return List[Token]{}, err
		}
		return list(s, "tokens", rows, limit,
			func(r *gatehouse.TokenRecord) string { return r.ID.String() }, s.shownToken), nil
	})

	route(s, api, huma.Operation{
		OperationID: "inspect-token", Method: http.MethodPost, Path: "/tokens/inspect", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Say what a token is, and why it does or doesn't pass",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body InspectToken }) (Inspection, error) {
		if in.Body.Token.IsZero() {
			return Inspection{}, refuse("token", "give the token")
		}
		found, err := s.engine.Inspect(ctx, in.Body.Token.Text)
		if err != nil {
			e := *gatehouse.AsError(err)
			if e.Code == gatehouse.NotFound && e.Reason != "" {
				e.Message += " (" + strings.ReplaceAll(string(e.Reason), "_", " ") + ")"
			}
			return Inspection{}, &e
		}
		return s.inspection(found), nil
	})

	route(s, api, huma.Operation{
		OperationID: "revoke-tokens", Method: http.MethodPost, Path: "/tokens/revoke", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Revoke one token, a connection's, or those of a client",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body Selection }) (Revoked, error) {
		if !in.Body.Token.IsZero() {
			if err := onlyOne(in.Body); err != nil {
				return Revoked{}, err
			}
			r, err := s.engine.RevokeToken(ctx, by, in.Body.Token.Text)
			return Revoked{r.Tokens}, err
		}
		sel, err := s.selection(in.Body)
		if err != nil {
			return Revoked{}, err
		}
		r, err := s.engine.Revoke(ctx, by, sel)
		return Revoked{r.Tokens}, err
	})
}

func (s *server) tokenQuery(f TokenFilter) (q gatehouse.TokenQuery, err error) {
	q = gatehouse.TokenQuery{
		Name: f.Name, Status: gatehouse.TokenStatus(f.Status), Now: s.engine.Now(),
		Kinds: []gatehouse.TokenKind{gatehouse.AccessToken, gatehouse.RefreshToken},
	}
	if f.Kind != "" {
		q.Kinds = []gatehouse.TokenKind{gatehouse.TokenKind(f.Kind)}
	}
	if q.Client, q.Environment, err = s.selected(f.ClientID, f.Environment); err != nil {
		return q, err
	}
	q.Grant, err = parseID("connection_id", f.Connection)
	return q, err
}

// onlyOne refuses a selection that names its tokens in more or less than one
// way, or narrows what can't be narrowed: half of what was meant would happen.
func onlyOne(b Selection) error {
	ways := 0
	for _, given := range []bool{b.TokenID != "", !b.Token.IsZero(), b.ConnectionID != "", b.ClientID != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return refuse("token_id", "name exactly one of a token id, a token, a connection and a client")
	}
	if b.ClientID == "" && (b.Environment != "" || b.Name != "" || b.Before != nil) {
		return refuse("client_id", "environment, name and before narrow a client's tokens: name the client with them")
	}
	return nil
}

func (s *server) selection(b Selection) (sel gatehouse.Selection, err error) {
	if err := onlyOne(b); err != nil {
		return sel, err
	}
	if sel.Token, err = parseID("token_id", b.TokenID); err != nil {
		return sel, err
	}
	if sel.Grant, err = parseID("connection_id", b.ConnectionID); err != nil {
		return sel, err
	}
	if b.ClientID == "" {
		return sel, nil
	}
	if sel.Client, sel.Environment, err = s.selected(b.ClientID, b.Environment); err != nil {
		return sel, err
	}
	sel.Name = b.Name
	if b.Before != nil {
		sel.Before = *b.Before
	}
	return sel, nil
}

func (s *server) shownToken(r *gatehouse.TokenRecord) Token {
	return Token{
		TokenID: r.ID.String(), ClientID: s.wire(r.Dialect, s.engine.WireID(r)), Environment: string(r.Environment), Dialect: r.Dialect,
		Name: r.Name, IssuedAt: r.IssuedAt.UTC(), ExpiresAt: moment(r.ExpiresAt), RevokedAt: moment(r.RevokedAt),
		Status: string(s.engine.StatusOf(r)), Kind: string(r.Kind),
	}
}

func (s *server) inspection(found *gatehouse.Inspection) Inspection {
	r := found.Record
	out := Inspection{
		Token: s.shownToken(r), Valid: found.Reason == "", Reason: string(found.Reason), Scopes: r.Scopes, User: r.User,
	}
	if found.Client != nil {
		out.Client = found.Client.Name
	}
	if !r.Grant.IsZero() {
		out.GrantID = r.Grant.String()
	}
	return out
}

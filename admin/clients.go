package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// ClientPath names a client in a path.
type ClientPath struct {
	ID string `path:"id" doc:"client id"`
}

func (s *server) clientRoutes(api huma.API) {
	tags := []string{"Clients"}
	route(s, api, huma.Operation{
		OperationID: "create-client", Method: http.MethodPost, Path: "/clients", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Create a client and a secret for each of its environments",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Idempotent
		Body NewClient
	}) (CreatedClient, error) {
		n, err := s.newClient(in.Body)
		if err != nil {
			return CreatedClient{}, err
		}
		created, err := s.engine.CreateClient(ctx, by, n, in.key("create-client"))
		if err != nil {
			return CreatedClient{}, err
		}
		return s.createdClient(created, n), nil
	})

	route(s, api, huma.Operation{
		OperationID: "list-clients", Method: http.MethodGet, Path: "/clients", Tags: tags, Summary: "List clients",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Page }) (List[Client], error) {
		after, limit, err := s.page("clients", in.Page)
		if err != nil {
			return List[Client]{}, err
		}
		rows := s.engine.Clients(gatehouse.ClientID(after), limit+1)
		return list(s, "clients", rows, limit,
			func(c **gatehouse.Client) string { return string((*c).ID) },
			func(c **gatehouse.Client) Client { return s.shownClient(*c) }), nil
	})

	route(s, api, huma.Operation{
		OperationID: "show-client", Method: http.MethodGet, Path: "/clients/{id}", Tags: tags, Summary: "Show a client",
	}, func(ctx context.Context, by gatehouse.Actor, in *ClientPath) (Client, error) {
		c, err := s.client(in.ID)
		if err != nil {
			return Client{}, err
		}
		return s.shownClient(c), nil
	})

	route(s, api, huma.Operation{
		OperationID: "update-client", Method: http.MethodPatch, Path: "/clients/{id}", Tags: tags, Summary: "Change what the body names of a client",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		ClientPath
		Body ClientChange
	}) (Client, error) {
		c, err := s.client(in.ID)
		if err != nil {
			return Client{}, err
		}
		u := gatehouse.ClientUpdate{
			Name: in.Body.Name, Domain: in.Body.Domain, Scopes: in.Body.Scopes, Fields: in.Body.Fields, Refresh: in.Body.Refresh,
		}
		if in.Body.MaxTTL != nil {
			ttl := seconds(*in.Body.MaxTTL)
			u.MaxTTL = &ttl
		}
		if in.Body.LimitRate != nil {
			rate, err := ParseRate(*in.Body.LimitRate)
			if err != nil {
				return Client{}, err
			}
			u.Limit = &rate
		}
		if u.RedirectURIs, u.Origins, err = in.Body.registered(); err != nil {
			return Client{}, err
		}
		c, err = s.engine.UpdateClient(ctx, by, c.ID, u)
		if err != nil {
			return Client{}, err
		}
		return s.shownClient(c), nil
	})

	route(s, api, huma.Operation{
		OperationID: "set-client-logo", Method: http.MethodPut, Path: "/clients/{id}/logo", Tags: tags, Summary: "Set the logo that end users see",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		ClientPath
		Body ClientLogo
	}) (Client, error) {
		c, err := s.client(in.ID)
		if err != nil {
			return Client{}, err
		}
		return s.shownClient(c), s.engine.SetLogo(ctx, by, c.ID, in.Body.Logo)
	})

	route(s, api, huma.Operation{
		OperationID: "remove-client-logo", Method: http.MethodDelete, Path: "/clients/{id}/logo", Tags: tags, DefaultStatus: http.StatusOK,
		Summary: "Remove the logo that end users see",
	}, func(ctx context.Context, by gatehouse.Actor, in *ClientPath) (Client, error) {
		c, err := s.client(in.ID)
		if err != nil {
			return Client{}, err
		}
		return s.shownClient(c), s.engine.SetLogo(ctx, by, c.ID, nil)
	})

	for _, change := range []struct {
		id, method, path, summary string
		state                     gatehouse.ClientState
	}{
		{"enable-client", http.MethodPost, "/clients/{id}/enable", "Let a disabled client obtain and use tokens again", gatehouse.Enabled},
		{"disable-client", http.MethodPost, "/clients/{id}/disable", "Stop a client and everything it holds until it is enabled again", gatehouse.Disabled},
		{"delete-client", http.MethodDelete, "/clients/{id}", "Stop a client for good; its ids are never used again", gatehouse.Deleted},
	} {
		op := huma.Operation{OperationID: change.id, Method: change.method, Path: change.path, Tags: tags, Summary: change.summary, DefaultStatus: http.StatusOK}
		route(s, api, op, func(ctx context.Context, by gatehouse.Actor, in *ClientPath) (ClientStateChanged, error) {
			c, err := s.client(in.ID)
			if err != nil {
				return ClientStateChanged{}, err
			}
			stopped := 0
			if change.state == gatehouse.Deleted {
				if stopped, err = s.revokeAll(ctx, by, c); err != nil {
					return ClientStateChanged{}, err
				}
			}
			if c, err = s.engine.SetClientState(ctx, by, c.ID, change.state); err != nil {
				return ClientStateChanged{}, err
			}
			if change.state == gatehouse.Disabled {
				if stopped, err = s.liveTokens(ctx, c.ID); err != nil {
					return ClientStateChanged{}, err
				}
			}
			return ClientStateChanged{Client: s.shownClient(c), Stopped: stopped}, nil
		})
	}
}

// revokeAll ends all tokens of a client, which goes for good, and counts them.
func (s *server) revokeAll(ctx context.Context, by gatehouse.Actor, c *gatehouse.Client) (n int, err error) {
	for _, env := range c.EnvironmentsOf() {
		ended, err := s.engine.Revoke(ctx, by, gatehouse.Selection{Client: c.ID, Environment: env})
		if err != nil {
			return n, err
		}
		n += ended.Tokens
	}
	return n, nil
}

// mostCounted bounds how long counting takes.
const mostCounted = 10_000

// liveTokens counts the tokens that a client holds, up to mostCounted.
func (s *server) liveTokens(ctx context.Context, id gatehouse.ClientID) (n int, err error) {
	const step = 1000
	for _, env := range gatehouse.Environments {
		q := gatehouse.TokenQuery{Client: id, Environment: env, Status: gatehouse.StatusActive, Now: s.engine.Now(), Limit: step}
		for more := true; more && n < mostCounted; {
			rows, err := s.engine.Tokens(ctx, q)
			if err != nil {
				return 0, err
			}
			n += len(rows)
			if more = len(rows) == step; more {
				q.Before = rows[step-1].ID
			}
		}
	}
	return n, nil
}

func (s *server) newClient(b NewClient) (n gatehouse.NewClient, err error) {
	n = gatehouse.NewClient{
		Name: b.Name, Dialect: b.Dialect, Scopes: b.Scopes, Domain: b.Domain, MaxTTL: seconds(b.MaxTTL),
		Fields: b.Fields, Refresh: b.Refresh, Environments: s.environments,
	}
	if n.Limit, err = ParseRate(b.LimitRate); err != nil {
		return n, err
	}
	if n.RedirectURIs, n.Origins, err = b.registered(); err != nil {
		return n, err
	}
	if len(b.Environments) > 0 {
		n.Environments = nil
		for _, name := range b.Environments {
			env, err := environment("environments", name)
			if err != nil {
				return n, err
			}
			if !slices.Contains(s.environments, env) {
				return n, refuse("environments", "this server has no %s environment: its settings name %v", env, s.environments)
			}
			if !slices.Contains(n.Environments, env) {
				n.Environments = append(n.Environments, env)
			}
		}
	}
	for name, id := range b.ClientIDs {
		env, err := environment("client_ids", name)
		if err != nil {
			return n, err
		}
		if d := s.dialect(b.Dialect); d != nil {
			if decoded, ok := d.FromWire(dialect.ClientID, id); ok {
				id = decoded
			}
		}
		if n.IDs == nil {
			n.IDs = map[gatehouse.Environment]gatehouse.ClientID{}
		}
		n.IDs[env] = gatehouse.ClientID(id)
	}
	for _, h := range b.SecretHashes {
		env, err := environment("secret_hashes", h.Environment)
		if err != nil {
			return n, err
		}
		n.Imported = append(n.Imported, gatehouse.ImportedSecret{Environment: env, Hash: h.Hash.Text})
	}
	return n, nil
}

func (s *server) createdClient(created *gatehouse.CreatedClient, n gatehouse.NewClient) CreatedClient {
	c := created.Client
	out := CreatedClient{ClientID: s.wire(c.Dialect, c.ID), Name: c.Name, Dialect: c.Dialect, Secrets: []NewSecret{}}
	imported := map[gatehouse.Environment]bool{}
	for _, h := range n.Imported {
		imported[h.Environment] = true
	}
	for _, sec := range created.Secrets {
		out.Secrets = append(out.Secrets, s.newSecret(c, sec))
		out.SecretsOmitted = out.SecretsOmitted || sec.Secret.IsZero() && !imported[sec.Environment]
	}
	return out
}

func (s *server) newSecret(c *gatehouse.Client, sec gatehouse.NewSecret) NewSecret {
	return NewSecret{
		Environment: string(sec.Environment), ClientID: s.wire(c.Dialect, sec.ClientID),
		SecretID: sec.ID.String(), ClientSecret: Credential{sec.Secret},
	}
}

func (s *server) shownClient(c *gatehouse.Client) Client {
	out := Client{
		ClientID: s.wire(c.Dialect, c.ID), Name: c.Name, Dialect: c.Dialect, ClientIDs: map[string]string{}, State: string(c.State),
		Scopes: c.Scopes, Domain: c.Domain, Fields: c.Fields, MaxTTL: int64(c.MaxTTL / time.Second), Refresh: c.Refresh,
		LimitRate: formatRate(c.Limit), CreatedAt: c.CreatedAt.UTC(), LiveSecrets: map[string]int{},
		EndUsers: EndUsers{named(c.RedirectURIs), named(c.Origins)},
	}
	for env, id := range c.IDs {
		out.ClientIDs[string(env)] = s.wire(c.Dialect, id)
		out.LiveSecrets[string(env)] = len(c.LiveSecrets(env))
	}
	return out
}

// registered is what a request names, by environment.
func (u EndUsers) registered() (redirects, origins map[gatehouse.Environment][]string, err error) {
	if redirects, err = byEnvironment("redirect_uris", u.RedirectURIs); err != nil {
		return nil, nil, err
	}
	origins, err = byEnvironment("origins", u.Origins)
	return redirects, origins, err
}

func byEnvironment(field string, given map[string][]string) (map[gatehouse.Environment][]string, error) {
	var out map[gatehouse.Environment][]string
	for name, list := range given {
		env, err := environment(field, name)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[gatehouse.Environment][]string{}
		}
		out[env] = list
	}
	return out, nil
}

// named is the other way round.
func named(all map[gatehouse.Environment][]string) map[string][]string {
	var out map[string][]string
	for env, list := range all {
		if out == nil {
			out = map[string][]string{}
		}
		out[string(env)] = list
	}
	return out
}

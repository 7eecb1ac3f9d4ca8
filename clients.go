package gatehouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A NewClient is what a client is created from.
type NewClient struct {
	Name         string
	Dialect      string        // a loaded dialect, or OAuth2
	Environments []Environment // nil is all
	Scopes       []string
	Domain       string
	MaxTTL       time.Duration
	Fields       map[string]string
	Refresh      bool
	Limit        Rate
	RedirectURIs map[Environment][]string
	Origins      map[Environment][]string
	IDs          map[Environment]ClientID // ids to keep, for a client that moves in
	Imported     []ImportedSecret         // where an environment has one, no secret is made for it
}

// An ImportedSecret is a hash of a secret that the client has already: see
// credential.ParseHash for its forms.
type ImportedSecret struct {
	Environment Environment
	Hash        secret.Text
}

// A NewSecret shows a client secret, the only time. Secret is zero for an
// imported one, and in an answer repeated late.
type NewSecret struct {
	ID          SecretID
	Environment Environment
	ClientID    ClientID // as on the wire in this environment
	Secret      secret.Text
}

// A CreatedClient is a new client and its secrets.
type CreatedClient struct {
	Client  *Client
	Secrets []NewSecret
}

// A ClientUpdate changes what is not nil.
type ClientUpdate struct {
	Name    *string
	Domain  *string
	Scopes  *[]string
	MaxTTL  *time.Duration
	Fields  map[string]*string // a nil value removes the field
	Refresh *bool
	Limit   *Rate
	// Of these the environments that are named are replaced.
	RedirectURIs map[Environment][]string
	Origins      map[Environment][]string
}

// CreateClient makes a client with one secret in each of its environments.
func (e *Engine) CreateClient(ctx context.Context, by Actor, n NewClient, key *IdempotencyKey) (*CreatedClient, error) {
	return once(e, ctx, by, key, clientAnswer{e}, func(replay *replayOf[*CreatedClient]) (*CreatedClient, error) {
		return e.createClient(ctx, by, n, replay)
	})
}

func (e *Engine) createClient(ctx context.Context, by Actor, n NewClient, replay *replayOf[*CreatedClient]) (*CreatedClient, error) {
	policy, ok := (*e.policies.Load())[n.Dialect]
	if !ok {
		return nil, wrongField("dialect", fmt.Sprintf("no dialect is called %q: use one of %s", n.Dialect, strings.Join(slices.Sorted(maps.Keys(*e.policies.Load())), ", ")))
	}
	environments, err := chosenEnvironments(n.Environments)
	if err != nil {
		return nil, err
	}
	c := newClient(n, e.clock.now())
	if err := checkClient(c, policy); err != nil {
		return nil, err
	}
	if c.IDs, err = clientIDs(c, policy, environments, n.IDs); err != nil {
		return nil, err
	}
	if err := checkRedirects(c, policy); err != nil {
		return nil, err
	}
	c.ID = c.IDs[environments[len(environments)-1]] // live's, where it has one
	created := &CreatedClient{Client: c}
	for _, env := range environments {
		shown, err := e.firstSecret(c, env, n.Imported)
		if err != nil {
			return nil, err
		}
		created.Secrets = append(created.Secrets, *shown)
	}
	act := e.act(by, "client.create", string(c.ID), "name", c.Name, "dialect", c.Dialect)
	if act.Replay, err = replay.seal(created); err != nil {
		return nil, err
	}
	if err := e.store.SaveClient(ctx, act, c); errors.Is(err, ErrExists) {
		return nil, &Error{Code: Conflict, Reason: ReasonExists, Field: idField(policy), Message: fmt.Sprintf("a client has or had the id %s: ids are never used again", c.ID), Err: err}
	} else if err != nil {
		return nil, fmt.Errorf("saving a client: %w", err)
	}
	e.settle(ctx)
	return created, nil
}

// newClient is the client that n asks for, without ids and secrets.
func newClient(n NewClient, now time.Time) *Client {
	return &Client{
		Name: n.Name, Dialect: n.Dialect, Scopes: n.Scopes, Domain: strings.ToLower(n.Domain), MaxTTL: n.MaxTTL, Fields: n.Fields,
		Refresh: n.Refresh, Limit: n.Limit, State: Enabled, CreatedAt: now.Truncate(time.Millisecond),
		RevokedBefore: map[Environment]time.Time{}, RedirectURIs: n.RedirectURIs, Origins: n.Origins,
	}
}

func idField(p *Policy) string {
	if p.IDForm == IDDomain {
		return "domain"
	}
	return "id"
}

// UpdateClient changes what u names. Tokens handed out before keep what they
// were given, within what the client has now where it is asked again.
func (e *Engine) UpdateClient(ctx context.Context, by Actor, id ClientID, u ClientUpdate) (*Client, error) {
	act := e.act(by, "client.update", string(id))
	return e.changeClient(ctx, act, id, func(c *Client) error {
		set(&c.Name, u.Name)
		set(&c.Scopes, u.Scopes)
		set(&c.MaxTTL, u.MaxTTL)
		set(&c.Refresh, u.Refresh)
		set(&c.Limit, u.Limit)
		policy := (*e.policies.Load())[c.Dialect]
		if u.Domain != nil {
			if policy.IDForm == IDDomain && *u.Domain != c.Domain {
				return wrongField("domain", fmt.Sprintf("clients of %s are known by their domain name, which can't change: create another client", c.Dialect))
			}
			c.Domain = strings.ToLower(*u.Domain)
		}
		c.Fields = maps.Clone(c.Fields)
		for name, value := range u.Fields {
			if value == nil {
				delete(c.Fields, name)
				continue
			}
			if c.Fields == nil {
				c.Fields = map[string]string{}
			}
			c.Fields[name] = *value
		}
		c.RedirectURIs = replaced(c.RedirectURIs, u.RedirectURIs)
		c.Origins = replaced(c.Origins, u.Origins)
		return cmp.Or(checkClient(c, policy), checkRedirects(c, policy))
	})
}

// replaced is was with the environments that by names as they are there.
func replaced(was, by map[Environment][]string) map[Environment][]string {
	out := maps.Clone(was)
	for env, list := range by {
		if out == nil {
			out = map[Environment][]string{}
		}
		out[env] = list
		if len(list) == 0 {
			delete(out, env)
		}
	}
	return out
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// SetClientState disables, enables or deletes a client. While it is not enabled
// it obtains nothing, and no token of its passes. Deleting is final.
func (e *Engine) SetClientState(ctx context.Context, by Actor, id ClientID, s ClientState) (*Client, error) {
	action := map[ClientState]string{Enabled: "client.enable", Disabled: "client.disable", Deleted: "client.delete"}[s]
	return e.changeClient(ctx, e.act(by, action, string(id)), id, func(c *Client) error {
		c.State = s
		return nil
	})
}

// changeClient saves a changed copy of the newest version of a client.
func (e *Engine) changeClient(ctx context.Context, act Act, id ClientID, change func(*Client) error) (*Client, error) {
	const tries = 5
	for try := 1; ; try++ {
		known, err := e.named(id)
		if err != nil {
			return nil, err
		}
		newest, err := e.store.Client(ctx, known.ID)
		if err != nil {
			return nil, fmt.Errorf("reading client %s: %w", id, err)
		}
		if newest.State == Deleted {
			return nil, noClient(id)
		}
		c := *newest
		if err := change(&c); err != nil {
			return nil, err
		}
		act.Subject = string(c.ID)
		err = e.store.SaveClient(ctx, act, &c)
		if err == nil {
			e.settle(ctx)
			return e.named(c.ID)
		}
		if !errors.Is(err, ErrConflict) || try == tries {
			return nil, fmt.Errorf("saving client %s: %w", id, err)
		}
	}
}

// Client returns a client by its whole id or an id that it has in one
// environment. Deleted clients are not found.
func (e *Engine) Client(id ClientID) (*Client, bool) {
	c := e.state.client(id)
	if c == nil || c.State == Deleted {
		return nil, false
	}
	return c, true
}

// Clients lists up to limit clients whose whole id is greater than after.
func (e *Engine) Clients(after ClientID, limit int) []*Client {
	var out []*Client
	for _, c := range e.state.all() {
		if c.State != Deleted && c.ID > after && len(out) < limit {
			out = append(out, c)
		}
	}
	return out
}

// named is Client with the refusal for one that isn't there. A deleted client
// is found, since its tokens are still listed.
func (e *Engine) named(id ClientID) (*Client, error) {
	if c := e.state.client(id); c != nil {
		return c, nil
	}
	return nil, noClient(id)
}

func noClient(id ClientID) error {
	return &Error{Code: NotFound, Reason: ReasonUnknownClient, Field: "client_id", Message: fmt.Sprintf("there is no client %q: see `gatehouse client list`", id)}
}

// enabledIn returns a client that may be given something in env.
func (e *Engine) enabledIn(id ClientID, env Environment) (*Client, error) {
	c, ok := e.Client(id)
	if !ok {
		return nil, noClient(id)
	}
	if c.State != Enabled {
		return nil, &Error{Code: Conflict, Reason: ReasonClientDisabled, Client: c.ID, Message: fmt.Sprintf("client %s is disabled: enable it first", c.ID)}
	}
	if _, ok := c.WireID(env); !ok {
		return nil, wrongField("environment", fmt.Sprintf("client %s has no environment %q", c.ID, env))
	}
	return c, nil
}

func wrongField(field, message string) error {
	return &Error{Code: InvalidRequest, Reason: ReasonMalformed, Field: field, Message: message}
}

// act begins the audit record of a change; details are names and values in turn.
func (e *Engine) act(by Actor, action, subject string, details ...string) Act {
	a := Act{At: e.clock.now().Truncate(time.Millisecond), By: by, Action: action, Subject: subject}
	for i := 0; i+1 < len(details); i += 2 {
		if a.Detail == nil {
			a.Detail = map[string]string{}
		}
		a.Detail[details[i]] = details[i+1]
	}
	return a
}

// clientAnswer replays the creation of a client.
type clientAnswer struct{ e *Engine }

func (clientAnswer) take(c *CreatedClient) answer {
	a := answer{Client: c.Client.ID}
	for _, s := range c.Secrets {
		a.Secrets = append(a.Secrets, answerSecret{ID: s.ID, Environment: s.Environment, ClientID: s.ClientID, Text: s.Secret.Reveal()})
	}
	return a
}

func (f clientAnswer) restore(_ context.Context, a answer) (*CreatedClient, error) {
	c, err := f.e.named(a.Client)
	if err != nil {
		return nil, err
	}
	out := &CreatedClient{Client: c}
	for _, s := range a.Secrets {
		out.Secrets = append(out.Secrets, newSecretOf(s))
	}
	return out, nil
}

func newSecretOf(s answerSecret) NewSecret {
	return NewSecret{ID: s.ID, Environment: s.Environment, ClientID: s.ClientID, Secret: secret.New(s.Text)}
}

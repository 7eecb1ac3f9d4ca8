package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// liveSecrets is how many secrets a client may have in one environment: the old
// one and the one that replaces it.
const liveSecrets = 2

// restBeforeRetiring is how long a secret must have been unused before its
// retirement is called safe.
const restBeforeRetiring = 24 * time.Hour

// A SecretStatus is what is shown of a secret.
type SecretStatus struct {
	Secret       ClientSecret
	ClientID     ClientID // as on the wire in the secret's environment
	Use          SecretUse
	SafeToRetire bool
	Advice       string
}

// A RetiredSecret is a retired secret and the number of tokens that its
// retirement ended.
type RetiredSecret struct {
	Secret ClientSecret
	Client *Client
	Ended  int
}

// makeSecret makes a secret for c, or takes over an imported hash.
func (e *Engine) makeSecret(c *Client, env Environment, imported secret.Text) (ClientSecret, secret.Text, error) {
	now := e.clock.now().Truncate(time.Millisecond)
	s := ClientSecret{ID: token.NewID(now), Environment: env, CreatedAt: now}
	if imported.IsZero() {
		shown := token.NewSecret(token.Prefix(string(env), token.ClientSecret))
		digest := e.digester.Digest(digestSecret, shown)
		s.Digest = digest[:]
		return s, shown, nil
	}
	hash, err := credential.ParseHash(imported.Reveal())
	if err != nil {
		return s, secret.Text{}, wrongField("secret_hash", err.Error())
	}
	if digest, ok := hash.Wrap(e.digester, digestSecret); ok {
		s.Digest, s.FastHash = digest[:], "sha256"
		for _, other := range c.Secrets {
			if other.Environment != env && other.FastHash == s.FastHash && equalDigest(other.Digest, digest) {
				return s, secret.Text{}, wrongField("secret_hash", "this secret serves the other environment: one value can't serve both")
			}
		}
		return s, secret.Text{}, nil
	}
	s.Imported, err = e.sealer.Seal(sealedImport+" "+s.ID.String(), []byte(hash.Encoded().Reveal()))
	return s, secret.Text{}, err
}

// firstSecret adds to c the secret that it is created with.
func (e *Engine) firstSecret(c *Client, env Environment, imported []ImportedSecret) (*NewSecret, error) {
	var hash secret.Text
	for _, i := range imported {
		if _, ok := c.IDs[i.Environment]; !ok {
			return nil, wrongField("secret_hash", fmt.Sprintf("the client has no environment %q", i.Environment))
		}
		if i.Environment != env {
			continue
		}
		if !hash.IsZero() {
			return nil, wrongField("secret_hash", fmt.Sprintf("two hashes for %s: add the second one with `gatehouse secret add`", env))
		}
		hash = i.Hash
	}
	s, shown, err := e.makeSecret(c, env, hash)
	if err != nil {
		return nil, err
	}
	c.Secrets = append(slices.Clone(c.Secrets), s)
	return &NewSecret{ID: s.ID, Environment: env, ClientID: c.IDs[env], Secret: shown}, nil
}

// AddSecret gives a client a second secret in an environment, so that the first
// can be retired once nobody uses it. imported is a hash to take over, or zero.
func (e *Engine) AddSecret(ctx context.Context, by Actor, id ClientID, env Environment, imported secret.Text, key *IdempotencyKey) (*NewSecret, error) {
	return once(e, ctx, by, key, secretAnswer{}, func(replay *replayOf[*NewSecret]) (*NewSecret, error) {
		client, ok := e.Client(id)
		if !ok {
			return nil, noClient(id)
		}
		if _, ok := client.WireID(env); !ok {
			return nil, wrongField("environment", fmt.Sprintf("client %s has no environment %q", client.ID, env))
		}
		s, shown, err := e.makeSecret(client, env, imported)
		if err != nil {
			return nil, err
		}
		out := &NewSecret{ID: s.ID, Environment: env, ClientID: client.IDs[env], Secret: shown}
		act := e.act(by, "secret.add", "", "secret_id", s.ID.String(), "environment", string(env))
		if act.Replay, err = replay.seal(out); err != nil {
			return nil, err
		}
		_, err = e.changeClient(ctx, act, id, func(c *Client) error {
			if len(c.LiveSecrets(env)) >= liveSecrets {
				return &Error{Code: Conflict, Reason: ReasonExists, Client: c.ID, Message: fmt.Sprintf("client %s has %d live secrets in %s: retire one first (see `gatehouse secret list --client %s`)", c.ID, liveSecrets, env, c.ID)}
			}
			c.Secrets = append(slices.Clone(c.Secrets), s)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return out, nil
	})
}

// RetireSecret ends the use of a secret. What it obtained stays, unless it is
// compromised: then its tokens, and those refreshed from them, end too.
func (e *Engine) RetireSecret(ctx context.Context, by Actor, id SecretID, compromised bool) (*RetiredSecret, error) {
	owner := e.ownerOf(id)
	if owner == nil {
		return nil, &Error{Code: NotFound, Reason: ReasonMalformed, Field: "secret_id", Message: fmt.Sprintf("there is no client secret %s: see `gatehouse secret list --client ID`", id)}
	}
	action := "secret.retire"
	if compromised {
		action = "secret.compromised"
	}
	out := &RetiredSecret{}
	var err error
	out.Client, err = e.changeClient(ctx, e.act(by, action, "", "secret_id", id.String()), owner.ID, func(c *Client) error {
		c.Secrets = slices.Clone(c.Secrets)
		s := &c.Secrets[slices.IndexFunc(c.Secrets, func(s ClientSecret) bool { return s.ID == id })]
		if !s.Live() && !compromised {
			return &Error{Code: Conflict, Reason: ReasonExists, Message: fmt.Sprintf("secret %s was retired at %s", id, s.RetiredAt.Format(time.RFC3339))}
		}
		if s.Live() {
			s.RetiredAt = e.clock.now().Truncate(time.Millisecond)
		}
		s.Compromised = s.Compromised || compromised
		out.Secret = *s
		return nil
	})
	if err != nil || !compromised {
		return out, err
	}
	ended, err := e.store.Revoke(ctx, e.act(by, "token.revoke", id.String(), "by", "secret", "client_id", string(owner.ID)), Selection{Secret: id})
	if err != nil {
		return nil, fmt.Errorf("the secret is retired, but what it obtained could not be ended (repeat the command): %w", err)
	}
	e.settle(ctx)
	out.Ended = ended.Tokens
	return out, nil
}

func (e *Engine) ownerOf(id SecretID) *Client {
	for _, c := range e.state.all() {
		if c.State != Deleted && slices.ContainsFunc(c.Secrets, func(s ClientSecret) bool { return s.ID == id }) {
			return c
		}
	}
	return nil
}

// Secrets lists a client's secrets, newest first, with their use and whether
// retiring one would be noticed.
func (e *Engine) Secrets(ctx context.Context, id ClientID) ([]SecretStatus, error) {
	c, ok := e.Client(id)
	if !ok {
		return nil, noClient(id)
	}
	if err := e.flushUses(ctx); err != nil {
		return nil, fmt.Errorf("counting uses: %w", err)
	}
	uses, err := e.store.SecretUses(ctx, c.ID)
	if err != nil {
		return nil, fmt.Errorf("reading uses: %w", err)
	}
	var out []SecretStatus
	for _, s := range slices.Backward(c.Secrets) {
		status := SecretStatus{Secret: s, ClientID: c.IDs[s.Environment]}
		if i := slices.IndexFunc(uses, func(u SecretUse) bool { return u.Secret == s.ID }); i >= 0 {
			status.Use = uses[i]
		}
		status.SafeToRetire, status.Advice = advise(c, &status, e.clock.now())
		out = append(out, status)
	}
	return out, nil
}

// advise says whether a secret can be retired without breaking its users.
func advise(c *Client, s *SecretStatus, now time.Time) (safe bool, advice string) {
	rest := now.Sub(s.Use.At)
	switch {
	case !s.Secret.Live():
		return false, "retired"
	case len(c.LiveSecrets(s.Secret.Environment)) < liveSecrets:
		return false, "the only live secret of this environment: add another one before retiring it"
	case s.Use.Count == 0 && now.Sub(s.Secret.CreatedAt) < restBeforeRetiring:
		return false, "new and not used yet"
	case s.Use.Count == 0:
		return true, "never used"
	case rest < restBeforeRetiring:
		return false, fmt.Sprintf("in use: last %s ago", rest.Round(time.Second))
	default:
		return true, fmt.Sprintf("not used for %s", rest.Round(time.Hour))
	}
}

// secretAnswer replays the making of a secret.
type secretAnswer struct{}

func (secretAnswer) take(s *NewSecret) answer {
	return answer{Secrets: []answerSecret{{ID: s.ID, Environment: s.Environment, ClientID: s.ClientID, Text: s.Secret.Reveal()}}}
}

func (secretAnswer) restore(_ context.Context, a answer) (*NewSecret, error) {
	if len(a.Secrets) != 1 {
		return nil, errors.New("an answer to replay is damaged")
	}
	s := newSecretOf(a.Secrets[0])
	return &s, nil
}

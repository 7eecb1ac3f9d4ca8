package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A ClientProof is how a client says who it is. The secret tells the
// environment too: one value never serves both.
type ClientProof struct {
	Dialect  string
	ClientID ClientID
	Secret   secret.Text
}

// A Principal is a client that has been proven, in one environment.
type Principal struct {
	Client      *Client
	Environment Environment
	Secret      SecretID
}

// ProveClient returns who p is. Unknown client, wrong or retired secret,
// disabled or deleted client and a client of another dialect are one answer to
// the caller: InvalidClient, after the same work. by.ID is not read.
func (e *Engine) ProveClient(ctx context.Context, by Actor, p ClientProof) (*Principal, error) {
	if p.Secret.IsZero() {
		return nil, Refuse(InvalidClient, ReasonMalformed, "")
	}
	client := e.state.client(p.ClientID)
	if client == nil {
		client = e.secrets.nobody
	}
	s, err := e.secrets.check(ctx, client, p, by.Addr)
	if err != nil {
		return nil, err
	}
	reason := Reason("")
	switch {
	case !s.Live():
		reason = ReasonRetiredSecret
	case client.State == Disabled:
		reason = ReasonClientDisabled
	case client.State == Deleted:
		reason = ReasonClientDeleted
	case client.Dialect != p.Dialect:
		reason = ReasonOtherDialect
	case client.IDs[s.Environment] != p.ClientID:
		reason = ReasonWrongEnvironment
	}
	if reason != "" {
		refusal := &Error{Code: InvalidClient, Reason: reason, Client: p.ClientID}
		if reason == ReasonRetiredSecret {
			refusal.Err = retiredSecret{s.ID, s.Environment}
		}
		return nil, refusal
	}
	e.uses.add(s.ID, by.Addr, e.clock.now())
	return &Principal{Client: client, Environment: s.Environment, Secret: s.ID}, nil
}

// retiredSecret tells the owner which one it was. It is put into words only
// where it is read, so that this refusal takes no longer than the others.
type retiredSecret struct {
	id  SecretID
	env Environment
}

func (r retiredSecret) Error() string { return "secret " + r.id.String() + " of " + string(r.env) }

// A secretChecker finds the secret of a client that a caller has shown.
type secretChecker struct {
	digester *credential.Digester
	sealer   *credential.Sealer
	slow     *credential.Checker
	tries    *wrongSecrets
	nobody   *Client // stands in for unknown clients, so that they cost the same work

	mu         sync.RWMutex
	remembered map[SecretID]credential.Digest // of imported slow hashes that were met once
}

func newSecretChecker(d *credential.Digester, s *credential.Sealer, slow int, tries *wrongSecrets) *secretChecker {
	nobody := &Client{State: Enabled}
	for _, env := range Environments {
		never := d.Digest(digestSecret, token.NewSecret(""))
		nobody.Secrets = append(nobody.Secrets, ClientSecret{Environment: env, Digest: never[:]})
	}
	return &secretChecker{
		digester: d, sealer: s, slow: credential.NewChecker(slow), tries: tries, nobody: nobody,
		remembered: map[SecretID]credential.Digest{},
	}
}

// check returns the secret of client that p shows, live or retired.
//
// Secrets of our making can't be guessed, so a right one passes however many
// wrong ones came from the same address. An imported one may be weak: while
// its pair of client and address is slowed down it is not even looked at.
func (c *secretChecker) check(ctx context.Context, client *Client, p ClientProof, from addr) (*ClientSecret, error) {
	digest := c.digester.Digest(digestSecret, p.Secret)
	var match *ClientSecret
	weak, slow := false, false
	for i := range client.Secrets {
		s := &client.Secrets[i]
		if s.Imported == nil && s.FastHash == "" {
			if equalDigest(s.Digest, digest) && (match == nil || s.Live()) {
				match = s
			}
			continue
		}
		weak = true
		slow = slow || s.Imported != nil
	}
	if match == nil && weak {
		if err := c.tries.wait(ctx, p.ClientID, from); err != nil {
			return nil, err
		}
		var err error
		if match, err = c.checkImported(ctx, client, p.Secret, digest); err != nil {
			return nil, err
		}
	}
	if match == nil {
		why := ReasonWrongSecret
		if client == c.nobody {
			why = ReasonUnknownClient
		}
		return nil, c.tries.wrong(ctx, p.ClientID, from, why)
	}
	c.tries.right(ctx, p.ClientID, from)
	return match, nil
}

// checkImported tries secrets that came from elsewhere: fast hashes by their
// wrapped digest, slow ones once slowly and from then on by the digest that was
// taken when they matched.
func (c *secretChecker) checkImported(ctx context.Context, client *Client, given secret.Text, digest credential.Digest) (*ClientSecret, error) {
	var match *ClientSecret
	for i := range client.Secrets {
		s := &client.Secrets[i]
		ok := false
		switch {
		case s.FastHash != "":
			ok = equalDigest(s.Digest, c.digester.DigestOfSHA256(digestSecret, given))
		case s.Imported != nil:
			var err error
			if ok, err = c.checkSlow(ctx, s, given, digest); err != nil {
				return nil, err
			}
		}
		if !ok {
			continue
		}
		if match != nil && match.Environment != s.Environment {
			// Two imported hashes of one value: it doesn't say which environment is meant.
			return nil, &Error{Code: InvalidClient, Reason: ReasonWrongEnvironment, Client: client.ID,
				Err: errors.New("the same imported secret serves both environments: give one of them a new secret")}
		}
		if match == nil || s.Live() {
			match = s
		}
	}
	return match, nil
}

func (c *secretChecker) checkSlow(ctx context.Context, s *ClientSecret, given secret.Text, digest credential.Digest) (bool, error) {
	c.mu.RLock()
	known, ok := c.remembered[s.ID]
	c.mu.RUnlock()
	if ok {
		return credential.Equal(known, digest), nil
	}
	if !s.Live() {
		return false, nil
	}
	encoded, err := c.sealer.Open(sealedImport+" "+s.ID.String(), s.Imported)
	if err != nil {
		return false, fmt.Errorf("opening an imported hash: %w", err)
	}
	hash, err := credential.ParseHash(string(encoded))
	if err != nil {
		return false, fmt.Errorf("reading an imported hash: %w", err)
	}
	right, err := c.slow.Verify(ctx, hash, given)
	if err != nil {
		return false, &Error{Code: Unavailable, Reason: ReasonBusy, Message: "too many secrets are being checked; try again", RetryAfter: oneSecond, Err: err}
	}
	if right {
		c.mu.Lock()
		c.remembered[s.ID] = digest
		c.mu.Unlock()
	}
	return right, nil
}

func equalDigest(stored []byte, d credential.Digest) bool {
	return len(stored) == len(d) && credential.Equal(credential.Digest(stored), d)
}

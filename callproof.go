package gatehouse

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A CallProof is what a call shows beside its access token, where its dialect
// asks for more: the client's own secret, the end user's, or both. A zero secret
// was not asked for.
type CallProof struct {
	Token        secret.Text // the access token itself
	ClientSecret secret.Text
	UserSecret   secret.Text
}

// ProveCall tells whether the secrets of p belong with its token, which
// Validate has found good and whose claims are c: the client secret to the
// token's client in the token's environment, the user secret to its connection.
// Whichever is wrong, the caller hears InvalidClient.
func (e *Engine) ProveCall(ctx context.Context, by Actor, c *Claims, p CallProof) error {
	if !p.ClientSecret.IsZero() {
		who, err := e.ProveClient(ctx, by, ClientProof{Dialect: c.Dialect, ClientID: c.ClientID, Secret: p.ClientSecret})
		if err != nil {
			return err
		}
		if who.Client.ID != c.Client || who.Environment != c.Environment {
			return c.fails(InvalidClient, ReasonWrongEnvironment)
		}
	}
	if p.UserSecret.IsZero() {
		return nil
	}
	_, err := e.connectionOf(ctx, c, p.UserSecret)
	return err
}

// connectionOf returns the connection that a token belongs to, to who knows its
// user secret.
func (e *Engine) connectionOf(ctx context.Context, c *Claims, userSecret secret.Text) (*Connection, error) {
	connection, err := e.store.Connection(ctx, c.Grant)
	if errors.Is(err, ErrNotFound) {
		return nil, c.fails(InvalidToken, ReasonWrongKind)
	} else if err != nil {
		return nil, fmt.Errorf("reading connection %s: %w", c.Grant, err)
	}
	if !equalDigest(connection.UserSecret, e.digester.Digest(digestUserSecret, userSecret)) {
		return nil, c.fails(InvalidClient, ReasonWrongSecret)
	}
	return connection, nil
}

// ProveCall is Engine.ProveCall away from the store: the authority is asked, and
// a yes is remembered for as long as the client doesn't change, five minutes at
// most. The token's own end needs no memory: Validate has seen to it.
func (r *Remote) ProveCall(ctx context.Context, _ Actor, c *Claims, p CallProof) error {
	if r.prove == nil {
		return &Error{Code: Unavailable, Reason: ReasonInternal, Message: "the secrets of a call can't be checked here", RetryAfter: oneSecond}
	}
	client := r.state.client(c.Client)
	if client == nil {
		return c.fails(InvalidToken, ReasonUnknownClient)
	}
	// Of the version that is known now: a change that comes meanwhile makes
	// what is remembered worthless, whichever of the two the authority saw.
	digest, now := r.proofs.digest(c, p), r.clock.nanos(r.clock.wall())
	if r.proofs.has(digest, client.Version, now) {
		return nil
	}
	if err := r.prove(ctx, p); err != nil {
		return err
	}
	r.proofs.add(digest, provenCall{client.Version, now + int64(opaqueRecheck)})
	return nil
}

// A proofCache remembers calls' secrets that were found right, by digests under
// a key that nobody else has.
type proofCache struct {
	key [sha256.Size]byte

	mu   sync.Mutex
	kept map[callDigest]provenCall
}

type callDigest [sha256.Size]byte

// provenCall holds for one version of the client, until a Unix nanosecond.
type provenCall struct {
	version int64
	until   int64
}

// keptProofs bounds the memory to some 3 MB.
const keptProofs = 1 << 14

func newProofCache() *proofCache {
	c := &proofCache{kept: map[callDigest]provenCall{}}
	_, _ = rand.Read(c.key[:]) // never fails: it ends the process instead
	return c
}

func (k *proofCache) digest(c *Claims, p CallProof) (d callDigest) {
	mac := hmac.New(sha256.New, k.key[:])
	mac.Write(c.Token[:])
	for _, s := range []secret.Text{p.Token, p.ClientSecret, p.UserSecret} {
		text := s.Reveal()
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		mac.Write([]byte(text))
	}
	mac.Sum(d[:0])
	return d
}

func (k *proofCache) has(d callDigest, version, now int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.kept[d]
	if ok && (p.version != version || p.until <= now) {
		delete(k.kept, d)
		return false
	}
	return ok
}

// add makes room by dropping any one: what is dropped is asked for again.
func (k *proofCache) add(d callDigest, p provenCall) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) >= keptProofs {
		for any := range k.kept {
			delete(k.kept, any)
			break
		}
	}
	k.kept[d] = p
}

func (k *proofCache) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.kept)
}

package token

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Ring is an immutable set of keys: a change of keys is a new Ring.
type Ring struct {
	byID  map[string]*Key
	realm map[Realm][]*Key // newest SignsFrom first
	keys  []*Key           // by environment, format, index, id

	unnamed *Key // verifies tokens that name no key; nil: none does
}

// TakingUnnamed returns a Ring that also takes tokens without a "kid", where it
// has one key only: issuers that never rotate leave it out.
func (r *Ring) TakingUnnamed() *Ring {
	if len(r.keys) != 1 {
		return r
	}
	taking := *r
	taking.unnamed = r.keys[0]
	return &taking
}

// NewRing checks keys and puts them together. It refuses, with ErrKey, a key
// that isn't sound for its algorithm, an id that stands twice, and one public
// key under two ids, which would let it speak for two realms.
func NewRing(keys []*Key) (*Ring, error) {
	r := &Ring{byID: make(map[string]*Key, len(keys)), realm: make(map[Realm][]*Key), keys: slices.Clone(keys)}
	seen := make(map[string]string, len(keys))
	for _, k := range keys {
		if err := k.check(); err != nil {
			return nil, err
		}
		if r.byID[k.ID] != nil {
			return nil, fmt.Errorf("%w: the id %s stands twice", ErrKey, k.ID)
		}
		der, err := MarshalPublic(k.Public)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w: %w", k.ID, ErrKey, err)
		}
		if other, twice := seen[string(der)]; twice {
			return nil, fmt.Errorf("%w: %s and %s are the same key", ErrKey, other, k.ID)
		}
		seen[string(der)] = k.ID
		r.byID[k.ID] = k
		r.realm[k.Realm] = append(r.realm[k.Realm], k)
	}
	for _, same := range r.realm {
		slices.SortFunc(same, func(a, b *Key) int {
			return cmp.Or(b.SignsFrom.Compare(a.SignsFrom), cmp.Compare(b.Index, a.Index), cmp.Compare(b.ID, a.ID))
		})
	}
	slices.SortFunc(r.keys, func(a, b *Key) int {
		return cmp.Or(
			cmp.Compare(a.Realm.Environment, b.Realm.Environment),
			cmp.Compare(a.Realm.Format, b.Realm.Format),
			cmp.Compare(a.Index, b.Index),
			cmp.Compare(a.ID, b.ID))
	})
	return r, nil
}

// Keys returns every key, by environment, format, index and id.
func (r *Ring) Keys() []*Key { return slices.Clone(r.keys) }

// Key returns the key of that id, at any stage of its life.
func (r *Ring) Key(id string) (*Key, bool) {
	k, ok := r.byID[id]
	return k, ok
}

// Signing returns the key that signs for realm at now, the newest where several
// do, or ErrNoSigningKey.
func (r *Ring) Signing(realm Realm, now time.Time) (*Key, error) {
	for _, k := range r.realm[realm] {
		if k.Signs(now) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: %s, %s, %s", ErrNoSigningKey, realm.Environment, realm.Format, realm.Algorithm)
}

// Verifying returns the key of that id if its tokens are accepted at now, or
// ErrUnknownKey.
func (r *Ring) Verifying(id string, now time.Time) (*Key, error) {
	if k := r.byID[id]; k != nil && k.Verifies(now) {
		return k, nil
	}
	return nil, ErrUnknownKey
}

// JWKS is the key set (RFC 7517 §5) of one environment, or of all for "", and a
// strong entity tag for it. It holds the keys that are published and not gone:
// those that don't sign yet, so that verifiers have them in time, and those
// that sign no more, as long as their tokens live.
func (r *Ring) JWKS(environment string, now time.Time) (set []byte, etag string, err error) {
	jwks := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range r.keys {
		if (environment == "" || k.Realm.Environment == environment) && !now.Before(k.PublishedAt) && k.Verifies(now) {
			jwks.Keys = append(jwks.Keys, jose.JSONWebKey{
				Key: k.Public, KeyID: k.ID, Algorithm: string(k.Realm.Algorithm), Use: "sig",
			})
		}
	}
	set, err = json.Marshal(jwks)
	if err != nil {
		return nil, "", fmt.Errorf("encoding the key set: %w", err)
	}
	sum := sha256.Sum256(set)
	return set, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}

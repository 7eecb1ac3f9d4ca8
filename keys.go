package gatehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/token"
)

// A KeyState is a signing key's stage of life. A key stands by, published, from
// the time its predecessor begins to sign; so outside verifiers that cache the
// key set know it before its first signature, whenever a rotation comes.
type KeyState string

// The stages, in order.
const (
	KeyStandby KeyState = "standby"
	KeySigning KeyState = "signing"
	KeyRetired KeyState = "retired" // verifies what it signed
	KeyGone    KeyState = "gone"    // verifies nothing
)

// A KeyStatus is what is shown of a signing key.
type KeyStatus struct {
	ID          string
	Index       int
	Realm       token.Realm
	State       KeyState
	PublishedAt time.Time
	SignsFrom   time.Time
	RetiredAt   time.Time
	GoneAt      time.Time
	Compromised bool
}

// standsBy is a SignsFrom that doesn't come.
var standsBy = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func (k *KeyRecord) state(now time.Time) KeyState {
	switch {
	case !k.GoneAt.IsZero() && !now.Before(k.GoneAt):
		return KeyGone
	case !k.RetiredAt.IsZero():
		return KeyRetired
	case k.SignsFrom.IsZero():
		return KeyStandby
	default:
		return KeySigning
	}
}

// useKeys makes the ring of the records that still verify. Each private half
// that may sign is opened; one that can't be is an error, since a node that
// can't sign must not start.
func (e *Engine) useKeys(records []KeyRecord) error {
	now := e.clock.now()
	var keys []*token.Key
	for _, r := range records {
		if r.state(now) == KeyGone {
			continue
		}
		k, err := e.openKey(&r)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", r.ID, err)
		}
		// Another node did this, and its clock may be ahead of ours; a grant that
		// is under way carries a time before it.
		k.PublishedAt = earlierOf(k.PublishedAt, now)
		if !r.SignsFrom.IsZero() {
			k.SignsFrom = earlierOf(k.SignsFrom, now.Add(-time.Minute))
		}
		keys = append(keys, k)
	}
	ring, err := token.NewRing(keys)
	if err != nil {
		return err
	}
	e.ring.Store(ring)
	e.keyRecords.Store(&records)
	return nil
}

func (e *Engine) openKey(r *KeyRecord) (*token.Key, error) {
	public, err := token.ParsePublic(r.Public)
	if err != nil {
		return nil, err
	}
	k := &token.Key{
		ID: r.ID, Index: r.Index, Realm: r.Realm, Public: public,
		PublishedAt: r.PublishedAt, SignsFrom: r.SignsFrom, RetiredAt: r.RetiredAt, GoneAt: r.GoneAt,
	}
	if r.SignsFrom.IsZero() {
		k.SignsFrom = standsBy
	}
	if !r.RetiredAt.IsZero() {
		return k, nil
	}
	der, err := e.sealer.Open(sealedKey+" "+r.ID, r.Sealed)
	if err != nil {
		return nil, err
	}
	k.Signer, err = token.ParsePrivate(der)
	return k, err
}

// realms are those that a set of policies signs in.
func realms(set map[string]*Policy) []token.Realm {
	var out []token.Realm
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if p := set[name]; p.JWT != nil {
			for _, env := range Environments {
				out = append(out, token.Realm{Environment: string(env), Format: name, Algorithm: p.Algorithm})
			}
		}
	}
	return out
}

// ensureKeys makes a signing key for each realm that has none, and one to stand
// by, so that verifiers know it long before it signs. RSA's take tenths of a
// second: a first start doesn't wait for those that only stand by, the schedule
// makes them right after it.
func (e *Engine) ensureKeys(ctx context.Context, set map[string]*Policy) error {
	e.keyMaking.Lock()
	defer e.keyMaking.Unlock()
	now := e.clock.now()
	var missing []token.Realm
	for _, realm := range realms(set) {
		if _, err := e.ring.Load().Signing(realm, now); err != nil {
			missing = append(missing, realm)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return e.changeKeys(ctx, System("start"), "key.create", set, func(records []KeyRecord, now time.Time) ([]keyChange, error) {
		var changes []keyChange
		for _, realm := range missing {
			if signing(records, realm, now) == nil {
				changes = append(changes, keyChange{make: &realm, signs: true})
			}
			if realm.Algorithm != token.RS256 && standby(records, realm) == nil {
				changes = append(changes, keyChange{make: &realm})
			}
		}
		return changes, nil
	})
}

// rotateDue rotates keys that have signed for their time and sees to it that
// each realm has a key standing by.
func (e *Engine) rotateDue(ctx context.Context) error {
	e.keyMaking.Lock()
	defer e.keyMaking.Unlock()
	set := *e.policies.Load()
	return e.changeKeys(ctx, System("schedule"), "key.rotate", set, func(records []KeyRecord, now time.Time) ([]keyChange, error) {
		var changes []keyChange
		for _, realm := range realms(set) {
			if k := signing(records, realm, now); k != nil && now.Sub(k.SignsFrom) >= e.keyLife {
				changes = append(changes, e.rotation(records, realm, now)...)
			} else if standby(records, realm) == nil {
				changes = append(changes, keyChange{make: &realm})
			}
		}
		return changes, nil
	})
}

// RotateKeys lets the key that stands by sign from now on, in one environment
// and one format ("" is all of them). The keys that signed until now go on
// verifying what they signed.
func (e *Engine) RotateKeys(ctx context.Context, by Actor, env Environment, dialect string) ([]KeyStatus, error) {
	e.keyMaking.Lock()
	defer e.keyMaking.Unlock()
	set := *e.policies.Load()
	var chosen []token.Realm
	for _, realm := range realms(set) {
		if realm.Environment == string(env) && (dialect == "" || realm.Format == dialect) {
			chosen = append(chosen, realm)
		}
	}
	if len(chosen) == 0 {
		return nil, &Error{Code: NotFound, Reason: ReasonMalformed, Field: "dialect", Message: fmt.Sprintf("no signing key is used for %s in %s: its tokens are opaque, or it isn't loaded", dialect, env)}
	}
	err := e.changeKeys(ctx, by, "key.rotate", set, func(records []KeyRecord, now time.Time) ([]keyChange, error) {
		var changes []keyChange
		for _, realm := range chosen {
			changes = append(changes, e.rotation(records, realm, now)...)
		}
		return changes, nil
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(e.Keys(), func(k KeyStatus) bool { return !slices.Contains(chosen, k.Realm) }), nil
}

// RetireKey takes one key out of use. A signing key's successor signs at once.
// A compromised key verifies nothing from now on: every token that it signed
// is refused. It returns the keys of that realm.
func (e *Engine) RetireKey(ctx context.Context, by Actor, id string, compromised bool) ([]KeyStatus, error) {
	e.keyMaking.Lock()
	defer e.keyMaking.Unlock()
	action := "key.retire"
	if compromised {
		action = "key.compromised"
	}
	var realm token.Realm
	err := e.changeKeys(ctx, by, action, *e.policies.Load(), func(records []KeyRecord, now time.Time) ([]keyChange, error) {
		// Judged by what is stored: another node may have rotated meanwhile.
		i := slices.IndexFunc(records, func(r KeyRecord) bool { return r.ID == id })
		if i < 0 {
			return nil, &Error{Code: NotFound, Reason: ReasonUnknownKey, Field: "key_id", Message: fmt.Sprintf("there is no key %q: see `gatehouse key list`", id)}
		}
		old := records[i]
		realm = old.Realm
		state := old.state(now)
		var changes []keyChange
		switch {
		case state == KeyGone:
			return nil, &Error{Code: Conflict, Reason: ReasonExists, Message: fmt.Sprintf("key %s verifies nothing any more, since %s", id, old.GoneAt.Format(time.RFC3339))}
		case state == KeyRetired && !compromised:
			return nil, &Error{Code: Conflict, Reason: ReasonExists, Message: fmt.Sprintf("key %s is retired already and verifies what it signed until %s; use --compromised to end that now", id, old.GoneAt.Format(time.RFC3339))}
		case state == KeySigning:
			changes = e.rotation(records, realm, now)
		default:
			old.RetiredAt, old.GoneAt = now, now // it has signed nothing, or is to end now
			changes = []keyChange{{save: &old}}
			if state == KeyStandby {
				changes = append(changes, keyChange{make: &realm})
			}
		}
		if compromised {
			for _, c := range changes {
				if c.save != nil && c.save.ID == id {
					c.save.GoneAt, c.save.Compromised = now, true
				}
			}
		}
		return changes, nil
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(e.Keys(), func(k KeyStatus) bool { return k.Realm != realm }), nil
}

// rotation retires the signing key, lets the standing-by one sign and makes
// another to stand by.
func (e *Engine) rotation(records []KeyRecord, realm token.Realm, now time.Time) []keyChange {
	var changes []keyChange
	if old := signing(records, realm, now); old != nil {
		r := *old
		r.RetiredAt = now
		if longest, permanent := e.longestLife(realm.Format); !permanent {
			r.GoneAt = now.Add(longest + expiredKept)
		}
		changes = append(changes, keyChange{save: &r})
	}
	if next := standby(records, realm); next != nil {
		r := *next
		r.SignsFrom = now
		changes = append(changes, keyChange{save: &r})
	} else {
		changes = append(changes, keyChange{make: &realm, signs: true})
	}
	return append(changes, keyChange{make: &realm})
}

// longestLife is the longest life that a token of this format may have been given.
func (e *Engine) longestLife(format string) (life time.Duration, permanent bool) {
	if p := (*e.policies.Load())[format]; p != nil {
		life, permanent = max(p.Life, p.Longest), p.Permanent
	}
	for _, c := range e.state.all() {
		if c.Dialect == format {
			life = max(life, c.MaxTTL)
		}
	}
	return life, permanent
}

func signing(records []KeyRecord, realm token.Realm, now time.Time) *KeyRecord {
	var newest *KeyRecord
	for i := range records {
		if r := &records[i]; r.Realm == realm && r.state(now) == KeySigning && (newest == nil || r.SignsFrom.After(newest.SignsFrom)) {
			newest = r
		}
	}
	return newest
}

func standby(records []KeyRecord, realm token.Realm) *KeyRecord {
	for i := range records {
		if r := &records[i]; r.Realm == realm && r.RetiredAt.IsZero() && r.SignsFrom.IsZero() {
			return r
		}
	}
	return nil
}

// Keys lists all signing keys, those gone too, by environment, format and index.
func (e *Engine) Keys() []KeyStatus {
	records := *e.keyRecords.Load()
	now := e.clock.now()
	out := make([]KeyStatus, 0, len(records))
	for _, r := range records {
		out = append(out, KeyStatus{
			ID: r.ID, Index: r.Index, Realm: r.Realm, State: r.state(now), PublishedAt: r.PublishedAt,
			SignsFrom: r.SignsFrom, RetiredAt: r.RetiredAt, GoneAt: r.GoneAt, Compromised: r.Compromised,
		})
	}
	slices.SortFunc(out, func(a, b KeyStatus) int {
		if a.Realm.Environment != b.Realm.Environment {
			return strings.Compare(a.Realm.Environment, b.Realm.Environment)
		}
		if a.Realm.Format != b.Realm.Format {
			return strings.Compare(a.Realm.Format, b.Realm.Format)
		}
		return a.Index - b.Index
	})
	return out
}

// JWKS is the key set of one environment, or of all for "", with its entity tag.
func (e *Engine) JWKS(env Environment) (body []byte, etag string, err error) {
	return e.ring.Load().JWKS(string(env), e.clock.now())
}

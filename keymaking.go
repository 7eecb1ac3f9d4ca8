package gatehouse

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatehouse-auth/gatehouse/token"
)

// A keyChange saves a record or makes a new key.
type keyChange struct {
	save  *KeyRecord
	make  *token.Realm
	signs bool // what is made signs at once
}

// changeKeys reads the records, asks plan what to change, and saves all of it as
// one act. Where another node took the same key number meanwhile it begins
// again. The caller holds keyMaking.
func (e *Engine) changeKeys(ctx context.Context, by Actor, action string, set map[string]*Policy, plan func([]KeyRecord, time.Time) ([]keyChange, error)) error {
	for range 5 {
		records, err := e.store.Keys(ctx)
		if err != nil {
			return fmt.Errorf("reading the signing keys: %w", err)
		}
		now := e.clock.now().Truncate(time.Millisecond)
		changes, err := plan(records, now)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			// Another node may have made just now what this one was missing.
			return e.catchUp(ctx)
		}
		saves, err := e.makeKeys(records, changes, set, now)
		if err != nil {
			return err
		}
		ids := make([]string, len(saves))
		for i, r := range saves {
			ids[i] = r.ID
		}
		act := Act{At: now, By: by, Action: action, Subject: strings.Join(ids, " ")}
		err = e.store.SaveKeys(ctx, act, saves)
		if err == nil {
			e.settle(ctx)
			return nil
		} else if !errors.Is(err, ErrExists) {
			return fmt.Errorf("saving the signing keys: %w", err)
		}
	}
	return fmt.Errorf("%w: other nodes change the signing keys at the same time; try again", ErrStore)
}

// makeKeys generates the keys that changes ask for, side by side, and returns
// all records to save.
func (e *Engine) makeKeys(records []KeyRecord, changes []keyChange, set map[string]*Policy, now time.Time) ([]KeyRecord, error) {
	next := map[string]int{}
	for _, r := range records {
		next[r.Realm.Format] = max(next[r.Realm.Format], r.Index+1)
	}
	saves := make([]KeyRecord, len(changes))
	var group errgroup.Group
	for i, c := range changes {
		if c.save != nil {
			saves[i] = *c.save
			continue
		}
		realm := *c.make
		saves[i] = KeyRecord{Index: next[realm.Format], Realm: realm, PublishedAt: now}
		next[realm.Format]++
		saves[i].ID = keyID(set[realm.Format], &saves[i])
		if c.signs {
			saves[i].SignsFrom = now
		}
		group.Go(func() error { return e.generate(&saves[i]) })
	}
	return saves, group.Wait()
}

func (e *Engine) generate(r *KeyRecord) error {
	private, err := token.GenerateKey(r.Realm)
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	der, err := token.MarshalPrivate(private)
	if err != nil {
		return fmt.Errorf("encoding a signing key: %w", err)
	}
	if r.Sealed, err = e.sealer.Seal(sealedKey+" "+r.ID, der); err != nil {
		return fmt.Errorf("sealing a signing key: %w", err)
	}
	r.Public, err = token.MarshalPublic(private.Public())
	return err
}

// keyID names a key: as its dialect wants it, or environment and ten random
// characters.
func keyID(p *Policy, r *KeyRecord) string {
	if p != nil && p.KeyPrefix != "" {
		return p.KeyPrefix + strconv.Itoa(r.Index)
	}
	var raw [7]byte
	_, _ = rand.Read(raw[:])
	return r.Realm.Environment + "-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:]))[:10]
}

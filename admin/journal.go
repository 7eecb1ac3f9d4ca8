package admin

import (
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/internal/clientjson"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Journal is a part of the journal.
type Journal struct {
	Entries []JournalEntry `json:"entries"`
	Seq     int64          `json:"seq" doc:"the newest position"`
	HeardAt time.Time      `json:"heard_at" doc:"when that was the newest one"`
}

// JournalEntry is one, with what a restore needs. Keys and imported hashes in it
// are sealed; secrets are digests.
type JournalEntry struct {
	Seq     int64          `json:"seq"`
	At      time.Time      `json:"at"`
	Kind    string         `json:"kind" enum:"token_revoked,client_changed,keys_changed,epoch"`
	TokenID string         `json:"token_id,omitempty"`
	Until   *time.Time     `json:"until,omitempty" doc:"when the token expires; absent: never"`
	Client  *JournalClient `json:"client,omitempty"`
	Keys    []JournalKey   `json:"keys,omitempty"`
	Before  *time.Time     `json:"before,omitempty" doc:"tokens issued at or before it are refused"`
}

// JournalClient is a client as the ledger keeps it.
type JournalClient struct {
	ID      string               `json:"id"`
	Record  string               `json:"record" doc:"JSON, in the ledger's own form"`
	Cutoffs map[string]time.Time `json:"revoked_before,omitempty"`
}

// JournalKey is a signing key as the ledger keeps it.
type JournalKey struct {
	ID          string    `json:"id"`
	Index       int       `json:"index"`
	Environment string    `json:"environment"`
	Format      string    `json:"format"`
	Algorithm   string    `json:"algorithm"`
	Public      []byte    `json:"public,omitempty"`
	Sealed      []byte    `json:"sealed,omitempty"`
	PublishedAt time.Time `json:"published_at"`
	SignsFrom   time.Time `json:"signs_from,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	GoneAt      time.Time `json:"gone_at,omitzero"`
	Compromised bool      `json:"compromised,omitempty"`
}

func shownEntry(r *gatehouse.JournalRecord) (JournalEntry, error) {
	out := JournalEntry{Seq: r.Seq, At: r.At.UTC(), Kind: string(r.Kind), Until: moment(r.Until), Before: moment(r.Before)}
	if !r.Token.IsZero() {
		out.TokenID = r.Token.String()
	}
	if c := r.Changed; c != nil {
		record, err := clientjson.Marshal(c)
		if err != nil {
			return out, err
		}
		out.Client = &JournalClient{ID: string(c.ID), Record: record, Cutoffs: map[string]time.Time{}}
		for env, before := range c.RevokedBefore {
			out.Client.Cutoffs[string(env)] = before.UTC()
		}
	}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, JournalKey{
			ID: k.ID, Index: k.Index, Environment: k.Realm.Environment, Format: k.Realm.Format, Algorithm: string(k.Realm.Algorithm),
			Public: k.Public, Sealed: k.Sealed, PublishedAt: k.PublishedAt, SignsFrom: k.SignsFrom, RetiredAt: k.RetiredAt, GoneAt: k.GoneAt,
			Compromised: k.Compromised,
		})
	}
	return out, nil
}

// JournalRecord is the entry in the engine's words.
func (e *JournalEntry) JournalRecord() (gatehouse.JournalRecord, error) {
	r := gatehouse.JournalRecord{Entry: gatehouse.Entry{
		Seq: e.Seq, At: e.At, Kind: gatehouse.EntryKind(e.Kind), Until: timeOr(e.Until), Before: timeOr(e.Before),
	}}
	switch r.Kind {
	case gatehouse.EntryTokenRevoked:
		id, err := token.ParseID(e.TokenID)
		if err != nil {
			return r, fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		r.Token = id
	case gatehouse.EntryClientChanged:
		if e.Client == nil || e.Client.ID == "" {
			return r, fmt.Errorf("entry %d names no client", e.Seq)
		}
		c, err := clientjson.Unmarshal(gatehouse.ClientID(e.Client.ID), 0, e.Client.Record)
		if err != nil {
			return r, fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		for env, before := range e.Client.Cutoffs {
			if c.RevokedBefore == nil {
				c.RevokedBefore = map[gatehouse.Environment]time.Time{}
			}
			c.RevokedBefore[gatehouse.Environment(env)] = before
		}
		r.Client, r.Changed = c.ID, c
	case gatehouse.EntryKeysChanged:
		for _, k := range e.Keys {
			r.Keys = append(r.Keys, gatehouse.KeyRecord{
				ID: k.ID, Index: k.Index, Realm: token.Realm{Environment: k.Environment, Format: k.Format, Algorithm: token.Algorithm(k.Algorithm)},
				Public: k.Public, Sealed: k.Sealed, PublishedAt: k.PublishedAt, SignsFrom: k.SignsFrom, RetiredAt: k.RetiredAt, GoneAt: k.GoneAt,
				Compromised: k.Compromised,
			})
		}
	}
	return r, nil
}

func timeOr(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

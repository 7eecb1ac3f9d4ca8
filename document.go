package gatehouse

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A Document is what a part of Gatehouse keeps beside the ledger: a user of the
// built-in directory, a sign-in under way, a webhook. Nothing of it is in the
// hash chains but the events of the acts that it was kept with.
type Document struct {
	Kind  string // whose it is: "user", "webhook"
	Key   string // unique within Kind
	Owner string // what a list may select by: a client's id, a user's; may be empty
	Value []byte // that part's own form (JSON)
	// Version counts saves; 0 is not stored yet. It starts again where a
	// document was taken and another one kept under its key.
	Version int64
	// ExpiresAt is when it stops being found, by the clock of the node that
	// looks; Expire removes it later. Zero is never. Keeping one that has
	// expired is how several documents are removed in one transaction.
	ExpiresAt time.Time
}

// Bounds of a document, in bytes.
const (
	maxDocumentKind  = 40
	maxDocumentKey   = 200
	maxDocumentOwner = 200
	MaxDocument      = 64 << 10 // of its Value
)

// Check reports what of d no Store keeps. Stores call it.
func (d *Document) Check() error {
	switch {
	case d.Kind == "" || d.Key == "":
		return errors.New("a document has no kind or no key")
	case len(d.Kind) > maxDocumentKind, len(d.Key) > maxDocumentKey, len(d.Owner) > maxDocumentOwner:
		return fmt.Errorf("document %.40s: its kind, key or owner is too long", d.Kind)
	case len(d.Value) > MaxDocument:
		return fmt.Errorf("document %s %s: %d bytes are more than the %d that one may have", d.Kind, d.Key, len(d.Value), MaxDocument)
	case d.Version < 0:
		return fmt.Errorf("document %s %s: a version below 0", d.Kind, d.Key)
	}
	for _, text := range []string{d.Kind, d.Key, d.Owner} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("document %.40q: its kind, key or owner is not text", d.Kind)
		}
	}
	return nil
}

// ExpiredAt reports whether d is not found any more at that moment.
func (d *Document) ExpiredAt(now time.Time) bool {
	return !d.ExpiresAt.IsZero() && !now.Before(d.ExpiresAt)
}

package gatehouse

import "time"

// EntryKind says what an Entry of the journal tells.
type EntryKind string

// The kinds of entry.
const (
	// EntryTokenRevoked: the token named is refused. It may be forgotten after Until.
	EntryTokenRevoked EntryKind = "token_revoked"
	// EntryClientChanged: read the client named again.
	EntryClientChanged EntryKind = "client_changed"
	// EntryKeysChanged: read the signing keys again.
	EntryKeysChanged EntryKind = "keys_changed"
	// EntryEpoch: everything issued at or before Before is refused.
	EntryEpoch EntryKind = "epoch"
)

// An Entry of the journal: the one ordered log of what every node and gate
// must learn at once. Seq grows by commit order; no entry appears below one
// that a reader has seen.
type Entry struct {
	Seq    int64
	At     time.Time
	Kind   EntryKind
	Token  TokenID   // EntryTokenRevoked
	Until  time.Time // EntryTokenRevoked: when it may leave memory; zero is never
	Client ClientID  // EntryClientChanged
	Before time.Time // EntryEpoch
}

package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/token"
)

// A Store keeps clients, keys, the ledger, the journal and the audit events,
// durably: when a method returns nil, what it was given survives the loss of
// power, and when it returns an error, nothing of it was done, except after an
// error that wraps ErrUnknownOutcome. Each change commits with its audit event
// and its journal entry in one transaction, or does not happen.
//
// All methods are safe for concurrent use; concurrent writers share commits.
// An error that a retry may cure wraps ErrStore. Times are stored in
// milliseconds, and come back in UTC.
type Store interface {
	// Load reads what a node keeps in memory, as of one instant: Snapshot.Seq
	// is the newest journal entry that it includes.
	Load(ctx context.Context, now time.Time) (*Snapshot, error)
	// Journal returns up to limit entries after since, in order, or
	// ErrJournalGone where entries after since have been pruned: Load again.
	Journal(ctx context.Context, since int64, limit int) ([]Entry, error)
	// Wake returns a channel that receives when the journal may have grown.
	// It is a hint: entries may come without one.
	Wake() <-chan struct{}

	// Record commits a grant under the conditions that Grant states.
	Record(ctx context.Context, g *Grant) error
	// Token returns the row with this id, or ErrNotFound.
	Token(ctx context.Context, id TokenID) (*TokenRecord, error)
	// Tokens returns the rows that q selects, newest first.
	Tokens(ctx context.Context, q TokenQuery) ([]TokenRecord, error)
	// Revoke ends what sel names. Tokens that a Selection by Token does not
	// find are ErrNotFound; revoking what is revoked already succeeds with 0.
	Revoke(ctx context.Context, act Act, sel Selection) (Revoked, error)
	// Expire drops the partitions whose last token expired before cutoff, and
	// journal entries and replays that nobody needs any more. It works in
	// steps that each hold up writers for milliseconds.
	Expire(ctx context.Context, cutoff time.Time) (Expired, error)

	// Time is the clock of a store that many nodes share, and zero where one
	// process has the store to itself.
	Time(ctx context.Context) (time.Time, error)

	// SaveClient inserts the client (Version 0) or replaces the version that
	// was read (else ErrConflict). An id that any client has or had is
	// ErrExists. Secret uses are not touched.
	SaveClient(ctx context.Context, act Act, c *Client) error
	// Client returns the newest version, deleted or not, or ErrNotFound.
	Client(ctx context.Context, id ClientID) (*Client, error)
	// SecretUses returns the uses recorded so far of a client's secrets.
	SecretUses(ctx context.Context, id ClientID) ([]SecretUse, error)
	// UseSecrets adds to the uses: counts are added, times and addresses
	// replaced where newer.
	UseSecrets(ctx context.Context, uses []SecretUse) error

	// Link records a connection and its access code together.
	Link(ctx context.Context, act Act, c *Connection, code *Grant) error
	// Connection returns one, or ErrNotFound.
	Connection(ctx context.Context, id ConnectionID) (*Connection, error)
	// Connections returns those that q selects, newest first.
	Connections(ctx context.Context, q ConnectionQuery) ([]Connection, error)

	// SaveKeys inserts or replaces key records, all or none. A key's ID and
	// its (Format, Index) are unique over the installation (else ErrExists).
	SaveKeys(ctx context.Context, act Act, keys []KeyRecord) error
	// Keys returns all records, those of keys long gone too.
	Keys(ctx context.Context) ([]KeyRecord, error)

	// Setting returns the value called name, after storing initial where
	// there was none: the first caller of all nodes decides.
	Setting(ctx context.Context, name string, initial []byte) ([]byte, error)

	// Replay returns the answer remembered for a caller's Idempotency-Key, or
	// ErrNotFound. It is remembered by an Act that carries one; a second Act
	// with the same caller and key is ErrExists.
	Replay(ctx context.Context, caller, key string) (*Replay, error)

	// Keep inserts each document (Version 0, else ErrExists where its kind and
	// key are taken) or replaces the version that was read (else ErrConflict),
	// all or none, with act's event and replay where act is not nil.
	Keep(ctx context.Context, act *Act, docs ...Document) error
	// Document returns one, or ErrNotFound.
	Document(ctx context.Context, kind, key string) (*Document, error)
	// Documents returns up to limit of a kind, of one owner or of all (""), in
	// the order of their keys' bytes, those after the key after.
	Documents(ctx context.Context, kind, owner, after string, limit int) ([]Document, error)
	// Take returns a document and removes it: of all who ask on all nodes one
	// gets it, the others ErrNotFound. act's event commits with it where act is
	// not nil.
	Take(ctx context.Context, act *Act, kind, key string) (*Document, error)

	// Audit returns up to limit events older than before (0: the newest), newest first.
	Audit(ctx context.Context, before int64, limit int) ([]Event, error)
	// CheckAudit recomputes every hash chain.
	CheckAudit(ctx context.Context) (*AuditReport, error)

	// Backup says what the store holds as of one commit. A store that can copy
	// itself gives the copy to sink, while reads and writes go on; sink may be
	// nil. ErrConflict is that another copy is being made.
	Backup(ctx context.Context, sink BackupSink) (*Manifest, error)
	// Restart begins the journal anew, after a restore from an older copy.
	Restart(ctx context.Context, act Act, r Restart) (*Restarted, error)

	// Ping reports whether the store can answer.
	Ping(ctx context.Context) error
	// Close ends the store after the writes under way.
	Close() error
}

// A Snapshot is what a node keeps in memory.
type Snapshot struct {
	Seq     int64
	Clients []Client // deleted ones too: their ids stay taken and their tokens listed
	Keys    []KeyRecord
	Revoked []RevokedToken // those that a node must still remember at the Load's now
	Epoch   time.Time      // tokens issued at or before it are refused; zero is none
	Newest  time.Time      // the newest time that the store has recorded, by which a clock set back is known
}

// A RevokedToken is refused until Until, when it has expired by itself; a zero
// Until is for ever.
type RevokedToken struct {
	ID    TokenID
	Until time.Time
}

// Expired says what Expire removed.
type Expired struct {
	Partitions int
	Tokens     int
}

// A KeyRecord is a signing key at rest. Its private half is sealed.
type KeyRecord struct {
	ID          string
	Index       int // counts within Format, over all environments
	Realm       token.Realm
	Public      []byte    // PKIX
	Sealed      []byte    // PKCS #8, sealed under the key-encryption key
	PublishedAt time.Time // in the key set from here on
	SignsFrom   time.Time // zero while it stands by
	RetiredAt   time.Time // zero while it signs or stands by
	GoneAt      time.Time // verifies nothing from here on; zero while unknown
	Compromised bool
}

// What a Store's errors wrap.
var (
	ErrStore          = errors.New("the store can't answer")
	ErrUnknownOutcome = fmt.Errorf("%w: whether the change was committed is unknown", ErrStore)
	ErrNotFound       = errors.New("not found")
	ErrExists         = errors.New("exists already")
	ErrConflict       = errors.New("changed by someone else meanwhile")
	ErrJournalGone    = errors.New("journal entries have been pruned")
	ErrClientState    = errors.New("the client is not enabled")
	ErrSecretRetired  = errors.New("the client secret is retired")
	ErrCutoff         = errors.New("everything of that time was revoked")
	ErrRevoked        = errors.New("the token or its grant was revoked")
)

// A SpentError says that a code or rotating refresh token was used before.
type SpentError struct{ At time.Time }

func (e *SpentError) Error() string { return "used before, at " + e.At.Format(time.RFC3339) }

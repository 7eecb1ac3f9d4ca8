package gatehouse

import (
	"time"
)

// TokenKind says what a row of the ledger is.
type TokenKind string

// The kinds. An access code is on the ledger like a token: it expires, is used
// up once, and is revoked with its grant.
const (
	AccessToken  TokenKind = "access"
	RefreshToken TokenKind = "refresh"
	AccessCode   TokenKind = "code"
)

// A TokenRecord is a token's row on the ledger and its audit record in one. It
// holds nothing from which the token could be made. All but SpentAt and
// RevokedAt is fixed when the row is written, and covered by the hash chain;
// those two are marks, appended later and chained likewise.
type TokenRecord struct {
	ID          TokenID
	Kind        TokenKind
	Client      ClientID // the client as a whole (Client.ID)
	Environment Environment
	Dialect     string
	Name        string
	Scopes      []string
	Audience    []string  // nil is the environment's issuer
	User        string    // the end user's id, where there is one
	Secret      SecretID  // the client secret that obtained it; zero where none did
	Grant       GrantID   // the family; zero where the token is alone
	Parent      TokenID   // the code or refresh token that it was obtained with; zero where none was
	Digest      []byte    // keyed digest of an opaque token; nil for a JWT
	IssuedAt    time.Time // milliseconds, UTC
	ExpiresAt   time.Time // whole seconds, UTC; zero is never

	SpentAt   time.Time // when a code or rotating refresh token was used
	RevokedAt time.Time
}

// TokenStatus is what a list shows of a token.
type TokenStatus string

// The statuses.
const (
	StatusActive  TokenStatus = "active"
	StatusExpired TokenStatus = "expired"
	StatusRevoked TokenStatus = "revoked"
)

// A Grant is what one issue, refresh or exchange records: all of it, or
// nothing. The store commits it only if, inside the same transaction,
//
//   - the client is enabled (else ErrClientState), and Proof, where set, is one
//     of its live secrets (else ErrSecretRetired);
//   - no token of it was issued at or before the client's RevokedBefore in its
//     environment, or the epoch (else ErrCutoff);
//   - the token named by Uses, where set, is there, not revoked, and its grant's
//     connection, if any, not delinked (else ErrRevoked);
//   - where Spend is true, that token has not been spent (else *SpentError);
//     committing spends it at At.
type Grant struct {
	At     time.Time
	Tokens []TokenRecord // one to three; all of one client and environment
	Uses   TokenID       // the access code or refresh token that was presented
	Spend  bool
	Proof  SecretID // the secret that proved the client just now; zero where none did
	// Act is the audit event of a grant that its client didn't ask for itself.
	// A client's own has none: the rows say all of it.
	Act *Act
	// Meanwhile, where set, may be called once, by the goroutine that called
	// Record, while it waits for the disk.
	Meanwhile func()
}

// Client is the client that the grant is for.
func (g *Grant) Client() ClientID { return g.Tokens[0].Client }

// A TokenQuery selects rows of the ledger, newest first. Zero fields don't
// select.
type TokenQuery struct {
	Client      ClientID
	Environment Environment
	Name        string
	Grant       GrantID
	Kinds       []TokenKind // none is all
	Status      TokenStatus
	Now         time.Time // what Status is judged by
	Before      TokenID   // only rows older than this one: the cursor
	Limit       int       // at most 1,000
}

// A ConnectionQuery selects connections, newest first. Zero fields don't select.
type ConnectionQuery struct {
	Client      ClientID
	Environment Environment
	User        string
	Linked      bool         // only those that are not delinked
	Before      ConnectionID // only older ones: the cursor
	Limit       int
}

// A Selection names the tokens that a revocation ends. Exactly one of Token,
// Grant, Secret and Client is set; Environment, Name and Before narrow Client.
// A Selection by Grant that is a connection delinks it.
type Selection struct {
	Token       TokenID
	Grant       GrantID
	Secret      SecretID
	Client      ClientID
	Environment Environment
	Name        string
	Before      time.Time // tokens issued at or before; zero is the act's own time
}

// Revoked says what a revocation ended.
type Revoked struct {
	Tokens int   // access and refresh tokens that were live and are not any more
	Seq    int64 // the journal entry after which every node refuses them
}

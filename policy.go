package gatehouse

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A Policy says what tokens the clients of one dialect (or of standard OAuth
// 2.0) get. httpd makes one of each dialect file; the engine has the standard
// one itself.
type Policy struct {
	Dialect     string
	JWT         JWTForm // nil: access tokens are opaque
	Algorithm   token.Algorithm
	KeyPrefix   string                 // key ids are this and a count over the installation; "" makes random ids
	Prefix      map[Environment]string // of opaque access tokens; missing ones get the default
	Life        time.Duration          // whole seconds
	Longest     time.Duration          // what a caller may ask for; a client's MaxTTL overrides it
	Permanent   bool                   // access tokens never expire
	CodeLife    time.Duration          // of access codes
	Refresh     RefreshMode
	RefreshLife time.Duration

	SeparateIDs bool          // a client has an id for each environment
	IDForm      IDForm        // what the ids look like
	Limits      map[Verb]Rate // how often one client may do it in one environment; missing is any
}

// A Verb is a way to a token.
type Verb string

// The verbs.
const (
	VerbIssue    Verb = "issue"
	VerbRefresh  Verb = "refresh"
	VerbExchange Verb = "exchange"
)

// RefreshMode says what happens to a refresh token when it is used.
type RefreshMode string

// The modes. A reused token keeps its own fixed end; a rotated one is spent
// and its successor starts anew (RFC 6749 §6, RFC 9700 §4.14).
const (
	RefreshNone   RefreshMode = "none"
	RefreshReuse  RefreshMode = "reuse"
	RefreshRotate RefreshMode = "rotate"
)

// IDForm says what client ids look like.
type IDForm string

// The forms.
const (
	IDText   IDForm = "text"   // made by us
	IDUUID   IDForm = "uuid"   // made by us
	IDDomain IDForm = "domain" // the client's domain name
)

// A JWTForm makes a dialect's JWT of a Minting and reads it back: Read of what
// Mint made gives the fields that the form carries. Implementations are safe
// for concurrent use.
type JWTForm interface {
	Mint(key *token.Key, m *Minting) (secret.Text, error)
	// Read takes a token whose signature has been verified. An error means
	// that it is not of this form, whatever its signature.
	Read(v *token.Verified) (*Minting, error)
}

// A Minting is what a JWT can be made of.
type Minting struct {
	Record   TokenRecord
	ClientID ClientID // as on the wire in the record's environment
	Issuer   string
	KeyIndex int
	Fields   map[string]string // the client's

	// Read only: whether the form says which scopes the token has. Where it
	// doesn't, the token has its client's.
	HasScope bool
}

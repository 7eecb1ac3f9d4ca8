package gatehouse

import (
	"net/netip"
	"slices"
	"time"
)

// A Client is a program, or a partner's set of programs, that may obtain
// tokens. Values are immutable once shared: change a copy and save it.
type Client struct {
	ID            ClientID                 // the client as a whole; equals its wire id where that is one for all environments
	IDs           map[Environment]ClientID // the wire id in each environment where it has one
	Name          string
	Dialect       string // a dialect's name, or OAuth2
	Scopes        []string
	Domain        string            // the domain name that identifies it, where its dialect says so
	Fields        map[string]string // what the dialect's {owner.*} and {extra.*} holes are filled with
	MaxTTL        time.Duration     // the longest life its tokens may be asked for; 0 is the policy's
	Refresh       bool              // standard OAuth 2.0 only: may use refresh tokens
	Limit         Rate              // of each verb; zero is the policy's
	State         ClientState
	CreatedAt     time.Time
	RevokedBefore map[Environment]time.Time // tokens issued at or before this instant are refused
	RedirectURIs  map[Environment][]string  // where its end users may be sent back; each is of one environment
	Origins       map[Environment][]string  // whose pages may open the Connect page and be told its result; likewise
	Secrets       []ClientSecret
	Imports       map[Environment]time.Time // when the last of its tokens that another system made expires
	Version       int64                     // counts saves; a save of a version that is not the newest is refused with ErrConflict
}

// ClientState says what a client may do.
type ClientState string

// A disabled client obtains nothing and its tokens don't pass until it is
// enabled again; a deleted one is kept so that its ids are never reused.
const (
	Enabled  ClientState = "enabled"
	Disabled ClientState = "disabled"
	Deleted  ClientState = "deleted"
)

// A ClientSecret proves a client in one environment. Exactly one of Digest and
// Imported is set.
type ClientSecret struct {
	ID          SecretID
	Environment Environment
	Digest      []byte // keyed digest of a secret of our making, or of an imported fast hash
	FastHash    string // names the fast hash that was taken of the secret before Digest ("sha256"), or ""
	Imported    []byte // an imported slow hash, sealed
	CreatedAt   time.Time
	RetiredAt   time.Time // zero while it is live
	Compromised bool
}

// Live reports whether the secret is in use.
func (s ClientSecret) Live() bool { return s.RetiredAt.IsZero() }

// SecretUse says when and from where a secret last proved its client, and how
// often it has.
type SecretUse struct {
	Secret SecretID
	Count  int64
	At     time.Time
	Addr   netip.Addr
}

// WireID is the id that the client uses in env; ok is false where it has none.
func (c *Client) WireID(env Environment) (id ClientID, ok bool) {
	id, ok = c.IDs[env]
	return id, ok
}

// EnvironmentsOf lists where the client may act, in the usual order.
func (c *Client) EnvironmentsOf() []Environment {
	var out []Environment
	for _, env := range Environments {
		if _, ok := c.IDs[env]; ok {
			out = append(out, env)
		}
	}
	return out
}

// LiveSecrets lists the secrets in use in env.
func (c *Client) LiveSecrets(env Environment) []ClientSecret {
	return slices.DeleteFunc(slices.Clone(c.Secrets), func(s ClientSecret) bool {
		return s.Environment != env || !s.Live()
	})
}

// A Connection links an end user to a client in one environment. Tokens
// obtained through it carry its id as their grant.
type Connection struct {
	ID          ConnectionID
	Client      ClientID
	Environment Environment
	User        string
	UserSecret  []byte  // keyed digest
	Token       TokenID // allotted to the access token when the connection is made
	CreatedAt   time.Time
	DelinkedAt  time.Time // zero while linked
}

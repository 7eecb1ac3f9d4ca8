// Package gatehouse is a token authority for partner APIs: the words of the
// field as types, the Engine that issues, refreshes, exchanges, validates,
// introspects, revokes and delinks, and the Store that the engine needs.
//
// The package knows no SQL, no HTTP and no dialect. The packages around it are
// named for what they talk to: sqlite keeps the ledger, httpd speaks OAuth 2.0
// and the dialects, gate answers gateways, admin answers operators. A request
// takes two hops: handler, engine, store.
package gatehouse

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/token"
)

// An Environment separates rehearsal from business: a credential or token of
// one is worth nothing in the other.
type Environment string

// The environments of every installation.
const (
	Sandbox Environment = "sandbox"
	Live    Environment = "live"
)

// Environments lists them all, in the order in which people are shown them.
var Environments = []Environment{Sandbox, Live}

// ParseEnvironment returns the environment called s.
func ParseEnvironment(s string) (Environment, error) {
	switch e := Environment(s); e {
	case Sandbox, Live:
		return e, nil
	}
	return "", Refuse(InvalidRequest, ReasonMalformed, fmt.Sprintf("unknown environment %q: use sandbox or live", s))
}

// OAuth2 is the "dialect" of clients that speak standard OAuth 2.0, which is
// native code and not a dialect file.
const OAuth2 = "oauth2"

// Identifiers. A ClientID is what goes on the wire, decoded; it is never
// reused. The others are UUIDs, ordered by the time they were made.
type (
	ClientID     string
	TokenID      = token.ID
	SecretID     = token.ID
	GrantID      = token.ID // of a family of tokens: a connection's id, or the first refresh token's
	ConnectionID = token.ID
)

// An Actor is whoever asks for a change; every change names one and the audit
// record keeps it. It is always a parameter and never hides in a context.
type Actor struct {
	Kind    ActorKind
	ID      string     // client id, operator's name, end user's id; for the system the part that acts
	Addr    netip.Addr // where the request came from; zero for local ones
	Request string     // our request id, "" outside a request
}

// ActorKind says what an Actor is.
type ActorKind string

// The kinds of actor.
const (
	ByClient   ActorKind = "client"
	ByOperator ActorKind = "operator"
	ByUser     ActorKind = "user"
	BySystem   ActorKind = "system"
)

// System is Gatehouse acting by itself: schedules, first start.
func System(part string) Actor { return Actor{Kind: BySystem, ID: part} }

// A Rate allows Count events in each Per. The zero Rate allows any number.
type Rate struct {
	Count int
	Per   time.Duration
}

// IsZero reports whether the rate sets no bound.
func (r Rate) IsZero() bool { return r.Count == 0 }

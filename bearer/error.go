package bearer

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// An Error is why there is no token. Whoever waited for the same visit to the
// token endpoint gets the same one.
type Error struct {
	// Refused says that the endpoint won't give a token for these credentials
	// and settings, so that asking again is no use until they change.
	Refused bool
	// RetryAt is when the endpoint will be asked again; until then this error
	// is the answer.
	RetryAt time.Time
	// Err is a *[dialect.Refusal] where the endpoint answered.
	Err error
}

func (e *Error) Error() string {
	if e.Refused {
		return fmt.Sprintf("the token endpoint refused: %v: check the client id, the secret and the environment", e.Err)
	}
	return fmt.Sprintf("no token could be obtained: %v", e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// errSpent: a dialect with access codes has no second token to give.
var errSpent = errors.New("the access code has been used and its token is refused: connect the user again")

// isRefusal tells a refusal of what was asked from a server in trouble.
func isRefusal(err error) bool {
	if errors.Is(err, errSpent) {
		return true
	}
	var r *dialect.Refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.Code {
	case dialect.RateLimited, dialect.Unavailable, dialect.ServerError, dialect.Conflicting:
		return false
	case dialect.InvalidClient, dialect.UnauthorizedClient, dialect.InvalidGrant, dialect.UnsupportedGrantType,
		dialect.InvalidScope, dialect.InvalidTarget:
		return true
	}
	return r.Status >= 400 && r.Status < 500 && r.Status != 408 && r.Status != 425 && r.Status != 429
}

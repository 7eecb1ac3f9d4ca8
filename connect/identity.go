package connect

import (
	"context"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A User is an end user who has signed in.
type User struct {
	ID   string // as it goes on a connection; 1 to 200 printable characters
	Name string // as the pages greet them
}

// An Identity says who end users are. A part that is nil is not offered. Users
// are of one environment: one of the sandbox is nobody in live.
type Identity struct {
	Passwords Passwords
	Passkeys  Passkeys
	Upstream  Upstream
	// Standing reports AccessDenied where a user who signed in at that time may
	// not go on: disabled meanwhile, or removed, or with another password. nil is
	// that everybody may.
	Standing func(ctx context.Context, env gatehouse.Environment, userID string, signedIn time.Time) error
}

// Passwords signs users in by a name and a password.
type Passwords interface {
	// SignIn returns the user whose password it is. A refusal is a
	// *gatehouse.Error: AccessDenied for whatever is wrong, after the same
	// work, and RateLimited with RetryAfter.
	SignIn(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, name string, password secret.Text) (*User, error)
}

// Passkeys signs users in by WebAuthn. A ceremony is what Finish needs of
// Begin: the pages keep it in the store, out of the browser's reach, and hand it
// in once.
type Passkeys interface {
	// BeginSignIn returns the options of navigator.credentials.get.
	BeginSignIn(ctx context.Context, env gatehouse.Environment) (options jsontext.Value, ceremony []byte, err error)
	FinishSignIn(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, ceremony []byte, response jsontext.Value) (*User, error)
	// BeginRegistration returns the options of navigator.credentials.create
	// for a user who is signed in.
	BeginRegistration(ctx context.Context, env gatehouse.Environment, user *User) (options jsontext.Value, ceremony []byte, err error)
	FinishRegistration(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, user *User, ceremony []byte, response jsontext.Value) error
}

// Upstream signs users in at another provider, such as an OpenID Connect one.
type Upstream interface {
	// Name is what the button says.
	Name() string
	// Begin returns where the browser goes, and what Finish needs. callback is
	// the URL of ours to which the provider sends it back.
	Begin(ctx context.Context, env gatehouse.Environment, callback string) (location string, ceremony []byte, err error)
	// Finish reads the query that came back to callback.
	Finish(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, callback string, ceremony []byte, query url.Values) (*User, error)
}

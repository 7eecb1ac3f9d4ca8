// Package directory is the built-in list of end users: names with passwords and
// passkeys, for a provider that has no such list of its own. Users are kept as
// documents in the store, so any node serves any of them.
package directory

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/credential"
)

// Documents is what the directory needs of a gatehouse.Store.
type Documents interface {
	Keep(ctx context.Context, act *gatehouse.Act, docs ...gatehouse.Document) error
	Document(ctx context.Context, kind, key string) (*gatehouse.Document, error)
	Documents(ctx context.Context, kind, owner, after string, limit int) ([]gatehouse.Document, error)
}

// Config is what a Directory is made of. Store, Sealer and Now are required.
type Config struct {
	Store  Documents
	Sealer *credential.Sealer
	Now    func() time.Time
	// URL is where users reach the pages. Passkeys are bound to its host, which
	// must be a domain name: where it is an address, there are no passkeys.
	URL    string
	Limits bool                   // slow down wrong passwords
	Shared gatehouse.SharedLimits // counts them for all nodes; nil: each node for itself
	Checks int                    // passwords checked at once; 0 is 2, which is 128 MiB
	Cost   credential.Argon2      // of a new password; zero is what RFC 9106 recommends
	Logger *slog.Logger           // nil discards
}

// A Directory signs its users in. It is safe for concurrent use.
type Directory struct {
	store    Documents
	sealer   *credential.Sealer
	now      func() time.Time
	checker  *credential.Checker
	cost     credential.Argon2
	nobody   credential.Hash // what a password is checked against where there is no user
	tries    *tries
	webauthn *webauthn.WebAuthn // nil: no passkeys
	log      *slog.Logger
}

var (
	_ connect.Passwords = (*Directory)(nil)
	_ connect.Passkeys  = (*Directory)(nil)
)

// New makes a Directory.
func New(cfg Config) (*Directory, error) {
	checks := cfg.Checks
	if checks == 0 {
		checks = 2
	}
	d := &Directory{
		store: cfg.Store, sealer: cfg.Sealer, now: cfg.Now, checker: credential.NewChecker(checks), cost: cfg.Cost, log: cfg.Logger,
		tries: newTries(cfg.Shared, cfg.Now, cfg.Limits),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if d.nobody, err = d.cost.Nobodys(); err != nil {
		return nil, err
	}
	if d.webauthn, err = relyingParty(cfg.URL); err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return d, nil
}

// HasPasskeys reports whether passkeys can be had under the directory's URL.
func (d *Directory) HasPasskeys() bool { return d.webauthn != nil }

package node

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/connect/directory"
	"github.com/gatehouse-auth/gatehouse/connect/upstream"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// openIdentity makes what signs end users in: the provider that the settings
// name, else the built-in directory.
func (n *Node) openIdentity(sealer *credential.Sealer, shared gatehouse.SharedLimits) error {
	s := &n.settings
	if s.Upstream != nil {
		p, err := upstream.New(*s.Upstream)
		n.identity = connect.Identity{Upstream: p}
		return err
	}
	cfg := directory.Config{
		Store: n.store, Sealer: sealer, Now: n.engine.Now, URL: n.engine.Issuer(gatehouse.Live), Limits: s.Limits, Shared: shared, Logger: n.log,
	}
	if s.Dev { // the least that OWASP's Password Storage Cheat Sheet advises: dev starts at once
		cfg.Cost = credential.Argon2{Passes: 2, MemoryKiB: 19 << 10, Lanes: 1}
	}
	users, err := directory.New(cfg)
	if err != nil {
		return err
	}
	n.users, n.identity = users, connect.Identity{Passwords: users, Standing: users.Standing}
	if users.HasPasskeys() {
		n.identity.Passkeys = users
	}
	return nil
}

// A DemoUser is an end user of `gatehouse dev`, in the sandbox, as dev prints it.
type DemoUser struct {
	Environment string           `json:"environment"`
	Name        string           `json:"name"`
	Password    admin.Credential `json:"password"`
}

// demoUsers are the names of dev's users: one to sign in as, and one to be
// somebody else.
var demoUsers = []string{"alice@" + demoDomain, "bob@" + demoDomain}

// DemoUsers makes the users of dev, who can sign in to the Connect pages of the
// sandbox, and returns them with their passwords. What an earlier start made is
// returned as it is; whom somebody removed or gave another password is left out.
func (n *Node) DemoUsers(ctx context.Context) ([]DemoUser, error) {
	out := []DemoUser{}
	kept, err := loadDemo(n.settings.Dir)
	if err != nil || n.users == nil {
		return out, err
	}
	for _, name := range demoUsers {
		password, err := n.demoUser(ctx, name, kept)
		if err != nil {
			return nil, err
		}
		if !password.IsZero() {
			out = append(out, DemoUser{string(gatehouse.Sandbox), name, admin.Credential{Text: password}})
		}
	}
	return out, kept.save(n.settings.Dir)
}

// demoUser finds or makes a user, and returns the password where it is known.
func (n *Node) demoUser(ctx context.Context, name string, kept *demo) (secret.Text, error) {
	if known, ok := kept.Users[name]; ok {
		found, err := n.users.Find(ctx, gatehouse.Sandbox, name)
		if err != nil && gatehouse.AsError(err).Code != gatehouse.NotFound {
			return secret.Text{}, err
		}
		if err == nil && found.ID == known.UserID && found.PasswordSince.Equal(known.Since) {
			return known.Password.Text, nil
		}
		return secret.Text{}, nil
	}
	password := secret.New(strings.ToLower(rand.Text()[:16]))
	made, err := n.users.Create(ctx, gatehouse.System("dev"), directory.NewUser{Environment: gatehouse.Sandbox, Name: name, Password: password})
	if err != nil {
		var refused *gatehouse.Error
		if errors.As(err, &refused) && refused.Reason == gatehouse.ReasonExists {
			return secret.Text{}, nil // another directory's dev on this database made it
		}
		return secret.Text{}, err
	}
	if kept.Users == nil {
		kept.Users = map[string]demoSignIn{}
	}
	kept.Users[name] = demoSignIn{made.ID, admin.Credential{Text: password}, made.PasswordSince}
	return password, nil
}

package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// SignIn implements connect.Passwords. An unknown name, a wrong password, a
// user without one and a disabled user are one answer, after one hash.
func (d *Directory) SignIn(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, name string, password secret.Text) (*connect.User, error) {
	spelled, nameErr := normalName(name)
	if nameErr != nil {
		spelled = "" // is nobody's, and counted as one
	}
	var u *record
	if nameErr == nil {
		var err error
		u, err = d.byName(ctx, env, spelled)
		if err != nil && gatehouse.AsError(err).Code != gatehouse.NotFound {
			return nil, err
		}
	}
	from := networkOf(by.Addr)
	who := try{env: env, name: spelled, from: by.Addr, known: u != nil && slices.Contains(u.Networks, from)}
	if err := d.tries.wait(ctx, who); err != nil {
		return nil, err
	}
	reason, err := d.check(ctx, u, password)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return nil, d.tries.wrong(ctx, who, reason)
	}
	d.tries.right(ctx, who)
	d.remember(ctx, u, from)
	return u.signedIn(), nil
}

// check reports why the password does not sign the user in; u is nil for
// nobody.
func (d *Directory) check(ctx context.Context, u *record, password secret.Text) (gatehouse.Reason, error) {
	hash, reason := d.nobody, gatehouse.ReasonUnknownUser
	if u != nil && len(u.Password) > 0 {
		encoded, err := d.sealer.Open(sealedPassword, u.Password)
		if err != nil {
			return "", fmt.Errorf("opening the password of user %s: %w", u.ID, err)
		}
		if hash, err = credential.ParseHash(string(encoded)); err != nil {
			return "", fmt.Errorf("reading the password of user %s: %w", u.ID, err)
		}
	}
	given, isPassword := normalPassword(password)
	right, err := d.checker.Verify(ctx, hash, given)
	switch {
	case errors.Is(err, credential.ErrBusy):
		return "", busy(err)
	case err != nil:
		return "", err
	case u == nil:
		return reason, nil
	case !right || !isPassword || len(u.Password) == 0:
		return gatehouse.ReasonWrongPassword, nil
	case u.Disabled:
		return gatehouse.ReasonUserDisabled, nil
	}
	return "", nil
}

// keptNetworks is from how many networks a user is known.
const keptNetworks = 8

// networkOf is what of an address is remembered: what a provider gives to one
// household or office.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}

// remember keeps from where a user has signed in. It is no part of signing in:
// where it fails, the network stays unknown.
func (d *Directory) remember(ctx context.Context, u *record, from netip.Prefix) {
	if !from.IsValid() || slices.Contains(u.Networks, from) {
		return
	}
	u.Networks = append([]netip.Prefix{from}, u.Networks[:min(len(u.Networks), keptNetworks-1)]...)
	doc, err := u.document()
	if err == nil {
		err = d.store.Keep(ctx, nil, doc)
	}
	if err != nil {
		d.log.Info("a user's network could not be remembered", "user", u.ID, "error", err)
	}
}

// Standing reports whether a user who signed in earlier still may: nil, or a
// refusal (AccessDenied) where they were disabled or removed, or their password
// was changed since: a change signs out whoever knew the old one.
func (d *Directory) Standing(ctx context.Context, env gatehouse.Environment, id string, signedIn time.Time) error {
	u, err := d.byID(ctx, id)
	switch {
	case err != nil && gatehouse.AsError(err).Code == gatehouse.NotFound:
		return denied(gatehouse.ReasonUnknownUser)
	case err != nil:
		return err
	case u.env != env:
		return denied(gatehouse.ReasonWrongEnvironment)
	case u.Disabled:
		return denied(gatehouse.ReasonUserDisabled)
	case signedIn.Before(u.PasswordAt):
		return denied(gatehouse.ReasonExpired)
	}
	return nil
}

func denied(why gatehouse.Reason) error {
	return gatehouse.Refuse(gatehouse.AccessDenied, why, "")
}

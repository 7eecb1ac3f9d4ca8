package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A NewUser is what a user is created from. Without a password they can't sign
// in until they are given one.
type NewUser struct {
	Environment gatehouse.Environment
	Name        string
	Display     string
	Password    secret.Text
	// Remember makes what a repeated create is answered by; nil is nothing.
	Remember func(*User) (*gatehouse.Replay, error)
}

// Create adds a user.
func (d *Directory) Create(ctx context.Context, by gatehouse.Actor, n NewUser) (*User, error) {
	name, err := normalName(n.Name)
	if err != nil {
		return nil, wrong("name", err.Error())
	}
	if n.Environment, err = gatehouse.ParseEnvironment(string(n.Environment)); err != nil {
		return nil, err
	}
	if len(n.Display) > maxDisplay || slices.ContainsFunc([]rune(n.Display), unicode.IsControl) {
		return nil, wrong("display_name", "a name to greet by has at most 200 bytes, and no control characters")
	}
	u := &record{ID: newUserID(), Name: name, Display: n.Display, CreatedAt: d.now().Truncate(time.Millisecond), env: n.Environment}
	if !n.Password.IsZero() {
		if err := d.setPassword(ctx, u, n.Password); err != nil {
			return nil, err
		}
	}
	doc, err := u.document()
	if err != nil {
		return nil, err
	}
	act := d.act(by, "user.create", u)
	if n.Remember != nil {
		if act.Replay, err = n.Remember(u.shown()); err != nil {
			return nil, err
		}
	}
	err = d.store.Keep(ctx, &act, doc, gatehouse.Document{Kind: kindUserID, Key: u.ID, Value: []byte(doc.Key)})
	if errors.Is(err, gatehouse.ErrExists) {
		return nil, &gatehouse.Error{
			Code: gatehouse.Conflict, Reason: gatehouse.ReasonExists, Field: "name", Err: err,
			Message: fmt.Sprintf("the %s environment has a user called %s: see `gatehouse user list`", u.env, u.Name),
		}
	} else if err != nil {
		return nil, fmt.Errorf("keeping a user: %w", err)
	}
	return u.shown(), nil
}

// setPassword gives the record a password.
func (d *Directory) setPassword(ctx context.Context, u *record, password secret.Text) error {
	p, err := newPassword(password, u.Name)
	if err != nil {
		return err
	}
	hash, err := d.checker.HashPassword(ctx, d.cost, p)
	if errors.Is(err, credential.ErrBusy) {
		return busy(err)
	} else if err != nil {
		return err
	}
	u.PasswordAt = d.now().Truncate(time.Millisecond)
	u.Password, err = d.sealer.Seal(sealedPassword, []byte(hash.Reveal()))
	return err
}

func busy(err error) error {
	return &gatehouse.Error{Code: gatehouse.Unavailable, Reason: gatehouse.ReasonBusy, RetryAfter: time.Second, Err: err,
		Message: "too many passwords are being checked; try again"}
}

// User returns a user by their id.
func (d *Directory) User(ctx context.Context, id string) (*User, error) {
	u, err := d.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	return u.shown(), nil
}

// Find returns a user by their name.
func (d *Directory) Find(ctx context.Context, env gatehouse.Environment, name string) (*User, error) {
	n, err := normalName(name)
	if err != nil {
		return nil, wrong("name", err.Error())
	}
	u, err := d.byName(ctx, env, n)
	if err != nil {
		return nil, err
	}
	return u.shown(), nil
}

// Users lists up to limit users in the order of environment and name, those of
// one environment or of all (""), after the key that Key returns.
func (d *Directory) Users(ctx context.Context, env gatehouse.Environment, after string, limit int) ([]User, error) {
	docs, err := d.store.Documents(ctx, kindUser, string(env), after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	users := make([]User, 0, len(docs))
	for i := range docs {
		u, err := readRecord(&docs[i])
		if err != nil {
			return nil, err
		}
		users = append(users, *u.shown())
	}
	return users, nil
}

// Key is where a list that ended with u goes on.
func (u *User) Key() string { return userKey(u.Environment, u.Name) }

// SetDisabled lets a user sign in no more, or again. What the user has agreed
// to before stays: delink the connections to end it.
func (d *Directory) SetDisabled(ctx context.Context, by gatehouse.Actor, id string, disabled bool) (*User, error) {
	action := "user.enable"
	if disabled {
		action = "user.disable"
	}
	return d.change(ctx, by, action, id, func(u *record) error {
		u.Disabled = disabled
		return nil
	})
}

// SetPassword replaces a user's password. Passkeys and connections stay.
func (d *Directory) SetPassword(ctx context.Context, by gatehouse.Actor, id string, password secret.Text) (*User, error) {
	return d.change(ctx, by, "user.password", id, func(u *record) error { return d.setPassword(ctx, u, password) })
}

// Delete removes a user, who is found no more, and all that is kept of them
// here. The id is never given to another; the name may be.
func (d *Directory) Delete(ctx context.Context, by gatehouse.Actor, id string) (*User, error) {
	u, err := d.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	over := time.Unix(0, 0)
	lead, err := d.store.Document(ctx, kindUserID, id)
	if err != nil {
		return nil, fmt.Errorf("reading user %s: %w", id, err)
	}
	act := d.act(by, "user.delete", u)
	err = d.store.Keep(ctx, &act,
		gatehouse.Document{Kind: kindUser, Key: userKey(u.env, u.Name), Version: u.version, ExpiresAt: over},
		gatehouse.Document{Kind: kindUserID, Key: id, Version: lead.Version, ExpiresAt: over})
	if err != nil {
		return nil, fmt.Errorf("removing user %s: %w", id, err)
	}
	return u.shown(), nil
}

// change saves a changed copy of the newest version of a user.
func (d *Directory) change(ctx context.Context, by gatehouse.Actor, action, id string, f func(*record) error) (*User, error) {
	const tries = 5
	for try := 1; ; try++ {
		u, err := d.byID(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := f(u); err != nil {
			return nil, err
		}
		doc, err := u.document()
		if err != nil {
			return nil, err
		}
		act := d.act(by, action, u)
		if err = d.store.Keep(ctx, &act, doc); err == nil {
			return u.shown(), nil
		}
		if !errors.Is(err, gatehouse.ErrConflict) || try == tries {
			return nil, fmt.Errorf("saving user %s: %w", id, err)
		}
	}
}

func (d *Directory) byName(ctx context.Context, env gatehouse.Environment, name string) (*record, error) {
	doc, err := d.store.Document(ctx, kindUser, userKey(env, name))
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, noUser(err, fmt.Sprintf("the %s environment has no user %q: see `gatehouse user list`", env, name))
	} else if err != nil {
		return nil, fmt.Errorf("reading a user: %w", err)
	}
	return readRecord(doc)
}

func (d *Directory) byID(ctx context.Context, id string) (*record, error) {
	none := func(err error) error {
		return noUser(err, fmt.Sprintf("no user has the id %q: see `gatehouse user list`", id))
	}
	lead, err := d.store.Document(ctx, kindUserID, id)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, none(err)
	} else if err != nil {
		return nil, fmt.Errorf("reading a user: %w", err)
	}
	doc, err := d.store.Document(ctx, kindUser, string(lead.Value))
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, none(err) // removed meanwhile
	} else if err != nil {
		return nil, fmt.Errorf("reading a user: %w", err)
	}
	u, err := readRecord(doc)
	if err == nil && u.ID != id {
		return nil, none(gatehouse.ErrNotFound)
	}
	return u, err
}

func noUser(err error, message string) error {
	return &gatehouse.Error{Code: gatehouse.NotFound, Reason: gatehouse.ReasonUnknownUser, Field: "user", Message: message, Err: err}
}

// act begins the audit record of a change of a user.
func (d *Directory) act(by gatehouse.Actor, action string, u *record) gatehouse.Act {
	return gatehouse.Act{
		At: d.now().Truncate(time.Millisecond), By: by, Action: action, Subject: u.ID,
		Detail: map[string]string{"environment": string(u.env), "name": u.Name},
	}
}

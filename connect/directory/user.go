package directory

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/text/secure/precis"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A User is an end user of the directory, of one environment.
type User struct {
	ID          string // random, never reused: what goes on connections
	Environment gatehouse.Environment
	Name        string // unique in the environment, in one spelling
	Display     string // as pages greet them; "" is Name
	Disabled    bool
	// PasswordSince is when the password was set; zero is no password.
	PasswordSince time.Time
	Passkeys      int
	CreatedAt     time.Time
}

// Kinds of documents. A user's key is the environment and the name, so that
// names are unique and a sign-in reads one document; an id leads there.
const (
	kindUser   = "user"
	kindUserID = "user-id"
)

// A record is a user as it is kept.
type record struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Display    string         `json:"display,omitzero"`
	Password   []byte         `json:"password,omitzero"` // an Argon2id hash, sealed
	PasswordAt time.Time      `json:"password_at,omitzero"`
	Disabled   bool           `json:"disabled,omitzero"`
	CreatedAt  time.Time      `json:"created_at"`
	Networks   []netip.Prefix `json:"networks,omitzero"` // from where they signed in last, newest first
	Passkeys   []passkey      `json:"passkeys,omitzero"`

	env     gatehouse.Environment
	version int64
}

// A passkey is a credential and when it was made.
type passkey struct {
	Credential webauthn.Credential `json:"credential"`
	AddedAt    time.Time           `json:"added_at"`
}

const sealedPassword = "user password"

func userKey(env gatehouse.Environment, name string) string { return string(env) + "/" + name }

func readRecord(doc *gatehouse.Document) (*record, error) {
	env, name, ok := strings.Cut(doc.Key, "/")
	u := &record{}
	if err := json.Unmarshal(doc.Value, u); err != nil || !ok || u.Name != name {
		return nil, fmt.Errorf("the document of user %q is damaged: %w", doc.Key, err)
	}
	u.env, u.version = gatehouse.Environment(env), doc.Version
	return u, nil
}

func (u *record) document() (gatehouse.Document, error) {
	value, err := json.Marshal(u)
	return gatehouse.Document{Kind: kindUser, Key: userKey(u.env, u.Name), Owner: string(u.env), Value: value, Version: u.version}, err
}

func (u *record) shown() *User {
	return &User{
		ID: u.ID, Environment: u.env, Name: u.Name, Display: u.Display, Disabled: u.Disabled,
		PasswordSince: u.PasswordAt, Passkeys: len(u.Passkeys), CreatedAt: u.CreatedAt,
	}
}

// signedIn is the user as the pages see them.
func (u *record) signedIn() *connect.User {
	name := u.Display
	if name == "" {
		name = u.Name
	}
	return &connect.User{ID: u.ID, Name: name}
}

// newUserID is random, so that it is like no client's id, which RFC 9700 §4.15
// warns of.
func newUserID() string { return "user_" + rand.Text() }

// Bounds, in bytes.
const (
	maxName     = 128
	maxDisplay  = 200
	minPassword = 12 // characters
	maxPassword = 256
)

var errName = errors.New("a name is 1 to 128 bytes of letters, digits and signs, without spaces, such as alice or alice@example.com")

// normalName is the one spelling of a name (RFC 8265 §3.3: case and width do
// not tell names apart).
func normalName(name string) (string, error) {
	if len(name) > maxName {
		return "", errName
	}
	n, err := precis.UsernameCaseMapped.String(name)
	if err != nil || n == "" || len(n) > maxName || strings.Contains(n, "/") {
		return "", errName
	}
	return n, nil
}

// normalPassword makes one password of the ways in which keyboards compose it
// (RFC 8265 §4.2). ok is false for what is no password at all.
func normalPassword(password secret.Text) (normal secret.Text, ok bool) {
	if len(password.Reveal()) > maxPassword {
		return secret.Text{}, false
	}
	p, err := precis.OpaqueString.String(password.Reveal())
	if err != nil || len(p) > maxPassword {
		return secret.Text{}, false
	}
	return secret.New(p), true
}

// newPassword is normalPassword for a password that is being chosen.
func newPassword(password secret.Text, name string) (secret.Text, error) {
	p, ok := normalPassword(password)
	switch {
	case !ok:
		return p, wrong("password", "a password has at most 256 bytes, and no control characters")
	case utf8.RuneCountInString(p.Reveal()) < minPassword:
		return p, wrong("password", "a password has at least 12 characters: a few words make a good one")
	case strings.EqualFold(p.Reveal(), name):
		return p, wrong("password", "the password is the name: choose another one")
	case repeats(p.Reveal()):
		return p, wrong("password", "the password repeats one character: choose another one")
	}
	return p, nil
}

func repeats(s string) bool {
	first, size := utf8.DecodeRuneInString(s)
	return strings.Trim(s[size:], string(first)) == ""
}

func wrong(field, message string) error {
	e := gatehouse.Refuse(gatehouse.InvalidRequest, gatehouse.ReasonMalformed, message)
	e.Field = field
	return e
}

package directory

import (
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
)

var site = virtualwebauthn.RelyingParty{ID: "auth.example.com", Name: "auth.example.com", Origin: "https://auth.example.com"}

// A device is an authenticator that holds one passkey of a user.
type device struct {
	virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

// register has the user make a passkey on a device that verifies them or not.
func (f *fixture) register(u *User, at virtualwebauthn.RelyingParty, verifies bool) (*device, error) {
	f.Helper()
	who := &connect.User{ID: u.ID}
	options, begun, err := f.BeginRegistration(f.Context(), u.Environment, who)
	f.ok(err)
	for _, want := range []string{`"residentKey":"required"`, `"userVerification":"required"`} {
		if !strings.Contains(string(options), want) {
			f.Errorf("the options lack %s: %s", want, options)
		}
	}
	asked, err := virtualwebauthn.ParseAttestationOptions(string(options))
	f.ok(err)
	d := &device{key: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
	d.Authenticator = virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(u.ID), UserNotVerified: !verifies})
	response := virtualwebauthn.CreateAttestationResponse(at, d.Authenticator, d.key, *asked)
	d.AddCredential(d.key)
	return d, f.FinishRegistration(f.Context(), operator, u.Environment, who, begun, jsontext.Value(response))
}

// use signs in with a device, in an environment; begun is another ceremony's
// where it isn't nil.
func (f *fixture) use(d *device, env gatehouse.Environment, at virtualwebauthn.RelyingParty, begun []byte) (*connect.User, error) {
	f.Helper()
	options, own, err := f.BeginSignIn(f.Context(), env)
	f.ok(err)
	if begun == nil {
		begun = own
	}
	asked, err := virtualwebauthn.ParseAssertionOptions(string(options))
	f.ok(err)
	response := virtualwebauthn.CreateAssertionResponse(at, d.Authenticator, d.key, *asked)
	return f.FinishSignIn(f.Context(), operator, env, begun, jsontext.Value(response))
}

func TestPasskeys(t *testing.T) {
	f := newFixture(t, true)
	alice := f.create(gatehouse.Live, "alice")
	phone, err := f.register(alice, site, true)
	f.ok(err)
	for range 3 {
		phone.key.Counter++
		u, err := f.use(phone, gatehouse.Live, site, nil)
		f.ok(err)
		if u.ID != alice.ID {
			t.Fatalf("signed in as %+v", u)
		}
	}
	second, err := f.register(alice, site, true)
	f.ok(err)
	second.key.Counter++
	_, err = f.use(second, gatehouse.Live, site, nil)
	f.ok(err)

	t.Run("a copy of a passkey shows by its counter", func(t *testing.T) {
		stale := *second
		stale.key.Counter = 1
		_, err := f.use(&stale, gatehouse.Live, site, nil)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonReplayed)
	})
	t.Run("another environment", func(t *testing.T) {
		phone.key.Counter++
		_, err := f.use(phone, gatehouse.Sandbox, site, nil)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
	})
	t.Run("another site", func(t *testing.T) {
		phone.key.Counter++
		for _, other := range []virtualwebauthn.RelyingParty{
			{ID: site.ID, Name: site.Name, Origin: "https://evil.example.com"},
			{ID: "evil.example.com", Name: site.Name, Origin: "https://evil.example.com"},
		} {
			_, err := f.use(phone, gatehouse.Live, other, nil)
			f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
			_, err = f.register(alice, other, true)
			f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
		}
	})
	t.Run("another ceremony", func(t *testing.T) {
		phone.key.Counter++
		_, begun, err := f.BeginSignIn(t.Context(), gatehouse.Live)
		f.ok(err)
		_, err = f.use(phone, gatehouse.Live, site, begun)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
		_, registering, err := f.BeginRegistration(t.Context(), gatehouse.Live, &connect.User{ID: alice.ID})
		f.ok(err)
		_, err = f.use(phone, gatehouse.Live, site, registering)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongEnvironment)
	})
	t.Run("a device that does not verify its user", func(t *testing.T) {
		_, err := f.register(alice, site, false)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
		phone.key.Counter++
		careless := *phone
		careless.Options.UserNotVerified = true
		_, err = f.use(&careless, gatehouse.Live, site, nil)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
	})
	t.Run("somebody else's key", func(t *testing.T) {
		forged := *phone
		forged.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		forged.key.ID = phone.key.ID
		_, err := f.use(&forged, gatehouse.Live, site, nil)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
	})
	t.Run("a registration in somebody else's name", func(t *testing.T) {
		bob := f.create(gatehouse.Live, "bob")
		_, begun, err := f.BeginRegistration(t.Context(), gatehouse.Live, &connect.User{ID: alice.ID})
		f.ok(err)
		err = f.FinishRegistration(t.Context(), operator, gatehouse.Live, &connect.User{ID: bob.ID}, begun, jsontext.Value("{}"))
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongEnvironment)
	})
	t.Run("what is no answer", func(t *testing.T) {
		_, begun, err := f.BeginSignIn(t.Context(), gatehouse.Live)
		f.ok(err)
		for _, response := range []string{"", "null", "{}", "[]", `{"id":"x"}`, strings.Repeat("[", 10_000), "\xff"} {
			_, err := f.FinishSignIn(t.Context(), operator, gatehouse.Live, begun, jsontext.Value(response))
			f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
		}
	})
	t.Run("a disabled user", func(t *testing.T) {
		_, err := f.SetDisabled(t.Context(), operator, alice.ID, true)
		f.ok(err)
		phone.key.Counter++
		_, err = f.use(phone, gatehouse.Live, site, nil)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonUserDisabled)
	})
	t.Run("a removed user", func(t *testing.T) {
		_, err := f.Delete(t.Context(), operator, alice.ID)
		f.ok(err)
		phone.key.Counter++
		_, err = f.use(phone, gatehouse.Live, site, nil)
		f.refused(err, gatehouse.AccessDenied, gatehouse.ReasonWrongPasskey)
	})
}

// Passkeys are bound to a domain name; an address is none.
func TestNoPasskeysUnderAnAddress(t *testing.T) {
	for base, want := range map[string]bool{"http://127.0.0.1:8080": false, "http://[::1]:8080": false, "http://localhost:8080": true, "https://auth.example.com/path": true} {
		w, err := relyingParty(base)
		if err != nil || (w != nil) != want {
			t.Errorf("%s: %v, %v", base, w != nil, err)
		}
	}
}

package directory

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

var operator = gatehouse.Actor{Kind: gatehouse.ByOperator, ID: "operator"}

// from is somebody at an address.
func from(addr string) gatehouse.Actor {
	return gatehouse.Actor{Kind: gatehouse.ByUser, Addr: netip.MustParseAddr(addr)}
}

var goodPassword = secret.New("correct horse battery")

// A fixture is a directory on a real store, with a clock that only the test
// moves.
type fixture struct {
	*testing.T
	*Directory
	store gatehouse.Store
	mu    sync.Mutex
	at    time.Time
}

func newFixture(t *testing.T, limits bool) *fixture {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	sealer, err := credential.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, store: store, at: time.Now()}
	f.Directory, err = New(Config{
		Store: store, Sealer: sealer, URL: "https://auth.example.com", Limits: limits, Now: f.clock,
		Cost: credential.Argon2{Passes: 1, MemoryKiB: 64, Lanes: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// refused ends the test unless err is this refusal.
func (f *fixture) refused(err error, code gatehouse.Code, reason gatehouse.Reason) {
	f.Helper()
	var e *gatehouse.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		f.Fatalf("got %v, want %s (%s)", err, code, reason)
	}
}

func (f *fixture) create(env gatehouse.Environment, name string) *User {
	f.Helper()
	u, err := f.Create(f.Context(), operator, NewUser{Environment: env, Name: name, Password: goodPassword})
	f.ok(err)
	return u
}

// signIn tries a password from an address.
func (f *fixture) signIn(env gatehouse.Environment, name, password, addr string) error {
	_, err := f.SignIn(f.Context(), from(addr), env, name, secret.New(password))
	return err
}

func TestSignIn(t *testing.T) {
	f := newFixture(t, true)
	alice, err := f.Create(t.Context(), operator, NewUser{Environment: gatehouse.Live, Name: "Alice@Example.com", Display: "Alice", Password: goodPassword})
	f.ok(err)
	if alice.Name != "alice@example.com" || !strings.HasPrefix(alice.ID, "user_") {
		t.Errorf("%+v", alice)
	}
	for _, name := range []string{"alice@example.com", "ALICE@EXAMPLE.COM", "ａｌｉｃｅ@example.com"} { // the last in full width
		u, err := f.SignIn(t.Context(), from("192.0.2.1"), gatehouse.Live, name, goodPassword)
		f.ok(err)
		if u.ID != alice.ID || u.Name != "Alice" {
			t.Errorf("%+v", u)
		}
	}
	const right = "correct horse battery"
	f.refused(f.signIn(gatehouse.Live, "alice@example.com", "wrong horse battery", "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonWrongPassword)
	f.refused(f.signIn(gatehouse.Sandbox, "alice@example.com", right, "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
	for _, name := range []string{"bob", "", "a b", "alice/../alice", "\xff", "a\x00b", strings.Repeat("a", 10_000)} {
		f.refused(f.signIn(gatehouse.Live, name, right, "192.0.2.2"), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
		f.pass(time.Minute)
	}
	for _, password := range []string{"", "\x00", "\xff", strings.Repeat("x", 1<<20), right + " "} {
		f.refused(f.signIn(gatehouse.Live, "alice@example.com", password, "192.0.2.3"), gatehouse.AccessDenied, gatehouse.ReasonWrongPassword)
		f.pass(time.Minute)
	}
	// One password, however a keyboard composes it.
	_, err = f.SetPassword(t.Context(), operator, alice.ID, secret.New("schöne grüße an alle"))
	f.ok(err)
	f.ok(f.signIn(gatehouse.Live, "alice@example.com", "scho\u0308ne gru\u0308ße an alle", "192.0.2.1"))
}

func TestUsersOfTheirLives(t *testing.T) {
	f := newFixture(t, false)
	alice := f.create(gatehouse.Live, "alice")
	if _, err := f.Create(t.Context(), operator, NewUser{Environment: gatehouse.Live, Name: "ALICE", Password: goodPassword}); err == nil {
		t.Error("a name was taken twice")
	} else {
		f.refused(err, gatehouse.Conflict, gatehouse.ReasonExists)
	}
	f.create(gatehouse.Sandbox, "alice")
	f.create(gatehouse.Live, "bob")
	_, err := f.SetDisabled(t.Context(), operator, alice.ID, true)
	f.ok(err)
	f.refused(f.signIn(gatehouse.Live, "alice", goodPassword.Reveal(), "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonUserDisabled)
	f.refused(f.Standing(t.Context(), gatehouse.Live, alice.ID, f.now()), gatehouse.AccessDenied, gatehouse.ReasonUserDisabled)
	_, err = f.SetDisabled(t.Context(), operator, alice.ID, false)
	f.ok(err)
	f.ok(f.signIn(gatehouse.Live, "alice", goodPassword.Reveal(), "192.0.2.1"))
	f.ok(f.Standing(t.Context(), gatehouse.Live, alice.ID, f.now()))
	f.refused(f.Standing(t.Context(), gatehouse.Sandbox, alice.ID, f.now()), gatehouse.AccessDenied, gatehouse.ReasonWrongEnvironment)

	_, err = f.SetPassword(t.Context(), operator, alice.ID, secret.New("another good one"))
	f.ok(err)
	f.refused(f.signIn(gatehouse.Live, "alice", goodPassword.Reveal(), "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonWrongPassword)
	f.ok(f.signIn(gatehouse.Live, "alice", "another good one", "192.0.2.1"))

	list := func(env gatehouse.Environment) (names []string) {
		users, err := f.Users(t.Context(), env, "", 10)
		f.ok(err)
		for _, u := range users {
			names = append(names, u.Key())
		}
		return names
	}
	if got := fmt.Sprint(list(""), list(gatehouse.Sandbox)); got != "[live/alice live/bob sandbox/alice] [sandbox/alice]" {
		t.Error(got)
	}
	_, err = f.Delete(t.Context(), operator, alice.ID)
	f.ok(err)
	f.refused(f.signIn(gatehouse.Live, "alice", "another good one", "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
	f.refused(f.Standing(t.Context(), gatehouse.Live, alice.ID, f.now()), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
	_, err = f.User(t.Context(), alice.ID)
	f.refused(err, gatehouse.NotFound, gatehouse.ReasonUnknownUser)
	again := f.create(gatehouse.Live, "alice")
	if again.ID == alice.ID {
		t.Error("an id was used again")
	}
	f.refused(f.Standing(t.Context(), gatehouse.Live, alice.ID, f.now()), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)

	events, err := f.store.Audit(t.Context(), 0, 100)
	f.ok(err)
	actions := []string{}
	for _, e := range events {
		actions = append([]string{e.Action}, actions...)
		for k, v := range e.Detail {
			if k == "password" || strings.Contains(v, "argon2") || strings.Contains(v, "good one") {
				t.Errorf("event %s tells %s", e.Action, k)
			}
		}
	}
	if got := strings.Join(actions, " "); got != "user.create user.create user.create user.disable user.enable user.password user.delete user.create" {
		t.Error(got)
	}
}

func TestBadUsersAreRefused(t *testing.T) {
	f := newFixture(t, false)
	for name, n := range map[string]NewUser{
		"no environment":              {Name: "alice", Password: goodPassword},
		"no such environment":         {Environment: "test", Name: "alice", Password: goodPassword},
		"no name":                     {Environment: gatehouse.Live, Password: goodPassword},
		"a space in the name":         {Environment: gatehouse.Live, Name: "a b", Password: goodPassword},
		"a slash in the name":         {Environment: gatehouse.Live, Name: "a/b", Password: goodPassword},
		"a line end in the name":      {Environment: gatehouse.Live, Name: "a\r\nb", Password: goodPassword},
		"a long name":                 {Environment: gatehouse.Live, Name: strings.Repeat("a", 129), Password: goodPassword},
		"a display name of two lines": {Environment: gatehouse.Live, Name: "alice", Display: "a\nb", Password: goodPassword},
		"a short password":            {Environment: gatehouse.Live, Name: "alice", Password: secret.New("short")},
		"the name as password":        {Environment: gatehouse.Live, Name: "alice@example.com", Password: secret.New("Alice@Example.com")},
		"one character":               {Environment: gatehouse.Live, Name: "alice", Password: secret.New(strings.Repeat("ä", 20))},
		"a password with NUL":         {Environment: gatehouse.Live, Name: "alice", Password: secret.New("correct\x00horse battery")},
		"a long password":             {Environment: gatehouse.Live, Name: "alice", Password: secret.New(strings.Repeat("ab", 200))},
	} {
		if _, err := f.Create(t.Context(), operator, n); gatehouse.AsError(err).Code != gatehouse.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A password is looked for in all that the store has on its disk.
func TestPasswordIsSealed(t *testing.T) {
	f := newFixture(t, false)
	u := f.create(gatehouse.Live, "alice")
	doc, err := f.store.Document(t.Context(), kindUser, "live/alice")
	f.ok(err)
	for _, trace := range []string{goodPassword.Reveal(), "argon2"} {
		if strings.Contains(string(doc.Value), trace) {
			t.Errorf("the document of %s tells %s", u.ID, trace)
		}
	}
}

func TestWrongPasswordsSlowDown(t *testing.T) {
	f := newFixture(t, true)
	f.create(gatehouse.Live, "alice")
	right := goodPassword.Reveal()
	f.ok(f.signIn(gatehouse.Live, "alice", right, "198.51.100.1")) // known from here on
	wrong := func(name, addr string) error { return f.signIn(gatehouse.Live, name, "wrong horse battery", addr) }

	for range perPair.Free {
		f.refused(wrong("alice", "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonWrongPassword)
	}
	// Even the right one has to wait, at this address alone.
	f.refused(f.signIn(gatehouse.Live, "alice", right, "192.0.2.1"), gatehouse.RateLimited, gatehouse.ReasonWrongPasswords)
	f.ok(f.signIn(gatehouse.Live, "alice", right, "192.0.2.2"))
	f.pass(2 * time.Second)
	f.ok(f.signIn(gatehouse.Live, "alice", right, "192.0.2.1"))
	f.refused(wrong("alice", "192.0.2.1"), gatehouse.AccessDenied, gatehouse.ReasonWrongPassword) // forgiven

	// A name that nobody has is slowed down alike.
	for range perPair.Free {
		f.refused(wrong("nobody", "192.0.2.9"), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
	}
	f.refused(wrong("nobody", "192.0.2.9"), gatehouse.RateLimited, gatehouse.ReasonWrongPasswords)

	// Many addresses at one name: strangers wait, the user at home doesn't.
	for i := range perName.Free {
		err := wrong("alice", fmt.Sprintf("203.0.113.%d", i))
		if gatehouse.AsError(err).Code == gatehouse.RateLimited {
			break
		}
	}
	f.refused(f.signIn(gatehouse.Live, "alice", right, "203.0.113.250"), gatehouse.RateLimited, gatehouse.ReasonWrongPasswords)
	f.ok(f.signIn(gatehouse.Live, "alice", right, "198.51.100.77")) // the same network
	f.pass(perName.Longest)
	f.ok(f.signIn(gatehouse.Live, "alice", right, "203.0.113.250"))

	// One address at many names.
	for i := range perAddress.Free {
		f.refused(wrong(fmt.Sprintf("user%d", i), "2001:db8::1"), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
	}
	f.refused(wrong("another", "2001:db8::ffff"), gatehouse.RateLimited, gatehouse.ReasonWrongPasswords) // the same subscriber
	f.refused(wrong("another", "2001:db8:1::1"), gatehouse.AccessDenied, gatehouse.ReasonUnknownUser)
}

// An attacker who never stops costs a user a minute's wait at most.
func TestNobodyIsLockedOut(t *testing.T) {
	f := newFixture(t, true)
	f.create(gatehouse.Live, "alice")
	for i := range 2_000 {
		_ = f.signIn(gatehouse.Live, "alice", "wrong horse battery", fmt.Sprintf("2001:db8:%x::1", i))
		f.pass(time.Second)
	}
	f.pass(time.Minute)
	f.ok(f.signIn(gatehouse.Live, "alice", goodPassword.Reveal(), "192.0.2.1"))
}

// The work is the same, whoever is asked for: one hash of the same cost.
func TestUnknownUserTakesAsLong(t *testing.T) {
	f := newFixture(t, false)
	f.cost = credential.Argon2{Passes: 1, MemoryKiB: 8 << 10, Lanes: 1}
	var err error
	f.nobody, err = f.cost.Nobodys()
	f.ok(err)
	f.create(gatehouse.Live, "alice")
	_, err = f.Create(t.Context(), operator, NewUser{Environment: gatehouse.Live, Name: "keyless"})
	f.ok(err)
	gone := f.create(gatehouse.Live, "gone")
	_, err = f.SetDisabled(t.Context(), operator, gone.ID, true)
	f.ok(err)
	least := map[string]time.Duration{}
	for range 15 { // interleaved; the least is what the machine's other work has least to do with
		for _, name := range []string{"alice", "nobody", "not a name", "keyless", "gone"} {
			start := time.Now()
			if f.signIn(gatehouse.Live, name, "wrong horse battery", "192.0.2.1") == nil {
				t.Fatal("a wrong password passed")
			}
			if took := time.Since(start); least[name] == 0 || took < least[name] {
				least[name] = took
			}
		}
	}
	for name, took := range least {
		if took < least["alice"]/10 || took > 10*least["alice"] {
			t.Errorf("%s took %v, alice %v", name, took, least["alice"])
		}
	}
	t.Log(least)
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"alice", "Alice@Example.com", "ａ", "", "a/b", "İ", "ß", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := normalName(s)
		if err != nil {
			return
		}
		if again, err := normalName(n); err != nil || again != n || strings.ContainsAny(n, "/ \x00\r\n") {
			t.Errorf("%q becomes %q, and that %q, %v", s, n, again, err)
		}
	})
}

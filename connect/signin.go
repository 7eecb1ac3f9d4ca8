package connect

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// purpose is what a visitor signs in for: an app's request, or else a look at
// their connections in one environment.
type purpose struct {
	ask    *Ask
	handle string
	env    gatehouse.Environment
}

func (v *visit) purpose() (purpose, error) {
	if handle := v.params.Get("request"); handle != "" {
		a, err := v.ask(handle, false)
		if err != nil {
			return purpose{}, err
		}
		return purpose{a, handle, a.Environment}, nil
	}
	name := v.params.Get("environment")
	if name == "" {
		name = string(gatehouse.Live)
	}
	env, err := gatehouse.ParseEnvironment(name)
	return purpose{env: env}, err
}

// params are what a link or form must hold to be for the same purpose.
func (f *purpose) params() []string {
	if f.ask != nil {
		return []string{"request", f.handle}
	}
	return []string{"environment", string(f.env)}
}

func (v *visit) showSignIn() error {
	f, err := v.purpose()
	if err != nil {
		return err
	}
	s, err := v.session(f.env, f.ask, f.handle)
	if err != nil {
		return err
	}
	if s != nil {
		return v.signedIn(f)
	}
	return v.signInPage(f, http.StatusOK, "", "")
}

// next is what the user has signed in for.
func (v *visit) next(f purpose) string {
	if f.ask == nil {
		return v.link("/connect/connections", f.params()...)
	}
	return v.link("/connect/consent", f.params()...)
}

func (v *visit) signedIn(f purpose) error {
	v.redirect(v.next(f))
	return nil
}

// signInPage shows the form, with what was wrong with the last try.
func (v *visit) signInPage(f purpose, status int, name, problem string) error {
	p := v.page(f, "signin.title")
	p.SignIn = &signInView{
		Name: name, Problem: problem, Passwords: v.identity.Passwords != nil, Passkeys: v.identity.Passkeys != nil && !p.framed(),
	}
	if v.identity.Upstream != nil && !p.framed() { // providers don't let themselves be framed
		p.SignIn.Upstream, p.leaves = v.identity.Upstream.Name(), v.callbackURL()
	}
	if name == "" && f.ask != nil {
		p.SignIn.Name = f.ask.Hint
	}
	return v.render(status, "signin", p)
}

func (v *visit) signIn() error {
	f, err := v.purpose()
	if err != nil {
		return err
	}
	if err := v.checkForm(f.env, f.ask); err != nil {
		return err
	}
	if v.identity.Passwords == nil {
		return gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
	name, password := v.params.Get("name"), v.params.Get("password")
	if name == "" || password == "" {
		return v.signInPage(f, http.StatusUnprocessableEntity, name, "signin.missing")
	}
	user, err := v.identity.Passwords.SignIn(v.r.Context(), v.by, f.env, name, secret.New(password))
	if err != nil {
		refusal := gatehouse.AsError(err)
		if refusal.Code != gatehouse.AccessDenied {
			return err
		}
		if err := v.signInPage(f, http.StatusForbidden, name, "signin.wrong"); err != nil {
			return err
		}
		return &shown{refusal}
	}
	return v.enter(f, user)
}

// enter begins the session of a user who has signed in.
func (v *visit) enter(f purpose, u *User) error {
	named, err := v.startSession(f.env, f.ask, f.handle, u)
	if err != nil {
		return err
	}
	v.by.ID = u.ID
	if f.ask != nil && f.ask.Frame {
		return v.consentPage(f, u, named) // there is no cookie to find the session by on another page
	}
	return v.signedIn(f)
}

// signOut ends the session. What was under way goes on as somebody else.
func (v *visit) signOut() error {
	f, err := v.purpose()
	if err != nil {
		return err
	}
	if err := v.checkForm(f.env, f.ask); err != nil {
		return err
	}
	if err := v.endSession(f.env); err != nil {
		return err
	}
	v.setCookie(f.env, "")
	return v.goTo("/connect/sign-in", f.params()...)
}

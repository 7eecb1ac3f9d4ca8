package connect

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// A session is a user who has signed in, in one environment. At the top of the
// browser's window a cookie names it. In a frame no cookie is set or read, so
// that nothing that the user did elsewhere can be used by the page around it:
// there the forms carry a session that is good for that one request.
type session struct {
	Environment gatehouse.Environment `json:"environment"`
	User        User                  `json:"user"`
	SignedInAt  time.Time             `json:"signed_in_at"`
	Request     string                `json:"request,omitempty"` // of a frame: the key of the one request that it is for
}

const (
	sessionLife      = 8 * time.Hour
	frameSessionLife = 10 * time.Minute
)

// cookieName is one for each environment: a test user and a customer are
// different people. The prefix keeps other sites of the domain from setting it
// (RFC 6265bis §4.1.3.2).
func (p *Pages) cookieName(env gatehouse.Environment) string {
	name := "gatehouse-connect-" + string(env)
	if p.secure {
		name = "__Host-" + name
	}
	return name
}

func (v *visit) setCookie(env gatehouse.Environment, value string) {
	c := http.Cookie{
		Name: v.cookieName(env), Value: value, Path: "/", HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, &c)
}

// cookie is the browser's secret in env, "" where it has none.
func (v *visit) cookie(env gatehouse.Environment) string {
	c, err := v.r.Cookie(v.cookieName(env))
	if err != nil || len(c.Value) > maxHandle {
		return ""
	}
	return c.Value
}

// browser is cookie, and gives the browser one where it has none.
func (v *visit) browser(env gatehouse.Environment) string {
	if c := v.cookie(env); c != "" {
		return c
	}
	c := rand.Text()
	v.setCookie(env, c)
	return c
}

// csrfOf is what the forms of a browser hold, so that no other site can fill
// them in. It is made from the cookie, and doesn't tell it.
func csrfOf(cookie string) string {
	sum := sha256.Sum256([]byte("form of " + cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// checkForm refuses a form that was not made for this browser.
func (v *visit) checkForm(env gatehouse.Environment, a *Ask) error {
	if a != nil && a.Frame {
		return nil // no cookie speaks for the user there
	}
	cookie := v.cookie(env)
	if cookie == "" || subtle.ConstantTimeCompare([]byte(csrfOf(cookie)), []byte(v.params.Get("csrf"))) != 1 {
		return &gatehouse.Error{Code: gatehouse.AccessDenied, Reason: reasonNoCookie, Message: "the form is of another sign-in, or the browser keeps no cookies"}
	}
	return nil
}

// session returns who has signed in, or nil. a is the request under way, if one
// is; handle names it.
func (v *visit) session(env gatehouse.Environment, a *Ask, handle string) (*session, error) {
	named, request := v.cookie(env), ""
	if a != nil && a.Frame {
		named, request = v.params.Get("session"), keyOf(handle)
	}
	s := new(session)
	err := v.find(v.r.Context(), kindSession, named, false, s)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if s.Environment != env || s.Request != request || a != nil && a.Fresh && s.SignedInAt.Before(a.Asked) {
		return nil, nil
	}
	if v.identity.Standing != nil {
		if err := v.identity.Standing(v.r.Context(), env, s.User.ID, s.SignedInAt); err != nil {
			if gatehouse.AsError(err).Code == gatehouse.AccessDenied {
				return nil, nil // as if nobody had signed in: the next try says why
			}
			return nil, err
		}
	}
	v.by.ID = s.User.ID
	return s, nil
}

// startSession begins a session, under a name that nobody knew before the user
// had signed in.
func (v *visit) startSession(env gatehouse.Environment, a *Ask, handle string, u *User) (named string, err error) {
	s := session{Environment: env, User: *u, SignedInAt: v.engine.Now().UTC()}
	life := sessionLife
	if a != nil && a.Frame {
		s.Request, life = keyOf(handle), frameSessionLife
	}
	if named, err = v.keep(v.r.Context(), kindSession, u.ID, &s, life); err != nil {
		return "", err
	}
	if s.Request == "" {
		if err := v.endSession(env); err != nil {
			return "", err
		}
		v.setCookie(env, named)
	}
	return named, nil
}

// endSession ends the session that the cookie names, if it names one.
func (v *visit) endSession(env gatehouse.Environment) error {
	err := v.find(v.r.Context(), kindSession, v.cookie(env), true, new(session))
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil
	}
	return err
}

// SignedIn reports whether the browser's user has signed in.
func (p *Pages) SignedIn(r *http.Request, env gatehouse.Environment) (bool, error) {
	v := &visit{Pages: p, r: r}
	s, err := v.session(env, nil, "")
	return s != nil, err
}

package connect

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse"
)

// kindUpstream is a sign-in that goes on at another provider.
const kindUpstream = "connect-upstream"

// An upstreamVisit is what we know of the user who comes back.
type upstreamVisit struct {
	Environment gatehouse.Environment `json:"environment"`
	Request     string                `json:"request,omitempty"`
	Browser     string                `json:"browser"` // the key of the cookie that it began with
	Ceremony    []byte                `json:"ceremony"`
}

const callbackPath = "/connect/callback"

// upstreamCookie holds the handle of an upstreamVisit: the provider's answer
// counts in the browser that asked for it, and in no other.
const upstreamCookie = "gatehouse-connect-upstream"

func (v *visit) upstreamCookieName() string {
	if v.secure {
		return "__Host-" + upstreamCookie
	}
	return upstreamCookie
}

// leaveForUpstream sends the browser to the provider where users sign in.
func (v *visit) leaveForUpstream() error {
	f, err := v.purpose()
	if err != nil {
		return err
	}
	if err := v.checkForm(f.env, f.ask); err != nil {
		return err
	}
	if v.identity.Upstream == nil || f.ask != nil && f.ask.Frame {
		return gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
	if err := v.begun.take(v.by.Addr); err != nil {
		return err
	}
	location, ceremony, err := v.identity.Upstream.Begin(v.r.Context(), f.env, v.callbackURL())
	if err != nil {
		return err
	}
	handle, err := v.keep(v.r.Context(), kindUpstream, "", &upstreamVisit{f.env, f.handle, keyOf(v.cookie(f.env)), ceremony}, askLife)
	if err != nil {
		return err
	}
	http.SetCookie(v.w, &http.Cookie{Name: v.upstreamCookieName(), Value: handle, Path: "/", HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode})
	v.redirect(location)
	return nil
}

func (v *visit) callbackURL() string { return v.engine.Issuer(gatehouse.Live) + callbackPath }

// returnFromUpstream signs in the user whom the provider sends back.
func (v *visit) returnFromUpstream() error {
	gone := &gatehouse.Error{Code: gatehouse.NotFound, Reason: reasonGone, Message: "this sign-in has expired or is finished: start again in the app"}
	if v.identity.Upstream == nil {
		return gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
	c, err := v.r.Cookie(v.upstreamCookieName())
	if err != nil {
		return gone
	}
	http.SetCookie(v.w, &http.Cookie{Name: v.upstreamCookieName(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode})
	u := new(upstreamVisit)
	err = v.find(v.r.Context(), kindUpstream, c.Value, true, u)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return gone
	} else if err != nil {
		return err
	}
	if cookie := v.cookie(u.Environment); cookie == "" || keyOf(cookie) != u.Browser {
		return gone
	}
	f := purpose{env: u.Environment}
	if u.Request != "" {
		if f.ask, err = v.ask(u.Request, false); err != nil {
			return err
		}
		f.handle = u.Request
	}
	user, err := v.identity.Upstream.Finish(v.r.Context(), v.by, u.Environment, v.callbackURL(), u.Ceremony, v.params)
	if err != nil {
		return err
	}
	return v.enter(f, user)
}

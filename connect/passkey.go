package connect

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
)

// kindPasskey is a passkey ceremony under way.
const kindPasskey = "connect-passkey"

// A passkeyVisit is what Finish needs of Begin. It counts in the browser that
// began it.
type passkeyVisit struct {
	Environment gatehouse.Environment `json:"environment"`
	User        string                `json:"user,omitempty"` // who adds a passkey; "" where one signs in
	Browser     string                `json:"browser"`
	Ceremony    []byte                `json:"ceremony"`
}

// passkeyFor reads what the four steps have in common. A frame has no passkeys:
// there is no cookie to bind the ceremony to.
func (v *visit) passkeyFor() (purpose, error) {
	f, err := v.purpose()
	if err != nil {
		return f, err
	}
	if v.identity.Passkeys == nil || f.ask != nil && f.ask.Frame {
		return f, gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
	return f, v.checkForm(f.env, f.ask)
}

func (v *visit) beginPasskey() error {
	f, err := v.passkeyFor()
	if err != nil {
		return err
	}
	if err := v.begun.take(v.by.Addr); err != nil {
		return err
	}
	options, ceremony, err := v.identity.Passkeys.BeginSignIn(v.r.Context(), f.env)
	if err != nil {
		return err
	}
	return v.begunPasskey(f, "", options, ceremony)
}

func (v *visit) begunPasskey(f purpose, user string, options jsontext.Value, ceremony []byte) error {
	handle, err := v.keep(v.r.Context(), kindPasskey, user, &passkeyVisit{f.env, user, keyOf(v.cookie(f.env)), ceremony}, askLife)
	if err != nil {
		return err
	}
	return v.sendJSON(struct {
		Options  jsontext.Value `json:"options"`
		Ceremony string         `json:"ceremony"`
	}{options, handle})
}

// takePasskey returns the ceremony that the form names, once.
func (v *visit) takePasskey(f purpose, user string) ([]byte, error) {
	p := new(passkeyVisit)
	err := v.find(v.r.Context(), kindPasskey, v.params.Get("ceremony"), true, p)
	if errors.Is(err, gatehouse.ErrNotFound) || err == nil && (p.Environment != f.env || p.User != user || p.Browser != keyOf(v.cookie(f.env))) {
		return nil, &gatehouse.Error{Code: gatehouse.NotFound, Reason: reasonGone, Message: "this passkey dialog has expired or is finished: begin it again"}
	}
	return p.Ceremony, err
}

func (v *visit) finishPasskey() error {
	f, err := v.passkeyFor()
	if err != nil {
		return err
	}
	ceremony, err := v.takePasskey(f, "")
	if err != nil {
		return err
	}
	user, err := v.identity.Passkeys.FinishSignIn(v.r.Context(), v.by, f.env, ceremony, jsontext.Value(v.params.Get("response")))
	if err != nil {
		return err
	}
	if _, err := v.startSession(f.env, f.ask, f.handle, user); err != nil {
		return err
	}
	v.by.ID = user.ID
	return v.sendJSON(struct {
		Location string `json:"location"`
	}{v.next(f)})
}

// addingWindow is how long after a sign-in another key to the account may be
// added: who finds a browser open must not keep the account.
const addingWindow = 15 * time.Minute

// adding is passkeyFor for a user who has signed in.
func (v *visit) adding() (purpose, *session, error) {
	f, err := v.passkeyFor()
	if err != nil || f.ask != nil {
		return f, nil, errors.Join(err, notFor(f))
	}
	s, err := v.session(f.env, nil, "")
	if err == nil && (s == nil || v.engine.Now().Sub(s.SignedInAt) > addingWindow) {
		err = &gatehouse.Error{Code: gatehouse.AccessDenied, Reason: reasonGone, Message: "sign in again first"}
	}
	return f, s, err
}

func (v *visit) beginAdding() error {
	f, s, err := v.adding()
	if err != nil {
		return err
	}
	options, ceremony, err := v.identity.Passkeys.BeginRegistration(v.r.Context(), f.env, &s.User)
	if err != nil {
		return err
	}
	return v.begunPasskey(f, s.User.ID, options, ceremony)
}

func (v *visit) finishAdding() error {
	f, s, err := v.adding()
	if err != nil {
		return err
	}
	ceremony, err := v.takePasskey(f, s.User.ID)
	if err != nil {
		return err
	}
	if err := v.identity.Passkeys.FinishRegistration(v.r.Context(), v.by, f.env, &s.User, ceremony, jsontext.Value(v.params.Get("response"))); err != nil {
		return err
	}
	return v.sendJSON(struct{}{})
}

// sendJSON answers a page's own script.
func (v *visit) sendJSON(body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(http.StatusOK)
	_, _ = v.w.Write(b)
	return nil
}

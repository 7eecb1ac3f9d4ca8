package connect

import (
	"errors"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// maxState bounds what an app gives us to hand back.
const maxState = 1024

// open begins the request of a client whose dialect has a connect message. Its
// parameters are those of /oauth2/authorize where there are such: client_id,
// response_mode, redirect_uri or origin, state, display, ui_locales.
func (v *visit) open() error {
	a, err := v.opened()
	if err != nil {
		return err
	}
	return v.begin(a)
}

func (v *visit) opened() (*Ask, error) {
	client, id := v.clientNamed(v.params.Get("client_id"))
	if client == nil {
		return nil, &gatehouse.Error{Code: gatehouse.InvalidClient, Reason: gatehouse.ReasonUnknownClient, Field: "client_id"}
	}
	a := &Ask{
		Client: client.ID, Mode: Mode(v.params.Get("response_mode")), State: v.params.Get("state"),
		Language: v.params.Get("ui_locales"), Hint: v.params.Get("login_hint"), Frame: v.params.Get("display") == "frame",
		Fresh: v.params.Get("prompt") == "login",
	}
	var ok bool
	switch a.Mode {
	case ModeFormPost:
		a.Target = v.params.Get("redirect_uri")
		a.Environment, ok = client.RedirectTo(a.Target)
	case ModeMessage:
		a.Target = v.params.Get("origin")
		a.Environment, ok = client.OriginIn(a.Target)
	default:
		return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Field: "response_mode", Client: client.ID,
			Err: errors.New("response_mode is form_post or web_message: what this app gets must not stand in a URL")}
	}
	wire, has := client.WireID(a.Environment)
	switch {
	case !ok || !has || wire != id:
		return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonWrongRedirect, Client: client.ID}
	case a.Frame && a.Mode != ModeMessage, len(a.State) > maxState:
		return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Client: client.ID}
	case client.State != gatehouse.Enabled:
		return nil, &gatehouse.Error{Code: gatehouse.UnauthorizedClient, Reason: gatehouse.ReasonClientDisabled, Client: client.ID}
	}
	return a, nil
}

// clientNamed finds a client of a dialect that has a connect message, by its id
// as it goes on the wire, and returns the id itself too.
func (v *visit) clientNamed(wire string) (*gatehouse.Client, gatehouse.ClientID) {
	for _, d := range v.dialects() {
		if d.Operation(dialect.Connect) == nil {
			continue
		}
		id, ok := d.FromWire(dialect.ClientID, wire)
		if !ok {
			continue
		}
		if c, ok := v.engine.Client(gatehouse.ClientID(id)); ok && c.Dialect == d.Name {
			return c, gatehouse.ClientID(id)
		}
	}
	return nil, ""
}

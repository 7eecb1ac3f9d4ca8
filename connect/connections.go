package connect

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// mostShown bounds how many connections of a user are looked at.
const mostShown = 1000

// A linkedApp is an app that acts for the user, by one connection or several.
type linkedApp struct {
	Client clientView
	ID     gatehouse.ClientID
	Since  time.Time // of the newest
	ids    []gatehouse.ConnectionID
}

func (v *visit) showConnections() error {
	f, err := v.purpose()
	if err != nil || f.ask != nil {
		return errors.Join(err, notFor(f))
	}
	s, err := v.session(f.env, nil, "")
	if err != nil {
		return err
	}
	if s == nil {
		return v.goTo("/connect/sign-in", f.params()...)
	}
	apps, err := v.linked(f.env, s.User.ID)
	if err != nil {
		return err
	}
	p := v.page(f, "connections.title")
	p.User, p.Connections, p.Ended = &s.User, apps, v.params.Get("ended") != ""
	p.Passkeys = v.identity.Passkeys != nil
	return v.render(http.StatusOK, "connections", p)
}

// notFor refuses a request's handle where none belongs.
func notFor(f purpose) error {
	if f.ask == nil {
		return nil
	}
	return malformed(errors.New("this page is for no request"))
}

// linked lists the apps that a user is linked to, the newest first.
func (v *visit) linked(env gatehouse.Environment, user string) ([]*linkedApp, error) {
	all, err := v.engine.Connections(v.r.Context(), gatehouse.ConnectionQuery{User: user, Environment: env, Linked: true, Limit: mostShown})
	if err != nil {
		return nil, err
	}
	var out []*linkedApp
	known := map[gatehouse.ClientID]*linkedApp{}
	for _, c := range all {
		app := known[c.Client]
		if app == nil {
			client, ok := v.engine.Client(c.Client)
			if !ok {
				continue // deleted: nothing of it passes any more
			}
			app = &linkedApp{Client: v.shownClient(client), ID: client.ID, Since: c.CreatedAt}
			known[c.Client] = app
			out = append(out, app)
		}
		app.ids = append(app.ids, c.ID)
	}
	return out, nil
}

// endConnections ends all that links the user to an app.
func (v *visit) endConnections() error {
	f, err := v.purpose()
	if err != nil || f.ask != nil {
		return errors.Join(err, notFor(f))
	}
	if err := v.checkForm(f.env, nil); err != nil {
		return err
	}
	s, err := v.session(f.env, nil, "")
	if err != nil {
		return err
	}
	if s == nil {
		return v.goTo("/connect/sign-in", f.params()...)
	}
	apps, err := v.linked(f.env, s.User.ID)
	if err != nil {
		return err
	}
	for _, app := range apps {
		if string(app.ID) != v.params.Get("client") {
			continue
		}
		for _, id := range app.ids {
			if _, err := v.engine.Delink(v.r.Context(), v.by, id); err != nil {
				return err
			}
		}
	}
	return v.goTo("/connect/connections", append(f.params(), "ended", "1")...)
}

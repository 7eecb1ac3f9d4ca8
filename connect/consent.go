package connect

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

func (v *visit) showConsent() error {
	f, s, err := v.asked()
	if err != nil {
		return err
	}
	if s == nil {
		return v.goTo("/connect/sign-in", f.params()...)
	}
	return v.consentPage(f, &s.User, v.params.Get("session"))
}

// asked is the request that the parameters name, and who answers it.
func (v *visit) asked() (purpose, *session, error) {
	f, err := v.purpose()
	if err != nil {
		return f, nil, err
	}
	if f.ask == nil {
		return f, nil, malformed(errors.New("no request"))
	}
	s, err := v.session(f.env, f.ask, f.handle)
	return f, s, err
}

// consentPage says which app asks for what, in which environment.
func (v *visit) consentPage(f purpose, u *User, named string) error {
	client, err := v.asking(f.ask)
	if err != nil {
		return err
	}
	p := v.page(f, "consent.title", "app", client.Name)
	p.User, p.Session = u, named
	c := &consentView{Scopes: client.Scopes, Target: OriginOf(f.ask.Target)}
	policy, _ := v.engine.Policy(client.Dialect)
	c.Life = policy.Life
	c.Lasting = policy.Permanent || policy.Refresh == gatehouse.RefreshReuse || policy.Refresh == gatehouse.RefreshRotate
	if f.ask.Standard != nil {
		c.Scopes, c.Lasting = f.ask.Standard.Scopes, client.Refresh
	}
	if c.Target == "" {
		c.Target = f.ask.Target // an app's own scheme
	}
	p.Consent = c
	if f.ask.Mode != ModeMessage {
		p.leaves = f.ask.Target
	}
	return v.render(http.StatusOK, "consent", p)
}

// consentView is what the page says beside the app's name.
type consentView struct {
	Scopes  []string
	Target  string        // where the user goes then
	Life    time.Duration // of an access token
	Lasting bool          // the app goes on until the user ends it
}

// asking is the app of a request, as long as it may ask.
func (v *visit) asking(a *Ask) (*gatehouse.Client, error) {
	client, ok := v.engine.Client(a.Client)
	if !ok || client.State != gatehouse.Enabled {
		return nil, &gatehouse.Error{Code: gatehouse.UnauthorizedClient, Reason: gatehouse.ReasonClientDisabled, Client: a.Client}
	}
	return client, nil
}

// decide takes the user's answer, once: of two clicks, or two tabs, one counts.
func (v *visit) decide() error {
	f, s, err := v.asked()
	if err != nil {
		return err
	}
	if err := v.checkForm(f.env, f.ask); err != nil {
		return err
	}
	if s == nil {
		return v.goTo("/connect/sign-in", f.params()...)
	}
	decision := v.params.Get("decision")
	if decision != "allow" && decision != "deny" {
		return malformed(errors.New("no decision"))
	}
	a, err := v.ask(f.handle, true)
	if err != nil {
		return err
	}
	if decision == "deny" {
		return v.refuse(a, gatehouse.Refuse(gatehouse.AccessDenied, reasonUserRefused, "the user has refused"))
	}
	if a.Standard == nil {
		return v.handOverMessage(a, s)
	}
	link, err := v.engine.Authorize(v.r.Context(), v.by, a.Standard, s.User.ID)
	if err != nil {
		return v.refuse(a, gatehouse.AsError(err))
	}
	return v.handOver(a, []member{{"code", link.AccessCode.Reveal()}})
}

const reasonUserRefused gatehouse.Reason = "user_refused"

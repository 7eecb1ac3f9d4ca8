package connect

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A member is one parameter of what the app gets.
type member struct{ name, value string }

// handOver gives the app its answer in the way that it has asked for, with its
// state and, in OAuth 2.0, the issuer (RFC 9207).
func (v *visit) handOver(a *Ask, members []member) error {
	if a.State != "" {
		members = append(members, member{"state", a.State})
	}
	if a.Standard != nil {
		members = append(members, member{"iss", v.engine.Issuer(a.Environment)})
	}
	switch a.Mode {
	case ModeQuery:
		v.redirect(withQuery(a.Target, members))
		return nil
	case ModeFormPost:
		p := v.page(purpose{ask: a, env: a.Environment}, "handover.title")
		p.leaves = a.Target
		p.Form = &formView{Action: a.Target}
		for _, m := range members {
			p.Form.Fields = append(p.Form.Fields, fieldView{m.name, m.value})
		}
		return v.render(http.StatusOK, "formpost", p)
	case ModeMessage:
		object := map[string]string{}
		for _, m := range members {
			object[m.name] = m.value
		}
		return v.post(a, object)
	}
	return fmt.Errorf("connect: mode %q", a.Mode)
}

// post shows the page that hands a message to the one that opened it.
func (v *visit) post(a *Ask, result any) error {
	text, err := json.Marshal(result, json.Deterministic(true))
	if err != nil {
		return err
	}
	p := v.page(purpose{ask: a, env: a.Environment}, "handover.title")
	p.Message = &messageView{Origin: a.Target, Result: string(text), State: a.State}
	return v.render(http.StatusOK, "message", p)
}

// withQuery is a redirect URI with members in its query, after what is there.
func withQuery(uri string, members []member) string {
	var b strings.Builder
	b.WriteString(uri)
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
	}
	for _, m := range members {
		b.WriteString(sep + url.QueryEscape(m.name) + "=" + url.QueryEscape(m.value))
		sep = "&"
	}
	return b.String()
}

// Refuse tells an app that its request can't be begun. word is "" for the one of
// e's code.
func (p *Pages) Refuse(w http.ResponseWriter, r *http.Request, by gatehouse.Actor, a *Ask, word string, e *gatehouse.Error) *gatehouse.Error {
	v := &visit{Pages: p, w: w, r: r, by: by}
	return v.answer(func() error { return v.refuseAs(a, cmp.Or(word, errorWord(e.Code)), e) })
}

// refuse tells the app that it gets nothing, in the words of RFC 6749 §4.1.2.1.
func (v *visit) refuse(a *Ask, e *gatehouse.Error) error {
	return v.refuseAs(a, errorWord(e.Code), e)
}

func (v *visit) refuseAs(a *Ask, word string, e *gatehouse.Error) error {
	members := []member{{"error", word}}
	if e.Message != "" {
		members = append(members, member{"error_description", description(e.Message)})
	}
	if err := v.handOver(a, members); err != nil {
		return err
	}
	return &shown{e}
}

// errorWord is what an authorization response says for a code of ours.
func errorWord(c gatehouse.Code) string {
	switch c {
	case gatehouse.InvalidRequest, gatehouse.InvalidScope, gatehouse.InvalidTarget, gatehouse.AccessDenied, gatehouse.UnauthorizedClient, gatehouse.ServerError:
		return string(c)
	case gatehouse.MissingParameter:
		return "invalid_request"
	case gatehouse.Unavailable, gatehouse.RateLimited:
		return "temporarily_unavailable"
	case gatehouse.Conflict, gatehouse.InvalidClient:
		return "unauthorized_client"
	}
	return "server_error"
}

// description holds text to the characters of error_description (RFC 6749 §4.1.2.1).
func description(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, s)
}

// handOverMessage links the user to the app of a dialect and hands over the
// dialect's connect message.
func (v *visit) handOverMessage(a *Ask, s *session) error {
	link, err := v.engine.CreateConnection(v.r.Context(), v.by, a.Client, a.Environment, s.User.ID, nil)
	if err != nil {
		return v.refuse(a, gatehouse.AsError(err))
	}
	message, err := Message(v.dialectOf(link.Client), link)
	if err != nil {
		return v.refuse(a, gatehouse.AsError(err))
	}
	if a.Mode == ModeMessage {
		return v.post(a, message)
	}
	members, err := flat(message)
	if err != nil {
		return v.refuse(a, gatehouse.AsError(err))
	}
	return v.handOver(a, members)
}

func (v *visit) dialectOf(c *gatehouse.Client) *dialect.Dialect {
	for _, d := range v.dialects() {
		if d.Name == c.Dialect {
			return d
		}
	}
	return nil
}

// flat is a message as fields of a form: texts as they are, other values as JSON.
func flat(message jsontext.Value) ([]member, error) {
	var object map[string]jsontext.Value
	if err := json.Unmarshal(message, &object); err != nil {
		return nil, fmt.Errorf("a connect message that is no object: %w", err)
	}
	var out []member
	for name, value := range object {
		text := string(value)
		if value.Kind() == '"' {
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, err
			}
		}
		out = append(out, member{name, text})
	}
	return out, nil
}

// MessageNames returns what a dialect's connect message calls the values that an
// app goes on with.
func MessageNames(d *dialect.Dialect) (map[dialect.Hole]string, error) {
	holes := []dialect.Hole{dialect.AccessCode, dialect.UserSecret, dialect.ConnectionID, dialect.UserID, dialect.TokenID}
	v := dialect.NewValues(len(holes) + 1)
	v.SetText(dialect.ClientID, "client")
	for _, hole := range holes { // each stands for itself
		if hole == dialect.AccessCode || hole == dialect.UserSecret {
			v.SetSecret(hole, secret.New(string(hole)))
			continue
		}
		v.SetText(hole, string(hole))
	}
	resp, err := d.Operation(dialect.Connect).WriteResponse(v)
	if err != nil {
		return nil, err
	}
	members, err := flat(resp.Body)
	names := map[dialect.Hole]string{}
	for _, m := range members {
		names[dialect.Hole(m.value)] = m.name
	}
	return names, err
}

// Message is what a client's dialect hands over when a user has signed in; nil
// where it says nothing of that.
func Message(d *dialect.Dialect, l *gatehouse.LinkResult) (jsontext.Value, error) {
	if d == nil {
		return nil, nil
	}
	op := d.Operation(dialect.Connect)
	if op == nil {
		return nil, nil
	}
	v := dialect.NewValues(6)
	v.SetText(dialect.ClientID, string(l.ClientID))
	v.SetSecret(dialect.AccessCode, l.AccessCode)
	v.SetSecret(dialect.UserSecret, l.UserSecret)
	v.SetText(dialect.ConnectionID, l.Connection.ID.String())
	v.SetText(dialect.UserID, l.Connection.User)
	v.SetText(dialect.TokenID, l.Connection.Token.String())
	resp, err := op.WriteResponse(v)
	if err != nil {
		return nil, err
	}
	return jsontext.Value(resp.Body), nil
}

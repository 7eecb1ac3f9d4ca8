package reference

import (
	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A flow is what the playground runs by: each operation's messages laid open,
// and what each refusal means.
type flow struct {
	Name       string          `json:"name"`
	Title      string          `json:"title"`
	Operations []flowOperation `json:"operations"`
	Errors     []flowError     `json:"errors"`
	Token      flowToken       `json:"token"`
	Live       []string        `json:"live"` // begins what is of the live environment
	CallPath   string          `json:"call_path"`
}

type flowOperation struct {
	Name    dialect.OperationName `json:"name"`
	Title   string                `json:"title"`
	Request *dialect.Layout       `json:"request,omitzero"`
	Answer  *dialect.Layout       `json:"answer,omitzero"`
}

type flowError struct {
	Status int            `json:"status"`
	Signs  []dialect.Sign `json:"signs,omitempty"`
	Why    []why          `json:"why"`
}

type why struct {
	Code  dialect.Code `json:"code"`
	Means string       `json:"means"`
	Do    string       `json:"do"`
}

type flowToken struct {
	Format    dialect.Format `json:"format"`
	Permanent bool           `json:"permanent,omitzero"`
}

func (p *Pages) flow(d *dialect.Dialect) ([]byte, error) {
	f := flow{
		Name: d.Name, Title: d.Title, CallPath: callPath(d), Live: p.config.LivePrefixes,
		Token: flowToken{d.Token.Format, d.Token.Permanent},
	}
	if prefix := d.Token.Prefix["live"]; prefix != "" {
		f.Live = append(f.Live[:len(f.Live):len(f.Live)], prefix)
	}
	for _, o := range d.Operations {
		f.Operations = append(f.Operations, flowOperation{o.Name, titles[o.Name], o.RequestLayout(), o.AnswerLayout()})
	}
	for _, e := range d.ErrorAnswers() {
		shown := flowError{Status: e.Status, Signs: e.Signs}
		for _, code := range e.Codes {
			shown.Why = append(shown.Why, why{code, reasons[code].Means, reasons[code].Do})
		}
		f.Errors = append(f.Errors, shown)
	}
	return json.Marshal(f, json.Deterministic(true))
}

// callPath is an ordinary call that the server itself answers, so that a token
// can be tried where no API is yet.
func callPath(d *dialect.Dialect) string { return "/docs/" + d.Name + "/call" }

package gatehouse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

// What nobody in particular sends takes bounded room, and can't push out what
// happened to somebody.
func TestRefusalLogIsBounded(t *testing.T) {
	l := gatehouse.NewRefusalLog(4)
	somebody := gatehouse.RefusalOf(&gatehouse.Error{Code: gatehouse.InvalidToken, Reason: gatehouse.ReasonRevoked, Token: token.NewID(time.Now())})
	somebody.ID = "somebody"
	l.Add(somebody)
	for i := range 100 {
		r := gatehouse.RefusalOf(&gatehouse.Error{
			Code: gatehouse.InvalidClient, Reason: gatehouse.ReasonUnknownClient,
			Client: gatehouse.ClientID(strings.Repeat("ü", 10_000)), Message: strings.Repeat("x", 10_000), Err: errors.New(strings.Repeat("y", 10_000)),
		})
		if len(r.Client)+len(r.Message)+len(r.Detail) > 1000 {
			t.Fatal("a refusal keeps all that a caller wrote")
		}
		r.ID = fmt.Sprint(i)
		l.Add(r)
	}
	for id, want := range map[string]bool{"somebody": true, "0": false, "95": false, "96": true, "99": true, "": false} {
		if _, ok := l.Find(id); ok != want {
			t.Errorf("%q is kept: %v", id, ok)
		}
	}
}

// The owner hears by how much the clocks differ.
func TestExplainsClocksThatDiffer(t *testing.T) {
	w := newWorld(t)
	p := w.partner(t, gatehouse.OAuth2)
	behind := w.clock.now()
	cfg := w.cfg
	cfg.Now = func() time.Time { return behind }
	second, err := gatehouse.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Minute)
	issued := w.issue(t, p, gatehouse.Live)
	_, err = second.Validate(ctx, issued.Access, gatehouse.Requirement{})
	refused(t, err, gatehouse.InvalidToken, gatehouse.ReasonNotYetValid)
	x, err := second.Explain(ctx, gatehouse.RefusalOf(gatehouse.AsError(err)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"clock", "ahead of this clock, 10s are let pass"} {
		if !strings.Contains(x.Sentence, want) {
			t.Errorf("%q does not say %q", x.Sentence, want)
		}
	}
	if x.Record == nil || x.Record.ID != issued.Record.ID {
		t.Errorf("the token is not recognised: %+v", x.Record)
	}
	if strings.Contains(fmt.Sprintf("%+v", x), issued.Access.Reveal()) {
		t.Error("the explanation holds the token")
	}
}

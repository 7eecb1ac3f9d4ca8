package gatehouse_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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

// What one node refused another one can explain, and so can the next start.
func TestRefusalsAreShared(t *testing.T) {
	w := newWorld(t, func(c *gatehouse.Config) { c.Now = nil })
	r := gatehouse.RefusalOf(&gatehouse.Error{Code: gatehouse.InvalidToken, Reason: gatehouse.ReasonRevoked, Client: "acme", Token: token.NewID(time.Now())})
	r.ID, r.At, r.Route, r.Addr = token.NewID(time.Now()).String(), time.Now().UTC().Truncate(time.Microsecond), "gate.verify", netip.MustParseAddr("192.0.2.1")
	w.Refused(r)
	far := r
	far.ID = token.NewID(time.Now()).String()
	if err := w.RefusedElsewhere("edge", []gatehouse.Refusal{far, {ID: r.ID, At: r.At, Code: "x", Reason: "x"}}); err != nil {
		t.Fatal(err)
	}
	far.Gate = "edge"
	for _, wrong := range []gatehouse.Refusal{{}, {ID: "../x", At: r.At, Code: "x", Reason: "x"}, {ID: far.ID, Code: "x", Reason: "x"}} {
		if err := w.RefusedElsewhere("edge", []gatehouse.Refusal{wrong}); err == nil {
			t.Errorf("a gate reports %+v", wrong)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.Run(ended); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	second, err := gatehouse.Open(ctx, w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []gatehouse.Refusal{r, far} {
		if got, err := second.Refusal(t.Context(), want.ID); err != nil || got != want {
			t.Errorf("the second node knows %+v (%v), want %+v", got, err, want)
		}
	}
}

// Each refusal is handed out once, those of somebody first.
func TestFreshRefusals(t *testing.T) {
	l := gatehouse.NewRefusalLog(4)
	add := func(id string, client gatehouse.ClientID) {
		l.Add(gatehouse.Refusal{ID: id, Client: client, Reason: gatehouse.ReasonRevoked})
	}
	fresh := func(limit int) string {
		ids := []string{}
		for _, r := range l.Fresh(limit) {
			ids = append(ids, r.ID)
		}
		return strings.Join(ids, " ")
	}
	add("a", "")
	add("b", "acme")
	add("c", "acme")
	for _, want := range []string{"b c", "a", ""} {
		if got := fresh(2); got != want {
			t.Errorf("fresh are %q, want %q", got, want)
		}
	}
	for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
		add(id, "acme")
	}
	if got := fresh(10); got != "3 4 5 6" {
		t.Errorf("fresh are %q, after more than are kept", got)
	}
}

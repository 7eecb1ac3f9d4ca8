package nodes_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// What a grant with a rotating refresh token is, seen from outside: one token
// that may be used, until the grant is revoked.
type grantState struct {
	current string
	revoked bool
}

type grantAct int

const (
	actBegin grantAct = iota // gives the first token
	actRefresh
	actRevoke
	actIntrospect
)

func (a grantAct) String() string {
	return [...]string{"begin", "refresh", "revoke", "introspect"}[a]
}

type grantInput struct {
	act   grantAct
	grant int
	node  int
	token string
}

type grantOutput struct {
	ok    bool
	token string // what a refresh gave
	// unknown: no answer, or one that says so. It may have been done, and may
	// yet be.
	unknown bool
	// late: so late that a token used twice is a theft, and ends its grant.
	late bool
}

// grantStep is the sequential specification: which states may follow.
func grantStep(s grantState, in grantInput, out grantOutput) []grantState {
	usable := !s.revoked && in.token == s.current
	switch in.act {
	case actBegin:
		return []grantState{{current: out.token}}
	case actRefresh:
		next := []grantState{}
		switch {
		case out.unknown && usable:
			next = append(next, s, grantState{current: "given to nobody"})
		case out.unknown || out.ok != usable:
		case out.ok:
			return []grantState{{current: out.token}}
		default:
			next = append(next, s)
		}
		if out.unknown && !usable {
			next = append(next, s)
		}
		if !usable && !out.ok && out.late {
			next = append(next, grantState{current: s.current, revoked: true})
		}
		return next
	case actRevoke:
		ended := grantState{current: s.current, revoked: true}
		if out.unknown {
			return []grantState{s, ended}
		}
		return []grantState{ended}
	case actIntrospect:
		if out.unknown || out.ok == usable {
			return []grantState{s}
		}
	}
	return nil
}

var grantModel = func() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{grantState{}} },
		Step: func(state, input, output any) (next []any) {
			for _, s := range grantStep(state.(grantState), input.(grantInput), output.(grantOutput)) {
				next = append(next, s)
			}
			return next
		},
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byGrant := map[int][]porcupine.Operation{}
			for _, op := range history {
				grant := op.Input.(grantInput).grant
				byGrant[grant] = append(byGrant[grant], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byGrant {
				parts = append(parts, part)
			}
			return parts
		},
	}
	return m.ToModel()
}()

// A grantRace is several callers of one grant, on all nodes, who keep what they
// asked, when, and what they were told.
type grantRace struct {
	c     *cluster
	as    demoClient
	grant int
	since time.Time // what times count from
	began time.Time

	mu      sync.Mutex
	tokens  []string // those that were given, newest last
	history []porcupine.Operation
}

// pick is a token to use: mostly the newest that is known.
func (r *grantRace) pick() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rand.IntN(4) == 0 {
		return r.tokens[rand.IntN(len(r.tokens))]
	}
	return r.tokens[len(r.tokens)-1]
}

func (r *grantRace) do(caller int, in grantInput) grantOutput {
	in.grant = r.grant
	call := time.Since(r.since)
	out, answered := r.ask(in)
	op := porcupine.Operation{ClientId: caller, Input: in, Call: int64(call), Return: int64(time.Since(r.since))}
	// The promise is 10 s after the first use, which is after the beginning.
	out.late = time.Since(r.began) > 9*time.Second
	if out.unknown = !answered; out.unknown {
		op.Return = math.MaxInt64
	}
	op.Output = out
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, op)
	if out.token != "" {
		r.tokens = append(r.tokens, out.token)
	}
	return out
}

// ask asks a node. Without an answer, or with one that says that the node
// doesn't know, nothing is known.
func (r *grantRace) ask(in grantInput) (out grantOutput, answered bool) {
	n := r.c.nodes[in.node]
	form := url.Values{"grant_type": {"client_credentials"}}
	path := "/oauth2/token"
	switch in.act {
	case actRefresh:
		form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {in.token}}
	case actRevoke:
		path, form = "/oauth2/revoke", url.Values{"token": {in.token}}
	case actIntrospect:
		path, form = "/oauth2/introspect", url.Values{"token": {in.token}}
	}
	a, err := postForm(r.as, n.url+path, form)
	if err != nil || a.status >= http.StatusInternalServerError {
		return out, false
	}
	var said struct {
		RefreshToken string `json:"refresh_token"`
		Active       bool   `json:"active"`
	}
	if len(a.body) > 0 {
		if err := a.decode(&said); err != nil {
			r.c.Error(err)
		}
	}
	out = grantOutput{ok: a.status == http.StatusOK, token: said.RefreshToken}
	if in.act == actIntrospect {
		out.ok = said.Active
	}
	return out, true
}

// run has callers refresh and look, and one of them revoke at some time.
func (r *grantRace) run(callers, rounds int) {
	for len(r.tokens) == 0 {
		r.history, r.began = nil, time.Now()
		r.do(0, grantInput{act: actBegin, node: 0})
	}
	var calling sync.WaitGroup
	for caller := range callers {
		revokesAt := -1
		if caller == 0 {
			revokesAt = 1 + rand.IntN(rounds)
		}
		calling.Go(func() {
			for round := range rounds {
				in := grantInput{act: actRefresh, node: caller % len(r.c.nodes), token: r.pick()}
				switch {
				case round == revokesAt:
					in.act = actRevoke
				case round%3 == 2:
					in.act = actIntrospect
				}
				r.do(caller, in)
			}
		})
	}
	calling.Wait()
}

// Refresh, revocation and introspection of a grant, on two nodes, are as if one
// came after the other: checked on recorded histories, with a line to the
// database that loses answers meanwhile. Histories that are spoiled by hand are
// found out.
func TestGrantsAreLinearizable(t *testing.T) {
	c := start(t, 1)
	// Before the second node: it reads the client at its start, since a line
	// that loses answers may bring it late.
	as := c.client("oauth2", "live")
	_, err := c.nodes[0].gatehouse("", "client", "update", as.ClientID, "--refresh")
	c.must(err)
	line := postgrestest.NewLine(t, c.database.Addr())
	far := &node{data: t.TempDir()}
	if _, err := far.start(line.Through(c.url), c.kek); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.stop)
	c.nodes = append(c.nodes, far)
	grants, together := 36, 8
	if soak() {
		grants = 1_000
	}
	races := make([]*grantRace, grants)
	since := time.Now()
	room := make(chan struct{}, together)
	var racing sync.WaitGroup
	for i := range races {
		races[i] = &grantRace{c: c, as: as, grant: i, since: since}
		room <- struct{}{}
		racing.Go(func() {
			defer func() { <-room }()
			races[i].run(4, 6)
		})
		switch i % 12 {
		case 5:
			line.Lose(true)
			time.Sleep(20 * time.Millisecond)
			line.Lose(false)
		case 11:
			line.Cut()
		}
	}
	racing.Wait()
	var history []porcupine.Operation
	count := map[string]int{}
	for _, r := range races {
		history = append(history, r.history...)
		for _, op := range r.history {
			out := op.Output.(grantOutput)
			what := "refused"
			switch {
			case out.unknown:
				what = "unknown"
			case out.ok:
				what = "done"
			}
			count[fmt.Sprintf("%v %s", op.Input.(grantInput).act, what)]++
		}
	}
	if result := porcupine.CheckOperationsTimeout(grantModel, history, time.Minute); result != porcupine.Ok {
		for _, r := range races {
			if porcupine.CheckOperationsTimeout(grantModel, r.history, time.Minute) != porcupine.Ok {
				t.Errorf("no order explains %+v", r.history)
				break
			}
		}
		t.Errorf("the history of %d operations is %s", len(history), result)
	}
	t.Logf("%d operations on %d grants: %v", len(history), grants, count)
	for _, what := range []string{"refresh done", "refresh refused", "revoke done", "introspect done", "introspect refused"} {
		if count[what] == 0 {
			t.Errorf("no %q, so this shows little", what)
		}
	}
	spoiledAreFound(t, races)
}

// spoiledAreFound changes one answer of a history into what a node that doesn't
// keep its promise would say.
func spoiledAreFound(t *testing.T, races []*grantRace) {
	spoiled, found := 0, 0
	for _, r := range races {
		ended := int64(math.MaxInt64)
		for _, op := range r.history {
			if op.Input.(grantInput).act == actRevoke && !op.Output.(grantOutput).unknown {
				ended = op.Return
			}
		}
		for i, op := range r.history {
			in, out := op.Input.(grantInput), op.Output.(grantOutput)
			if op.Call <= ended || out.unknown || out.ok || in.act != actRefresh && in.act != actIntrospect {
				continue
			}
			history := slices.Clone(r.history)
			out.ok, out.token = true, "a token of a revoked grant"
			history[i].Output = out
			spoiled++
			if porcupine.CheckOperationsTimeout(grantModel, history, time.Minute) == porcupine.Illegal {
				found++
			}
		}
	}
	t.Logf("%d spoiled histories, %d found", spoiled, found)
	if spoiled == 0 || found < spoiled {
		t.Fail()
	}
}

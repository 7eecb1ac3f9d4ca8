package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// A proxy stands between a store and its database, and breaks the line.
type proxy struct {
	listener net.Listener
	to       string

	mute atomic.Bool // what the server answers gets lost, and the connection with it
	hang atomic.Bool // nothing gets through, and nothing breaks
	mu   sync.Mutex
	ends []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, to: to}
	t.Cleanup(func() {
		l.Close()
		p.cut()
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.ends = append(p.ends, in, out)
			p.mu.Unlock()
			go p.pass(in, out, func() bool { return false })
			go p.pass(out, in, p.mute.Load)
		}
	}()
	return p
}

// pass copies one direction.
func (p *proxy) pass(from, to net.Conn, lose func() bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for p.hang.Load() {
			time.Sleep(time.Millisecond)
		}
		if n > 0 && lose() {
			return
		}
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.ends {
		c.Close()
	}
	p.ends = nil
}

// through is the URL of the database by way of the proxy.
func (p *proxy) through(url string) string {
	return strings.Replace(url, p.to, p.listener.Addr().String(), 1)
}

// The connection dies between a commit and its answer. The store says that it
// doesn't know, and the same grant once more is not recorded twice.
func TestLostAnswerIsAnUnknownOutcome(t *testing.T) {
	server := postgrestest.Start(t)
	p := newProxy(t, server.Addr())
	url := server.URL(t)
	s := open(t, p.through(url), Options{quiet: true})
	witness := open(t, url, Options{})
	c := saveClient(t, s)
	done, unknown := 0, 0
	for range 20 {
		must(t, retried(func() error { return s.Record(t.Context(), issue(c, time.Now())) })) // a line that works
		g := issue(c, time.Now())
		p.mute.Store(true)
		err := s.Record(t.Context(), g)
		p.mute.Store(false)
		if !errors.Is(err, gatehouse.ErrStore) {
			t.Fatalf("got %v, want an error of the store", err)
		}
		if errors.Is(err, gatehouse.ErrUnknownOutcome) {
			unknown++
		}
		time.Sleep(20 * time.Millisecond) // what is under way ends
		_, there := witness.Token(t.Context(), g.Tokens[0].ID)
		if there == nil {
			done++
			if !errors.Is(err, gatehouse.ErrUnknownOutcome) {
				t.Errorf("it was recorded, and the store said %v", err)
			}
		}
		again := retried(func() error { return s.Record(t.Context(), g) })
		if there == nil && !errors.Is(again, gatehouse.ErrExists) || there != nil && again != nil {
			t.Errorf("tried again: %v, and it was there: %v", again, there == nil)
		}
	}
	t.Logf("20 lost answers: %d unknown outcomes, %d had been recorded", unknown, done)
	if done == 0 {
		t.Error("no answer was lost after a commit")
	}
	clean(t, witness)
}

// retried calls fn until the store answers.
func retried(fn func() error) (err error) {
	for range 50 {
		if err = fn(); !errors.Is(err, gatehouse.ErrStore) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// Nothing gets through and nothing breaks: each caller has its answer within
// two seconds, and all is well when the line is back.
func TestHalfOpenLine(t *testing.T) {
	server := postgrestest.Start(t)
	p := newProxy(t, server.Addr())
	s := open(t, p.through(server.URL(t)), Options{})
	c := saveClient(t, s)
	must(t, s.Record(t.Context(), issue(c, time.Now())))
	p.hang.Store(true)
	act := gatehouse.Act{At: time.Now(), By: operator, Action: "token.revoke"}
	for name, ask := range map[string]func(ctx context.Context) error{
		"Record":  func(ctx context.Context) error { return s.Record(ctx, issue(c, time.Now())) },
		"Token":   func(ctx context.Context) error { _, err := s.Token(ctx, issue(c, time.Now()).Tokens[0].ID); return err },
		"Journal": func(ctx context.Context) error { _, err := s.Journal(ctx, 0, 10); return err },
		"Revoke": func(ctx context.Context) error {
			_, err := s.Revoke(ctx, act, gatehouse.Selection{Client: c.ID})
			return err
		},
		"Ping": s.Ping,
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				began := time.Now()
				err := ask(t.Context())
				if took := time.Since(began); took > 2*time.Second || !errors.Is(err, gatehouse.ErrStore) {
					t.Errorf("after %v: %v", took, err)
				}
			}
		})
	}
	p.hang.Store(false)
	p.cut()
	back := time.Now()
	must(t, retried(func() error { return s.Record(t.Context(), issue(c, time.Now())) }))
	must(t, retried(func() error { return s.Ping(t.Context()) }))
	t.Logf("back after %v", time.Since(back))
}

// A node that stops in the middle of an act holds up nobody for longer than
// the server waits for it.
func TestStoppedNodeLetsGoOfTheGate(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	s := open(t, url, Options{})
	c := saveClient(t, s)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	must(t, err)
	stopped := &actTx{ctx: t.Context(), tx: tx}
	must(t, stopped.begin())
	began := time.Now()
	must(t, retried(func() error { return s.Record(t.Context(), issue(c, time.Now())) }))
	took := time.Since(began)
	t.Logf("the gate was free after %v", took)
	if took > idleInAct+time.Second {
		t.Error("that is too late")
	}
}

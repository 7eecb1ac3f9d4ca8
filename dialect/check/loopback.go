package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// Loopback serves the dialect on a free port of loopback and speaks it with
// the client's half: each operation's request must be read as it was written,
// its answer as it was given, and each error of the closed set as what it was,
// or as another that looks the same.
func Loopback(ctx context.Context, d *dialect.Dialect) ([]Result, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{dialect: d}
	h := &http.Server{Handler: s, ReadHeaderTimeout: timeout}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	defer func() {
		h.Close()
		<-served
	}()
	base := "http://" + l.Addr().String()
	var out []Result
	for _, op := range d.Operations {
		r := results{string(op.Name), &out}
		switch op.Name {
		case dialect.Connect, dialect.Use:
			half(r, op)
		default:
			s.operation(ctx, r, base, op)
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	return out, nil
}

// server is the dialect's server half. It answers one request at a time.
type server struct {
	dialect *dialect.Dialect
	answer  func(*dialect.Operation, error) *dialect.Response
	read    dialect.Values
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		return // the client will say so
	}
	op, v, err := s.dialect.ReadRequest(&dialect.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header, Body: body,
	})
	s.read = v
	a := s.answer(op, err)
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the client will say so
}

// operation tries one operation's messages, and each error in place of its
// answer.
func (s *server) operation(ctx context.Context, r results, base string, op *dialect.Operation) {
	asked, answer := op.Example()
	request, err := op.WriteRequest(base, asked)
	if err != nil {
		r.add("request", err, "")
		return
	}
	var requestErr error
	s.answer = func(read *dialect.Operation, err error) *dialect.Response {
		requestErr = s.sameRequest(op, read, request, err)
		a, err := op.WriteResponse(answer)
		if err != nil {
			requestErr = errors.Join(requestErr, err)
			return s.dialect.WriteError(dialect.ServerError, dialect.Values{})
		}
		return a
	}
	got, err := send(ctx, request)
	r.add("request", errors.Join(err, requestErr), "%s %s, %s", op.Method(), op.Path(), holes(asked))
	if err != nil {
		return
	}
	values, err := op.ReadResponse(got)
	if err == nil {
		err = sameAnswer(op, values, got)
	}
	r.add("answer", err, "%d, %s", got.Status, holes(answer))
	for _, code := range dialect.Codes() {
		s.refusal(ctx, r, request, op, code)
	}
}

// sameRequest compares by writing what was read.
func (s *server) sameRequest(want, read *dialect.Operation, sent *dialect.Request, err error) error {
	if err != nil {
		return fmt.Errorf("the server can't read it: %w", err)
	}
	if read != want {
		return fmt.Errorf("the server takes it for %s", read.Name)
	}
	again, err := want.WriteRequest(sent.Base, s.read)
	if err != nil {
		return fmt.Errorf("the server has read too little: %w", err)
	}
	if again.URL() != sent.URL() || !bytes.Equal(again.Body, sent.Body) || !sameHeader(again.Header, sent.Header) {
		return errors.New("the server has read other values than were written")
	}
	return nil
}

func sameAnswer(op *dialect.Operation, read dialect.Values, sent *dialect.Response) error {
	again, err := op.WriteResponse(read)
	if err != nil {
		return fmt.Errorf("the client has read too little: %w", err)
	}
	if !bytes.Equal(again.Body, sent.Body) || again.Status != sent.Status {
		return errors.New("the client has read other values than were written")
	}
	return nil
}

// sameHeader reports whether got has all of want.
func sameHeader(want, got http.Header) bool {
	for name, values := range want {
		if strings.Join(values, ",") != strings.Join(got[name], ",") {
			return false
		}
	}
	return true
}

// waits are the codes whose answer may say how long to wait.
var waits = map[dialect.Code]time.Duration{dialect.RateLimited: 7 * time.Second, dialect.Unavailable: 3 * time.Second}

func (s *server) refusal(ctx context.Context, r results, request *dialect.Request, op *dialect.Operation, code dialect.Code) {
	what := "error " + string(code)
	var v dialect.Values
	v.SetText(dialect.Path, request.Path)
	v.SetText(dialect.RequestID, "req-7h2k9q")
	v.SetTime(dialect.Now, time.Now())
	v.SetDuration(dialect.RetryAfter, waits[code])
	written := s.dialect.WriteError(code, v)
	s.answer = func(*dialect.Operation, error) *dialect.Response { return written }
	got, err := send(ctx, request)
	if err != nil {
		r.add(what, err, "")
		return
	}
	_, err = op.ReadResponse(got)
	var refusal *dialect.Refusal
	switch {
	case err == nil:
		r.add(what, errors.New("the client takes it for success"), "")
	case !errors.As(err, &refusal):
		r.add(what, err, "")
	case refusal.RetryAfter != waits[code]:
		r.add(what, fmt.Errorf("the client would wait %v, and was asked to wait %v", refusal.RetryAfter, waits[code]), "")
	case refusal.Code == code:
		r.add(what, nil, "%d", got.Status)
	case s.alike(code, refusal.Code, v):
		r.add(what, nil, "%d, the same on the wire as %s", got.Status, refusal.Code)
	default:
		r.add(what, fmt.Errorf("the client reads %s", refusal.Code), "")
	}
}

// alike reports whether two codes look the same but for their sentence.
func (s *server) alike(a, b dialect.Code, v dialect.Values) bool {
	v = v.Clone()
	v.SetText(dialect.Message, "the same")
	x, y := s.dialect.WriteError(a, v), s.dialect.WriteError(b, v)
	return x.Status == y.Status && bytes.Equal(x.Body, y.Body)
}

// half tries a message that has no other side here: what a Connect page hands
// over is read, what ordinary calls carry is written.
func half(r results, op *dialect.Operation) {
	asked, answer := op.Example()
	if op.Name == dialect.Use {
		_, err := op.WriteRequest("http://127.0.0.1", asked)
		r.add("request", err, "%s", holes(asked))
		return
	}
	written, err := op.WriteResponse(answer)
	if err == nil {
		var read dialect.Values
		if read, err = op.ReadResponse(written); err == nil {
			err = sameAnswer(op, read, written)
		}
	}
	r.add("answer", err, "%s", holes(answer))
}

// holes lists what a message was filled with.
func holes(v dialect.Values) string {
	var names []string
	for _, h := range v.Holes() {
		names = append(names, string(h))
	}
	if len(names) == 0 {
		return "no values"
	}
	return strings.Join(names, " ")
}

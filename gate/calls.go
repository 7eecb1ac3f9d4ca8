package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A CallProver judges what a call shows beside its token, too.
// *gatehouse.Engine is one, and so is *follow.Follower, which asks its node.
type CallProver interface {
	Validator
	ProveCall(ctx context.Context, by gatehouse.Actor, c *gatehouse.Claims, p gatehouse.CallProof) error
}

// DefaultBodyLimit is how large the body of a call may be that has to be looked
// into, in bytes, where nothing else is said.
const DefaultBodyLimit = 64 << 10

// bodyPatience is how long such a body may take to arrive.
const bodyPatience = 10 * time.Second

// Calls hold each call to what the dialect of its token says of calls, in its
// `use` operation: some want secrets in the body beside the token. A call that
// lacks one, has a wrong one, or has one twice is refused in the words and with
// the status of that dialect. Tokens of other dialects ask for nothing more.
//
// Calls are immutable and safe for concurrent use.
type Calls struct {
	prover CallProver
	ruled  map[string]*dialect.Dialect // those whose calls must hold more than a bearer token
	limit  int
}

// NewCalls makes Calls. limit bounds the bodies that are looked into, in bytes;
// 0 is DefaultBodyLimit.
func NewCalls(p CallProver, dialects []*dialect.Dialect, limit int) *Calls {
	k := &Calls{prover: p, ruled: map[string]*dialect.Dialect{}, limit: limit}
	if k.limit <= 0 {
		k.limit = DefaultBodyLimit
	}
	for _, d := range dialects {
		if !d.Operation(dialect.Use).AsksOnly(dialect.AccessToken) {
			k.ruled[d.Name] = d
		}
	}
	return k
}

// A shownCall is a call as far as it can be seen.
type shownCall struct {
	method, query string
	header        http.Header
	from          netip.Addr
	body          func(limit int) ([]byte, *gatehouse.Error) // nil: it can't be seen
}

// check returns why a call with a token of c, which stands, is not as the
// token's dialect has it, and that dialect. Both are nil where it is.
func (k *Calls) check(ctx context.Context, c *gatehouse.Claims, call shownCall) (*dialect.Dialect, *gatehouse.Error) {
	if k == nil || c == nobody {
		return nil, nil
	}
	d := k.ruled[c.Dialect]
	if d == nil {
		return nil, nil
	}
	r := &dialect.Request{Method: call.method, RawQuery: call.query, Header: call.header}
	if d.Operation(dialect.Use).ReadsBody() {
		if call.body == nil {
			return d, gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonMalformed,
				"calls with this token carry secrets in their body, which can't be seen here")
		}
		var refusal *gatehouse.Error
		if r.Body, refusal = call.body(k.limit); refusal != nil {
			return d, refusal
		}
	}
	shown, err := d.ReadCall(r)
	if err != nil {
		return d, unreadable(c, err)
	}
	if refusal := agrees(c, shown); refusal != nil {
		return d, refusal
	}
	proof := gatehouse.CallProof{ClientSecret: shown.Secret(dialect.ClientSecret), UserSecret: shown.Secret(dialect.UserSecret)}
	if proof.ClientSecret.IsZero() && proof.UserSecret.IsZero() {
		return nil, nil
	}
	var refusal *gatehouse.Error
	if proof.Token, refusal = bearer(call.header); refusal != nil {
		return d, refusal
	}
	if err := k.prover.ProveCall(ctx, gatehouse.Actor{Kind: gatehouse.ByClient, Addr: call.from}, c, proof); err != nil {
		return d, gatehouse.AsError(err)
	}
	return nil, nil
}

// unreadable is the refusal of a call that ReadCall couldn't read.
func unreadable(c *gatehouse.Claims, err error) *gatehouse.Error {
	e := &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Token: c.Token, Client: c.ClientID, Err: err}
	if invalid, ok := errors.AsType[*dialect.Invalid](err); ok {
		e.Code = gatehouse.Code(invalid.Code)
	}
	return e
}

// agrees compares what a call says of itself with what its token says.
func agrees(c *gatehouse.Claims, shown dialect.Values) *gatehouse.Error {
	for _, same := range []struct {
		hole   dialect.Hole
		is     string
		reason gatehouse.Reason
	}{
		{dialect.ClientID, string(c.ClientID), gatehouse.ReasonWrongClient},
		{dialect.Environment, string(c.Environment), gatehouse.ReasonWrongEnvironment},
		{dialect.UserID, c.User, gatehouse.ReasonWrongConnection},
		{dialect.ConnectionID, c.Grant.String(), gatehouse.ReasonWrongConnection},
		{dialect.TokenID, c.Token.String(), gatehouse.ReasonWrongConnection},
	} {
		if shown.Has(same.hole) && shown.Text(same.hole) != same.is {
			return &gatehouse.Error{Code: gatehouse.InvalidClient, Reason: same.reason, Token: c.Token, Client: c.ClientID}
		}
	}
	return nil
}

// bodyOf reads a request's body, at most limit bytes of it, and puts it back as
// it was.
func bodyOf(w http.ResponseWriter, r *http.Request) func(limit int) ([]byte, *gatehouse.Error) {
	return func(limit int) ([]byte, *gatehouse.Error) {
		if r.Body == nil || r.Body == http.NoBody {
			return nil, nil
		}
		if r.ContentLength > int64(limit) {
			return nil, tooLarge(w)
		}
		// Only a server that can't do this may wait for ever: it said so itself.
		deadline := http.NewResponseController(w)
		_ = deadline.SetReadDeadline(time.Now().Add(bodyPatience))
		body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
		if err != nil {
			w.Header().Set("Connection", "close")
			return nil, &gatehouse.Error{Code: gatehouse.InvalidRequest, Reason: gatehouse.ReasonMalformed, Message: "the body can't be read", Err: err}
		}
		if len(body) > limit {
			return nil, tooLarge(w)
		}
		_ = deadline.SetReadDeadline(time.Time{})
		r.Body = &readAgain{Reader: bytes.NewReader(body), Closer: r.Body}
		r.ContentLength, r.TransferEncoding = int64(len(body)), nil
		return body, nil
	}
}

// readAgain is a body that was read once already.
type readAgain struct {
	*bytes.Reader
	io.Closer
}

// tooLarge also gives up the connection: reading the rest is what the limit is
// there to avoid.
func tooLarge(w http.ResponseWriter) *gatehouse.Error {
	w.Header().Set("Connection", "close")
	return gatehouse.Refuse(gatehouse.PayloadTooLarge, gatehouse.ReasonMalformed, "the body is larger than a call with secrets in it may be")
}

// peerAddr is the other end of a request's connection, the zero Addr where it
// isn't an IP address.
func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

package gatehouse

import (
	"net/netip"
	"sync"
	"time"
	"unicode/utf8"
)

// A Refusal is what is kept of a request that was refused, so that its owner
// can ask why. It holds no credential and nothing else that a caller wrote,
// but for an id that claims to be a client's.
type Refusal struct {
	ID      string // our request id
	At      time.Time
	Route   string // our name of the route
	Status  int    // of the HTTP answer
	Addr    netip.Addr
	Code    Code
	Reason  Reason
	Message string
	Detail  string // more for the owner
	Client  ClientID
	Token   TokenID
}

// RefusalOf keeps what an Error tells.
func RefusalOf(e *Error) Refusal {
	r := Refusal{Code: e.Code, Reason: e.Reason, Message: short(e.Message), Client: ClientID(short(string(e.Client))), Token: e.Token}
	if e.Err != nil {
		r.Detail = short(e.Err.Error())
	}
	return r
}

// short bounds what one refusal takes in memory.
func short(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	for n := most; ; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n] + "…"
		}
	}
}

// A RefusalLog keeps the newest refusals in memory. Those of somebody known (a
// token or a client was recognised) have their own room: what nobody in
// particular sends can't push them out. It is safe for concurrent use.
type RefusalLog struct {
	mu               sync.Mutex
	known, anonymous refusalRing
}

// NewRefusalLog makes one for up to size refusals of each kind.
func NewRefusalLog(size int) *RefusalLog {
	return &RefusalLog{known: newRefusalRing(size), anonymous: newRefusalRing(size)}
}

// Add keeps r.
func (l *RefusalLog) Add(r Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.Token.IsZero() || r.Client != "" && r.Reason != ReasonUnknownClient {
		l.known.add(r)
		return
	}
	l.anonymous.add(r)
}

// Find returns the refusal with this request id, if it is still kept.
func (l *RefusalLog) Find(id string) (Refusal, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.known.find(id); ok {
		return r, true
	}
	return l.anonymous.find(id)
}

type refusalRing struct {
	size int
	next int
	list []Refusal
	at   map[string]int
}

func newRefusalRing(size int) refusalRing {
	return refusalRing{size: size, at: map[string]int{}}
}

func (r *refusalRing) add(one Refusal) {
	if len(r.list) < r.size {
		r.list = append(r.list, one)
	} else {
		delete(r.at, r.list[r.next].ID)
		r.list[r.next] = one
	}
	r.at[one.ID] = r.next
	r.next = (r.next + 1) % r.size
}

func (r *refusalRing) find(id string) (Refusal, bool) {
	i, ok := r.at[id]
	if !ok {
		return Refusal{}, false
	}
	return r.list[i], true
}

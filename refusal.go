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
	ID      string     `json:"request_id"` // ours
	At      time.Time  `json:"at"`
	Route   string     `json:"route"`            // our name of it
	Status  int        `json:"status,omitzero"`  // of the HTTP answer
	Addr    netip.Addr `json:"address,omitzero"` // where the request came from
	Code    Code       `json:"code"`
	Reason  Reason     `json:"reason"`
	Message string     `json:"message,omitempty"`
	Detail  string     `json:"detail,omitempty"` // more for the owner
	Client  ClientID   `json:"client,omitempty"`
	Token   TokenID    `json:"token,omitzero"`
	Gate    ClientID   `json:"gate,omitempty"` // the far gate that refused it, "" where a node did
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

// Fresh returns up to limit refusals that it has not returned before, those of
// somebody known first, each kind in order.
func (l *RefusalLog) Fresh(limit int) []Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.anonymous.appendFresh(l.known.appendFresh(nil, limit), limit)
}

type refusalRing struct {
	size  int
	next  int
	fresh int // the newest so many have not been returned by appendFresh
	list  []Refusal
	at    map[string]int
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
	r.fresh = min(r.fresh+1, r.size)
}

func (r *refusalRing) appendFresh(list []Refusal, limit int) []Refusal {
	for ; r.fresh > 0 && len(list) < limit; r.fresh-- {
		list = append(list, r.list[(r.next-r.fresh+r.size)%r.size])
	}
	return list
}

func (r *refusalRing) find(id string) (Refusal, bool) {
	i, ok := r.at[id]
	if !ok {
		return Refusal{}, false
	}
	return r.list[i], true
}

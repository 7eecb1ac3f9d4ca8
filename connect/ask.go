package connect

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
)

// An Ask is what an app asks an end user for. Whoever makes one has checked it.
type Ask struct {
	Client      gatehouse.ClientID    `json:"client"` // as a whole
	Environment gatehouse.Environment `json:"environment"`
	// Standard is set for clients of OAuth 2.0. Others get the connect message
	// of their dialect.
	Standard *gatehouse.Authorization `json:"standard,omitzero"`
	Mode     Mode                     `json:"mode"`
	Target   string                   `json:"target"`          // a registered redirect URI; with ModeMessage a registered origin
	Frame    bool                     `json:"frame,omitzero"`  // the page is shown in a frame of Target
	State    string                   `json:"state,omitempty"` // handed back as it came
	Language string                   `json:"language,omitempty"`
	Hint     string                   `json:"hint,omitempty"`  // the name to sign in with, as the app believes
	Fresh    bool                     `json:"fresh,omitzero"`  // an earlier sign-in doesn't count (prompt=login)
	Silent   bool                     `json:"silent,omitzero"` // nothing may be shown (prompt=none)
	Asked    time.Time                `json:"asked,omitzero"`  // when it was begun
}

// A Mode is how the app gets the answer.
type Mode string

// The modes.
const (
	ModeQuery    Mode = "query"       // in the redirect URI's query (RFC 6749 §4.1.2)
	ModeFormPost Mode = "form_post"   // in a form that the browser posts to the redirect URI
	ModeMessage  Mode = "web_message" // by postMessage to the page that opened this one
)

// Kinds of documents.
const (
	kindAsk     = "connect-request"
	kindPushed  = "connect-pushed"
	kindSession = "connect-session"
)

const (
	askLife  = 30 * time.Minute // a user looks for a password, or registers
	PushLife = 90 * time.Second // how long a pushed request waits for its browser
)

// keyOf is the key of a document that is found by a handle of 130 random bits:
// who reads the store has no handle.
func keyOf(handle string) string {
	sum := sha256.Sum256([]byte(handle))
	return hex.EncodeToString(sum[:])
}

// maxHandle bounds what is hashed.
const maxHandle = 64

// keep stores v under a new handle.
func (p *Pages) keep(ctx context.Context, kind, owner string, v any, life time.Duration) (handle string, err error) {
	value, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("keeping a %s: %w", kind, err)
	}
	handle = rand.Text()
	err = p.docs.Keep(ctx, nil, gatehouse.Document{
		Kind: kind, Key: keyOf(handle), Owner: owner, Value: value, ExpiresAt: p.engine.Now().Add(life),
	})
	return handle, err
}

// find reads what keep has stored, and with take removes it: of all who take,
// one gets it.
func (p *Pages) find(ctx context.Context, kind, handle string, take bool, into any) error {
	if handle == "" || len(handle) > maxHandle {
		return gatehouse.ErrNotFound
	}
	var doc *gatehouse.Document
	var err error
	if take {
		doc, err = p.docs.Take(ctx, nil, kind, keyOf(handle))
	} else {
		doc, err = p.docs.Document(ctx, kind, keyOf(handle))
	}
	if err != nil {
		return err
	}
	if doc.ExpiredAt(p.engine.Now()) {
		return gatehouse.ErrNotFound
	}
	if err := json.Unmarshal(doc.Value, into); err != nil {
		return fmt.Errorf("reading a %s: %w", kind, err)
	}
	return nil
}

// ask returns the request that handle names.
func (v *visit) ask(handle string, take bool) (*Ask, error) {
	a := new(Ask)
	err := v.find(v.r.Context(), kindAsk, handle, take, a)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, &gatehouse.Error{Code: gatehouse.NotFound, Reason: reasonGone, Message: "this sign-in has expired or is finished: start again in the app"}
	}
	return a, err
}

// Begin keeps a and sends the browser to the first page.
func (p *Pages) Begin(w http.ResponseWriter, r *http.Request, by gatehouse.Actor, a *Ask) *gatehouse.Error {
	v := &visit{Pages: p, w: w, r: r, by: by}
	return v.answer(func() error { return v.begin(a) })
}

func (v *visit) begin(a *Ask) error {
	if err := v.begun.take(v.by.Addr); err != nil {
		return err
	}
	a.Asked = v.engine.Now().UTC()
	handle, err := v.keep(v.r.Context(), kindAsk, string(a.Client), a, askLife)
	if err != nil {
		return err
	}
	return v.goTo("/connect/sign-in", "request", handle)
}

// Push keeps a request that its client has pushed (RFC 9126) and returns the
// request_uri that stands for it.
func (p *Pages) Push(ctx context.Context, a *Ask) (requestURI string, err error) {
	handle, err := p.keep(ctx, kindPushed, string(a.Client), a, PushLife)
	return requestURIPrefix + handle, err
}

// requestURIPrefix is RFC 9126 §2.2's.
const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// Pushed returns what requestURI stands for, once (RFC 9126 §4), and
// gatehouse.ErrNotFound where that is nothing any more.
func (p *Pages) Pushed(ctx context.Context, requestURI string) (*Ask, error) {
	handle, ok := strings.CutPrefix(requestURI, requestURIPrefix)
	if !ok {
		return nil, gatehouse.ErrNotFound
	}
	a := new(Ask)
	return a, p.find(ctx, kindPushed, handle, true, a)
}

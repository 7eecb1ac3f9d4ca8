package dialect

import "net/http"

// OperationName is one of the things that a token API does. The set is closed.
type OperationName string

// The operations.
const (
	Issue    OperationName = "issue"    // a token for a client's own credentials
	Refresh  OperationName = "refresh"  // a new access token for a refresh token
	Exchange OperationName = "exchange" // a token for an access code
	Validate OperationName = "validate" // is this token good
	Revoke   OperationName = "revoke"   // end a token
	Connect  OperationName = "connect"  // what the Connect page hands over: an answer without a request
	Delink   OperationName = "delink"   // end a connection
	Use      OperationName = "use"      // how ordinary calls carry the token: a request without an answer
)

var operationNames = []OperationName{Issue, Refresh, Exchange, Validate, Revoke, Connect, Delink, Use}

// Operation is one message pair of a dialect. It is immutable.
type Operation struct {
	Name     OperationName
	About    string // the file's words on it
	dialect  *Dialect
	request  *message // nil for connect
	response *message // nil for use
}

// Request is an HTTP request as plain data.
type Request struct {
	Method   string
	Base     string // where the server is; empty on the server itself
	Path     string // escaped, below Base
	RawQuery string
	Header   http.Header
	Body     []byte
}

// URL joins Base, Path and RawQuery.
func (r *Request) URL() string {
	url := r.Base + r.Path
	if r.RawQuery != "" {
		url += "?" + r.RawQuery
	}
	return url
}

// Response is an HTTP answer as plain data.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Method returns the request's method; empty for connect, and for a use that
// goes with any method.
func (o *Operation) Method() string {
	if o.request == nil {
		return ""
	}
	return o.request.method
}

// Path returns the request's path as the file writes it, holes and all;
// empty where the operation has none.
func (o *Operation) Path() string {
	if o.request == nil || o.request.path == nil {
		return ""
	}
	return o.request.path.text
}

// RequestHas reports whether the request has the hole.
func (o *Operation) RequestHas(h Hole) bool { return o.request != nil && o.request.hasHole(h) }

// ResponseHas reports whether the answer has the hole.
func (o *Operation) ResponseHas(h Hole) bool { return o.response != nil && o.response.hasHole(h) }

// identityHoles name the client, in the order in which a request is asked.
var identityHoles = []Hole{ClientID, AccessCode, RefreshToken, AccessToken}

// Identity returns the hole by which the request's client is found: the first
// of client_id, access_code, refresh_token and access_token that the request
// has; empty if it has none.
func (o *Operation) Identity() Hole {
	for _, h := range identityHoles {
		if o.RequestHas(h) {
			return h
		}
	}
	return ""
}

package dialect

import (
	"net/http"
	"slices"
	"time"
)

// Dialect is one loaded file. It is immutable and safe for concurrent use.
type Dialect struct {
	Name    string
	Title   string
	Summary string
	Notes   []string
	// Source is the file itself, comments and all. It must not be changed.
	Source []byte
	// Operations in the file's order. Use is there even if the file leaves
	// it out, as a Bearer token in Authorization (RFC 6750 section 2.1).
	Operations []*Operation
	Token      TokenPolicy
	Rules      Rules
	// Hosts are a client's default base URLs by environment.
	Hosts map[string]string

	errors   errorTable
	foldPath bool
}

// TokenPolicy is what the file's token part says.
type TokenPolicy struct {
	Format    Format
	Algorithm string // JWT: EdDSA, ES256 or RS256
	// KeyIDPrefix comes before the signing key's index in `kid`; where
	// KeyIDIndexed is false, key ids are the server's own choice.
	KeyIDPrefix  string
	KeyIDIndexed bool
	Header       *Template // JWT header members besides alg and kid
	Claims       *Template
	Prefix       map[string]string // by environment
	Life         time.Duration     // of a token whose caller asked for none
	Longest      time.Duration     // that a caller may ask for
	Permanent    bool              // tokens don't expire; Life and Longest are zero
	Assumed      bool              // the wire is silent and Life is what a client assumes
	CodeLife     time.Duration     // of an access code; zero without an exchange
	Refresh      RefreshPolicy
}

// Format is what an access token is made of.
type Format string

// The formats.
const (
	JWT    Format = "jwt"
	Opaque Format = "opaque"
)

// RefreshPolicy says what happens to a refresh token when it is used.
type RefreshPolicy struct {
	Mode RefreshMode
	Life time.Duration // fixed from the first issue on, not sliding
}

// RefreshMode is one of none, reuse and rotate.
type RefreshMode string

// The modes.
const (
	RefreshNone   RefreshMode = "none"
	RefreshReuse  RefreshMode = "reuse"
	RefreshRotate RefreshMode = "rotate"
)

// Rules is what the file's rules part says.
type Rules struct {
	HTTPSRequired  bool
	ClientIDs      ClientIDs
	ClientIDForm   ClientIDForm
	Limits         map[OperationName]Limit // per client
	Fields         map[Hole]Field          // owner.NAME and extra.NAME
	IgnorePathCase bool
}

// ClientIDs says whether a client has one id or one in each environment.
type ClientIDs string

// The choices of client_ids.
const (
	SharedIDs         ClientIDs = "shared"
	PerEnvironmentIDs ClientIDs = "per-environment"
)

// ClientIDForm is the form of the ids that the server makes.
type ClientIDForm string

// The forms.
const (
	TextID   ClientIDForm = "text"
	UUIDID   ClientIDForm = "uuid"
	DomainID ClientIDForm = "domain"
)

// Limit allows Count calls in each period.
type Limit struct {
	Count int
	Per   time.Duration
}

// Field describes a value kept with the client.
type Field struct {
	Default string
	About   string
}

// Operation returns the operation, or nil if the dialect has none of that name.
func (d *Dialect) Operation(name OperationName) *Operation {
	for _, o := range d.Operations {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// PathCaseInsensitive reports whether the dialect's paths are matched without
// regard to letter case.
func (d *Dialect) PathCaseInsensitive() bool { return d.foldPath }

// Handles reports whether one of the dialect's operations has this escaped path.
func (d *Dialect) Handles(path string) bool {
	return slices.ContainsFunc(d.Operations, func(o *Operation) bool { return o.matchesPath(path) })
}

// Methods lists the methods of an escaped path, sorted.
func (d *Dialect) Methods(path string) []string {
	var methods []string
	for _, o := range d.Operations {
		if o.matchesPath(path) && !slices.Contains(methods, o.Method()) {
			methods = append(methods, o.Method())
		}
	}
	slices.Sort(methods)
	return methods
}

func (o *Operation) matchesPath(path string) bool {
	return o.request != nil && o.request.path != nil && o.request.path.match(path, o.dialect.foldPath, nil)
}

// ReadRequest finds the operation of a request by method and path, and by its
// literals where several operations share both, and reads it. The error is an
// *[Invalid]; the operation is returned beside an error too, where it is known.
func (d *Dialect) ReadRequest(r *Request) (*Operation, Values, error) {
	var first *Operation
	var refused *Invalid
	for _, o := range d.Operations {
		if o.Method() != r.Method || !o.matchesPath(r.Path) {
			continue
		}
		v, invalid := o.read(r)
		if invalid == nil {
			return o, v, nil
		}
		// A wrong literal only says that another operation was meant, so the
		// refusal of one whose literals fit describes the request better.
		if first == nil || refused.otherLiteral && !invalid.otherLiteral {
			first, refused = o, invalid
		}
	}
	if first != nil {
		return first, Values{}, refused
	}
	if methods := d.Methods(r.Path); len(methods) > 0 {
		return nil, Values{}, &Invalid{Code: MethodNotAllowed, Allow: methods, Reason: http.StatusText(http.StatusMethodNotAllowed)}
	}
	return nil, Values{}, &Invalid{Code: NotFound, Reason: "no operation has this path"}
}

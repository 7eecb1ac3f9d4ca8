package dialect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FieldError says what is wrong with one field of a request. Field is the
// field's name on the wire; Message never repeats its value.
type FieldError struct {
	Field   string
	Message string
}

// Invalid is the error of a request that can't be read. Fields is empty where
// saying more would help who guesses at credentials.
type Invalid struct {
	Code   Code
	Fields []FieldError
	// Reason says in a few words what was wrong with the request as a whole,
	// for the server's own records. It never holds a value.
	Reason string
	// Allow lists the methods of the path, for MethodNotAllowed.
	Allow []string

	otherLiteral bool // the request may be meant for another operation
}

func (e *Invalid) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	for _, f := range e.Fields {
		b.WriteString(": " + f.Field + " " + f.Message)
	}
	return b.String()
}

// Refusal is a server's answer other than success, as a client reads it.
type Refusal struct {
	Code    Code
	Status  int    // HTTP status
	Message string // the server's sentence, if it gave one
	// RetryAfter is how long the server asks to wait; zero if it didn't say.
	RetryAfter time.Duration
	RequestID  string
	Fields     []FieldError
}

func (e *Refusal) Error() string {
	text := fmt.Sprintf("refused with %s (HTTP %d)", e.Code, e.Status)
	if e.Message != "" {
		text += ": " + strconv.Quote(e.Message)
	}
	return text
}

// What can be wrong with a whole body.
var (
	errMalformed   = errors.New("the body is not well-formed JSON with each member once")
	errNotObject   = errors.New("the body is not a JSON object")
	errTooDeep     = errors.New("the body is nested too deeply")
	errAlmost      = errors.New("the body has a member whose name differs from a known one in letter case only")
	errControlJSON = errors.New("the body holds control characters")
)

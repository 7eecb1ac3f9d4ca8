package gate

import (
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A question is what the gateway wants to know, from its query:
// environment=live&scope=a+b&audience=…&client=…&dialect=NAME.
type question struct {
	want    gatehouse.Requirement
	scope   string // as asked, for the challenge
	dialect string // in whose words to refuse
	public  bool   // no token is asked for
	asks    bool   // the query has a requirement

	// ruledBy is set where the token stands and the call does not: the dialect in
	// whose words, and with whose status, it is refused.
	ruledBy *dialect.Dialect
}

// readQuestion reads the query. Names that it doesn't know are none of its
// business; those that it knows may stand once, since a gateway that sets one
// twice lets its caller choose. A problem is text for the gateway's owner.
func readQuestion(raw string) (q question, problem string) {
	var seen [5]bool
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescape(name)
		if err != nil {
			return q, "the query has a broken percent-encoding"
		}
		at := parameter(name)
		if at < 0 {
			continue
		}
		if seen[at] {
			return q, "the parameter " + name + " stands twice in the query"
		}
		seen[at] = true
		q.asks = q.asks || name != "dialect"
		if value, err = unescape(value); err != nil {
			return q, "the parameter " + name + " has a broken percent-encoding"
		}
		switch name {
		case "environment":
			env, err := gatehouse.ParseEnvironment(value)
			if err != nil {
				return q, "unknown environment: use environment=sandbox or environment=live"
			}
			q.want.Environment = env
		case "scope":
			if !isScope(value) {
				return q, "the parameter scope is not a list of scopes separated by single spaces"
			}
			q.scope = value
			q.want.Scopes = strings.Split(value, " ")
		case "audience":
			q.want.Audience = value
		case "client":
			q.want.Client = gatehouse.ClientID(value)
		case "dialect":
			q.dialect = value
		}
		// An empty requirement would ask for nothing where its writer meant to
		// ask for something, such as a variable that the gateway left unset.
		if value == "" {
			return q, "the parameter " + name + " is empty"
		}
	}
	return q, ""
}

// queried is the question that the query asks.
func queried(raw string) (q question, problem string) {
	if q, problem = readQuestion(raw); problem == "" && q.want.Environment == "" {
		problem = "no environment asked for: add environment=sandbox or environment=live to the query"
	}
	return q, problem
}

func joined(scopes []string) string { return strings.Join(scopes, " ") }

func parameter(name string) int {
	switch name {
	case "environment":
		return 0
	case "scope":
		return 1
	case "audience":
		return 2
	case "client":
		return 3
	case "dialect":
		return 4
	}
	return -1
}

// unescape spares the common case the call.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// isScope reports whether s is the scope of RFC 6749 §3.3.
func isScope(s string) bool {
	blank := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			if blank {
				return false
			}
			blank = true
		case c == '!', '#' <= c && c <= '[', ']' <= c && c <= '~':
			blank = false
		default:
			return false
		}
	}
	return !blank
}

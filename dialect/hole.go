package dialect

import "strings"

// Hole names a value of a message. The set is closed, apart from the two open
// families owner.NAME and extra.NAME.
type Hole string

// The holes.
const (
	ClientID       Hole = "client_id"
	ClientSecret   Hole = "client_secret"
	AccessToken    Hole = "access_token"
	RefreshToken   Hole = "refresh_token"
	AccessCode     Hole = "access_code"
	UserSecret     Hole = "user_secret"
	ConnectionID   Hole = "connection_id"
	UserID         Hole = "user_id"
	TokenID        Hole = "token_id"
	TokenName      Hole = "token_name"
	Scope          Hole = "scope"
	TokenType      Hole = "token_type"
	Life           Hole = "life" // asked for in a request, granted in an answer
	RefreshLife    Hole = "refresh_life"
	IssuedAt       Hole = "issued_at"
	ExpiresAt      Hole = "expires_at"
	Now            Hole = "now"
	Expired        Hole = "expired"
	Environment    Hole = "environment"
	Audience       Hole = "audience"
	Subject        Hole = "subject"
	Issuer         Hole = "issuer"
	KeyIndex       Hole = "key_index"
	RequestID      Hole = "request_id"
	Path           Hole = "path"
	Message        Hole = "message"
	ErrorValue     Hole = "error"
	CodeValue      Hole = "code"
	NumberValue    Hole = "number"
	TypeValue      Hole = "type"
	TextValue      Hole = "text"
	RetryAfter     Hole = "retry_after"
	InvalidField   Hole = "invalid.field"
	InvalidMessage Hole = "invalid.message"
	Anything       Hole = "m" // never kept: it is there for its default
)

// Families whose NAME the client's owner chooses.
const (
	ownerFamily = "owner."
	extraFamily = "extra."
)

// kind is the Go type behind a hole.
type kind uint8

const (
	kindText     kind = 1 << iota // string
	kindSecret                    // secret.Text
	kindTime                      // time.Time
	kindDuration                  // time.Duration
	kindBool                      // bool
	kindList                      // []string
	kindNumber                    // int64
	kindScalar                    // string, int64, float64 or bool: what an error row says
)

func (k kind) String() string {
	switch k {
	case kindText:
		return "text"
	case kindSecret:
		return "a secret"
	case kindTime:
		return "a time"
	case kindDuration:
		return "a duration"
	case kindBool:
		return "true or false"
	case kindList:
		return "a list"
	case kindNumber:
		return "a number"
	default:
		return "a literal"
	}
}

// context is where a hole may stand.
type context uint8

const (
	inRequest context = 1 << iota
	inAnswer
	inToken // JWT header and claims
	inError
	inKeyID
)

func (c context) String() string {
	switch c {
	case inRequest:
		return "a request"
	case inAnswer:
		return "an answer"
	case inToken:
		return "a token"
	case inError:
		return "an error"
	default:
		return "a key id"
	}
}

type holeInfo struct {
	name     Hole
	kind     kind
	contexts context
	about    string
}

// holes is the closed set, in the order in which documentation lists it.
var holes = []holeInfo{
	{ClientID, kindText, inRequest | inAnswer | inToken, "the client's identifier"},
	{ClientSecret, kindSecret, inRequest, "the client's secret"},
	{AccessToken, kindSecret, inRequest | inAnswer, "the access token"},
	{RefreshToken, kindSecret, inRequest | inAnswer, "the refresh token"},
	{AccessCode, kindSecret, inRequest | inAnswer, "the one-time access code of a connection"},
	{UserSecret, kindSecret, inRequest | inAnswer, "the end user's secret for this connection"},
	{ConnectionID, kindText, inRequest | inAnswer | inToken, "the connection between an end user and the client"},
	{UserID, kindText, inRequest | inAnswer | inToken, "the end user"},
	{TokenID, kindText, inRequest | inAnswer | inToken, "the token's identifier, which is not secret"},
	{TokenName, kindText, inRequest | inAnswer | inToken, "a name for the token, up to 200 bytes"},
	{Scope, kindList, inRequest | inAnswer | inToken, "what the token allows"},
	{TokenType, kindText, inRequest | inAnswer, "how the token is presented"},
	{Life, kindDuration, inRequest | inAnswer, "the access token's life"},
	{RefreshLife, kindDuration, inAnswer, "the refresh token's life"},
	{IssuedAt, kindTime, inAnswer | inToken, "when the token was issued"},
	{ExpiresAt, kindTime, inAnswer | inToken, "when the token ends"},
	{Now, kindTime, inAnswer | inError, "when the answer was made"},
	{Expired, kindBool, inAnswer, "whether the token has ended"},
	{Environment, kindText, inRequest | inAnswer | inToken, "sandbox or live"},
	{Audience, kindText, inRequest | inAnswer | inToken, "who the token is for"},
	{Subject, kindText, inAnswer | inToken, "who the token speaks for"},
	{Issuer, kindText, inAnswer | inToken, "who issued the token"},
	{KeyIndex, kindNumber, inKeyID, "the signing key's index"},
	{RequestID, kindText, inAnswer | inError, "the request's identifier, to quote to support"},
	{Path, kindText, inError, "the path that was called"},
	{Message, kindText, inAnswer | inError, "a sentence for people"},
	{ErrorValue, kindScalar, inError, "the error's name"},
	{CodeValue, kindScalar, inError, "the error's code"},
	{NumberValue, kindScalar, inError, "the error's number"},
	{TypeValue, kindScalar, inError, "the error's type"},
	{TextValue, kindScalar, inError, "the error's fixed text"},
	{RetryAfter, kindDuration, inError, "how long to wait before the next try"},
	{InvalidField, kindText, inError, "the field that was refused"},
	{InvalidMessage, kindText, inError, "what is wrong with the field"},
	{Anything, kindText, inRequest | inAnswer | inError, "not looked at"},
}

var holeByName = func() map[Hole]*holeInfo {
	m := make(map[Hole]*holeInfo, len(holes))
	for i := range holes {
		m[holes[i].name] = &holes[i]
	}
	return m
}()

// lookupHole finds a hole of the closed set or of an open family.
func lookupHole(name string) (*holeInfo, bool) {
	if h, ok := holeByName[Hole(name)]; ok {
		return h, true
	}
	if field, ok := strings.CutPrefix(name, ownerFamily); ok && isFieldName(field) {
		return &holeInfo{Hole(name), kindText, inAnswer | inToken, "the owner's " + field}, true
	}
	if field, ok := strings.CutPrefix(name, extraFamily); ok && isFieldName(field) {
		return &holeInfo{Hole(name), kindText, inRequest | inAnswer | inToken, field + ", kept with the client"}, true
	}
	return nil, false
}

// isFieldName bounds the open families to names that are safe in a flag, a
// URL template and a page: letters, digits, '_' and '-', at most 64 bytes.
func isFieldName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

func holeNames() []string {
	names := make([]string, len(holes))
	for i, h := range holes {
		names[i] = string(h.name)
	}
	return names
}

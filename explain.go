package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An Explanation is the truth about a refusal, for the owner.
type Explanation struct {
	Refusal
	Sentence string       // why, in plain words
	Advice   string       // what to do, or ""
	Record   *TokenRecord // the token that was refused, where it was recognised and is on the ledger
	Event    *Event       // the act that is behind it, where there is one
}

// Explain says why a request was refused, as far as the ledger and the audit
// record still know.
func (e *Engine) Explain(ctx context.Context, r Refusal) (*Explanation, error) {
	x := &Explanation{Refusal: r}
	if !r.Token.IsZero() {
		row, err := e.store.Token(ctx, r.Token)
		if err == nil {
			x.Record = e.withCutOff(row)
		} else if !errors.Is(err, ErrNotFound) {
			return nil, unavailable(err)
		}
	}
	if err := e.explain(ctx, x); err != nil {
		return nil, unavailable(err)
	}
	if r.Detail != "" && !strings.Contains(x.Sentence, r.Detail) {
		x.Sentence += " (" + r.Detail + ")"
	}
	return x, nil
}

func (e *Engine) explain(ctx context.Context, x *Explanation) (err error) {
	r, tok, client := &x.Refusal, x.tokenText(), "client "+string(x.Client)
	switch r.Reason {
	case ReasonExpired:
		x.Sentence = tok + " had expired"
		if x.Record != nil {
			x.Sentence += fmt.Sprintf(" at %s, %s before", stamp(x.Record.ExpiresAt), gap(r.At.Sub(x.Record.ExpiresAt)))
		}
		x.Advice = "the caller must get a new token before the old one ends"
	case ReasonRevoked, ReasonDelinked:
		err = e.explainRevoked(ctx, x, tok)
	case ReasonRetiredSecret:
		x.Sentence = fmt.Sprintf("%s proved itself with a secret that is retired", client)
		x.Event, err = e.findEvent(ctx, time.Time{}, func(v *Event) bool {
			id := v.Detail["secret_id"]
			return (v.Action == "secret.retire" || v.Action == "secret.compromised") && id != "" && strings.Contains(r.Detail, id)
		})
		x.Advice = "give the caller the secret that is live: see `gatehouse secret list --client " + string(r.Client) + "`"
	case ReasonClientDisabled, ReasonClientDeleted:
		done := strings.TrimPrefix(string(r.Reason), "client_")
		x.Sentence = client + " was " + done
		owner := e.state.client(r.Client)
		x.Event, err = e.findEvent(ctx, time.Time{}, func(v *Event) bool {
			return owner != nil && v.Subject == string(owner.ID) && strings.HasPrefix(v.Action, "client."+strings.TrimSuffix(done, "d"))
		})
	case ReasonNotYetValid:
		x.Sentence = "the token says that it was issued, or becomes valid, in the future: the clock of the node that issued it, or of the one that judged it, is wrong"
		x.Advice = "compare the clocks of the nodes (chronyc tracking, timedatectl)"
	default:
		x.Sentence, x.Advice = x.simply(tok, client)
	}
	if x.Event != nil {
		x.Sentence += fmt.Sprintf(", at %s by %s (%s)", stamp(x.Event.At), x.Event.By.text(), x.Event.Action)
	}
	return err
}

// explainRevoked finds who ended the token: the act of that instant, or the
// one that ended everything of its client up to then.
func (e *Engine) explainRevoked(ctx context.Context, x *Explanation, tok string) (err error) {
	x.Sentence = tok + " was revoked"
	row := x.Record
	if row == nil || row.RevokedAt.IsZero() {
		return nil
	}
	ends := func(v *Event) bool {
		return strings.HasPrefix(v.Action, "token.") && v.Action != "token.issue" || v.Action == "connection.delink"
	}
	x.Event, err = e.findEvent(ctx, row.RevokedAt.Add(-time.Second), func(v *Event) bool { return ends(v) && v.Subject == row.ID.String() })
	if x.Event == nil && err == nil {
		x.Event, err = e.findEvent(ctx, row.RevokedAt.Add(-time.Second), func(v *Event) bool {
			return ends(v) && (v.At.Equal(row.RevokedAt) || v.Subject == string(row.Client) && !v.At.Before(row.RevokedAt))
		})
	}
	if x.Event == nil {
		x.Sentence += " at " + stamp(row.RevokedAt)
	}
	return err
}

// eventsSearched bounds how far back an act is looked for.
const eventsSearched = 10_000

// findEvent returns the newest event since then that is the one.
func (e *Engine) findEvent(ctx context.Context, since time.Time, is func(*Event) bool) (*Event, error) {
	const page = 500
	before := int64(0)
	for range eventsSearched / page {
		events, err := e.store.Audit(ctx, before, page)
		if err != nil {
			return nil, err
		}
		for i := range events {
			if events[i].At.Before(since) {
				return nil, nil
			}
			if is(&events[i]) {
				return &events[i], nil
			}
		}
		if len(events) < page {
			return nil, nil
		}
		before = events[len(events)-1].Seq
	}
	return nil, nil
}

// simply says what needs no look at the ledger.
func (x *Explanation) simply(tok, client string) (sentence, advice string) {
	switch x.Reason {
	case ReasonMalformed:
		return x.malformed()
	case ReasonUnknownToken:
		return "no token like the one that was shown is on the ledger: it is made up, damaged, of another installation, or expired more than a day ago", ""
	case ReasonUnknownKey:
		return "the token names a signing key that verifies nothing here: it is of another installation or environment, its key was compromised, or it expired long ago", "see `gatehouse key list`"
	case ReasonBadSignature:
		return "the token's signature is not its key's: it was changed, or made up", ""
	case ReasonWrongEnvironment:
		if x.Code == InvalidClient {
			return client + " proved itself with a secret of the other environment", "use the id and the secret of one environment"
		}
		return tok + " is of another environment than was asked for", "a token is good in the environment whose secret obtained it"
	case ReasonWrongAudience:
		return tok + " is for another audience than was asked for", ""
	case ReasonWrongIssuer:
		return "the token was issued under another issuer's name", "the issuer of a server must not change while its tokens live"
	case ReasonOldIssuerOver:
		return "the token is an old issuer's, and the time for which those were accepted is over", "the caller must get its tokens here; `gatehouse import status` shows who still uses old ones, and old_issuers in the settings holds the date"
	case ReasonWrongType, ReasonWrongKind:
		return tok + " is none that gives access: another kind of token, or of a form that no loaded dialect has", ""
	case ReasonScope:
		return tok + " lacks a scope that was asked for", ""
	case ReasonOtherDialect:
		return client + " speaks another dialect than this route", ""
	case ReasonWrongClient:
		return tok + " is another client's", ""
	case ReasonWrongConnection:
		return "the code is good, but the connection that was named with it is another", ""
	case ReasonWrongRedirect:
		return client + " has not registered the redirect URI that was sent, to the letter", "see `gatehouse client show " + string(x.Client) + "` and `gatehouse client update --redirect-uri`"
	case ReasonWrongBinding:
		return "the code's client is right, but the code itself, the redirect_uri or the code_verifier is not what the user was asked with", "a client sends all three as they were at its start; a code that others have seen is useless to them because of this"
	case ReasonUnknownClient:
		return fmt.Sprintf("no client has the id %q", x.Client), "see `gatehouse client list`"
	case ReasonWrongSecret:
		return client + " is known, but what it proved itself with is none of its secrets, live or retired", "see `gatehouse secret list --client " + string(x.Client) + "`"
	case ReasonWrongSecrets:
		return "too many wrong secrets came for " + client + " from " + x.Addr.String(), "it passes by itself; the right secret of another address is not affected"
	case ReasonSpent, ReasonReplayed:
		return tok + " was used before, and is good for one use", "a caller must keep what the first use gave it"
	case ReasonRate:
		return client + " has used up its limit", "see `gatehouse client update --limit-rate`"
	case ReasonPlainHTTP:
		return "the request came over plain HTTP", "use HTTPS, or name the proxy in front under trusted_proxies"
	case ReasonStore:
		return "the database could not answer", "see the log and /readyz"
	case ReasonStale:
		return "this node had not heard from the journal for longer than its bound, so that it could not know what is revoked", "see the log and /readyz"
	case ReasonInternal:
		return "something went wrong in the server", "see the log under this request id"
	}
	sentence = strings.ReplaceAll(string(x.Reason), "_", " ")
	if x.Message != "" {
		sentence += ": " + x.Message
	}
	return sentence, ""
}

func (x *Explanation) malformed() (sentence, advice string) {
	switch x.Code {
	case MissingToken:
		sentence = "the request has no bearer token"
		advice = "the caller must send the header `Authorization: Bearer TOKEN`, with the word Bearer"
	case InvalidToken:
		sentence = "what was sent as a token is none: cut short, mistyped, or of another system"
	default:
		sentence = "the request is not what this route takes"
	}
	if x.Message != "" {
		sentence += ": " + x.Message
	}
	return sentence, advice
}

func (x *Explanation) tokenText() string {
	switch {
	case x.Record != nil:
		return fmt.Sprintf("token %s of client %s (%s, issued %s)", x.Token, x.Record.Client, x.Record.Environment, stamp(x.Record.IssuedAt))
	case !x.Token.IsZero():
		return fmt.Sprintf("token %s of client %s", x.Token, x.Client)
	}
	return "the token"
}

func (a Actor) text() string {
	s := string(a.Kind)
	if a.ID != "" {
		s += " " + a.ID
	}
	if a.Addr.IsValid() {
		s += " from " + a.Addr.String()
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// gap is a duration as people say it.
func gap(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

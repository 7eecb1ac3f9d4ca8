package gatehouse

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A LeakStatus says what became of something that leaked.
type LeakStatus string

// The statuses. Whoever holds a token may end it, so tokens are revoked on
// sight. A client secret is only flagged, unless the policy says more: to retire
// it stops the client's business.
const (
	LeakRevoked LeakStatus = "revoked"
	LeakOver    LeakStatus = "over" // expired, revoked or retired before
	LeakFlagged LeakStatus = "flagged"
	LeakRetired LeakStatus = "retired"
)

// A Leak is something of ours that stood in a text where it shouldn't.
type Leak struct {
	At          int // where in the text it begins, in bytes
	Length      int
	Kind        string // access, refresh, code, or client_secret
	Token       TokenID
	Secret      SecretID
	Client      ClientID // as a whole
	ClientID    ClientID // its wire id
	Environment Environment
	Dialect     string
	Status      LeakStatus
	Stopped     int // live tokens that ended with it
}

// maxLeaks bounds what one report can make the ledger do.
const maxLeaks = 100

// ReportLeak finds what is ours in a text that others have seen, such as what
// a secret scanner found, and ends the tokens. Client secrets are flagged in the
// audit record, and retired as compromised where retire is set. source says
// where the text was found.
func (e *Engine) ReportLeak(ctx context.Context, by Actor, source, text string, retire bool) ([]Leak, error) {
	var out []Leak
	seen := map[string]bool{}
	for _, at := range candidates(text) {
		word := text[at[0]:at[1]]
		if seen[word] {
			continue
		}
		seen[word] = true
		leak, err := e.leaked(ctx, by, source, secret.New(word), retire)
		if err != nil {
			return out, err
		}
		if leak == nil {
			continue
		}
		leak.At, leak.Length = at[0], at[1]-at[0]
		if out = append(out, *leak); len(out) == maxLeaks {
			break
		}
	}
	return out, nil
}

// leaked ends or flags one word, nil where it is none of ours.
func (e *Engine) leaked(ctx context.Context, by Actor, source string, word secret.Text, retire bool) (*Leak, error) {
	if leak, err := e.leakedSecret(ctx, by, source, word, retire); leak != nil || err != nil {
		return leak, err
	}
	if s := word.Reveal(); !strings.Contains(s, ".") && !e.state.importsAt(e.clock.now()) {
		if _, _, err := token.ParseOpaque(s); err != nil {
			return nil, nil
		}
	}
	row, err := e.rowOf(ctx, word)
	if err != nil {
		if AsError(err).Code == NotFound {
			return nil, nil
		}
		return nil, err
	}
	leak := &Leak{Kind: string(row.Kind), Token: row.ID, Client: row.Client, ClientID: e.WireID(row), Environment: row.Environment, Dialect: row.Dialect, Status: LeakOver}
	if e.StatusOf(row) != StatusActive {
		return leak, nil
	}
	if err := e.onLedger(ctx, row); err != nil {
		return nil, err
	}
	act := e.act(by, "token.leaked", row.ID.String(), "source", source, "client_id", string(row.Client))
	ended, err := e.revoke(ctx, act, Selection{Token: row.ID})
	if err != nil {
		return nil, err
	}
	leak.Status, leak.Stopped = LeakRevoked, ended.Tokens
	return leak, nil
}

func (e *Engine) leakedSecret(ctx context.Context, by Actor, source string, word secret.Text, retire bool) (*Leak, error) {
	owner, s := e.secretLike(word)
	if s == nil {
		return nil, nil
	}
	leak := &Leak{
		Kind: "client_secret", Secret: s.ID, Client: owner.ID, ClientID: owner.IDs[s.Environment], Environment: s.Environment,
		Dialect: owner.Dialect, Status: LeakOver,
	}
	if !s.Live() {
		return leak, nil
	}
	act := e.act(by, "secret.leaked", string(owner.ID), "secret_id", s.ID.String(), "environment", string(s.Environment), "source", source)
	if _, err := e.changeClient(ctx, act, owner.ID, func(*Client) error { return nil }); err != nil {
		return nil, err
	}
	leak.Status = LeakFlagged
	if !retire {
		return leak, nil
	}
	retired, err := e.RetireSecret(ctx, by, s.ID, true)
	var refusal *Error
	if errors.As(err, &refusal) && refusal.Code == Conflict {
		return leak, nil // somebody was quicker
	} else if err != nil {
		return nil, err
	}
	leak.Status, leak.Stopped = LeakRetired, retired.Ended
	return leak, nil
}

// secretLike finds the client secret that word is. Slow hashes are not tried:
// nobody's word may cost them for every client.
func (e *Engine) secretLike(word secret.Text) (*Client, *ClientSecret) {
	digest := e.digester.Digest(digestSecret, word)
	var wrapped *credential.Digest
	for _, c := range e.state.all() {
		if c.State == Deleted {
			continue
		}
		for i := range c.Secrets {
			s := &c.Secrets[i]
			switch {
			case s.Digest == nil:
			case s.FastHash == "" && equalDigest(s.Digest, digest):
				return c, s
			case s.FastHash != "":
				if wrapped == nil {
					d := e.digester.DigestOfSHA256(digestSecret, word)
					wrapped = &d
				}
				if equalDigest(s.Digest, *wrapped) {
					return c, s
				}
			}
		}
	}
	return nil, nil
}

var (
	jwtLike    = regexp.MustCompile(`\beyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+`)
	secretLike = regexp.MustCompile(`[0-9A-Za-z_-]{20,200}`)
)

// candidates are the places of words that could be ours, in their order. A
// word of ours may be stuck to what stands before it, as in "key-live_…", so
// every place where it could begin is tried; its checksum tells.
func candidates(text string) (places [][2]int) {
	for _, at := range jwtLike.FindAllStringIndex(text, -1) {
		places = append(places, [2]int{at[0], at[1]})
	}
	for _, at := range secretLike.FindAllStringIndex(text, -1) {
		run := text[at[0]:at[1]]
		places = append(places, [2]int{at[0], at[1]}) // an imported secret has no form
		for i := 1; i < len(run); i++ {
			if run[i-1] != '_' && run[i-1] != '-' {
				continue
			}
			word := run[i:]
			if _, _, err := token.ParseOpaque(word); err == nil || token.ValidSecret(word) {
				places = append(places, [2]int{at[0] + i, at[1]})
			}
		}
	}
	slices.SortStableFunc(places, func(a, b [2]int) int { return a[0] - b[0] })
	return places
}

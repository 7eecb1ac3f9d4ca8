package gatehouse

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// digestImport is what the keyed digests of imported tokens are taken for.
const digestImport = "imported token"

// An ImportToken is a live opaque access token of another system, known by the
// SHA-256 of its bytes.
type ImportToken struct {
	SHA256      [32]byte
	Client      ClientID // whole or wire
	Environment Environment
	Name        string
	Scopes      *[]string // nil is all that the client has
	User        string
	IssuedAt    time.Time // zero is now
	ExpiresAt   time.Time // zero is never
}

// ImportStatus says what became of one item of an import.
type ImportStatus string

// The statuses.
const (
	ImportNew       ImportStatus = "new"       // it is here now, or would be
	ImportUnchanged ImportStatus = "unchanged" // it was here already
	ImportExpired   ImportStatus = "expired"   // left out
	ImportRefused   ImportStatus = "refused"
)

// An ImportResult is what became of the item with the same index. Err is set
// where it was refused.
type ImportResult struct {
	Status ImportStatus
	Err    *Error
}

// permanentImport is the mark of a client that has an imported token without
// an end.
var permanentImport = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// NeverExpires reports whether a time of Client.Imports stands for no end.
func NeverExpires(until time.Time) bool { return until.Equal(permanentImport) }

// importGroup bounds how many rows one transaction writes, which other writers
// wait for.
const importGroup = 250

// ImportTokens takes over tokens: from now on they stand like those made here.
// An item that is here already is left as it is, revoked or not. Where dry is
// set nothing is written. Items that are refused don't keep the others out; the
// error says that the store failed, and that a prefix of the items may have
// been taken: the same call again continues.
func (e *Engine) ImportTokens(ctx context.Context, by Actor, items []ImportToken, dry bool) ([]ImportResult, error) {
	now := e.clock.now()
	results := make([]ImportResult, len(items))
	rows := make([]*TokenRecord, len(items))
	inCall := map[TokenID]bool{}
	for i := range items {
		row, err := e.importRow(&items[i], now)
		switch {
		case err != nil:
			results[i] = ImportResult{ImportRefused, AsError(err)}
		case inCall[row.ID]:
			results[i] = ImportResult{ImportRefused, AsError(wrongField("sha256", "this token stands twice in the import: leave one line"))}
		case !row.ExpiresAt.IsZero() && !now.Before(row.ExpiresAt):
			results[i].Status = ImportExpired
		default:
			results[i].Status, rows[i] = ImportNew, row
		}
		if row != nil {
			inCall[row.ID] = true
		}
	}
	if err := e.compareRows(ctx, rows, results); err != nil || dry {
		return results, err
	}
	if err := e.expectImports(ctx, by, rows); err != nil {
		return results, err
	}
	for _, group := range importGroups(rows) {
		err := e.recordImports(ctx, by, group, now)
		if errors.Is(err, ErrExists) { // another import of the same tokens is under way
			err = e.recordOneByOne(ctx, by, group, now, rows, results)
		}
		if err != nil {
			return results, fmt.Errorf("recording imported tokens: %w", err)
		}
	}
	e.arrivals.misses.clear()
	return results, nil
}

// importRow makes the row of a token, or says what is wrong with it.
func (e *Engine) importRow(t *ImportToken, now time.Time) (*TokenRecord, error) {
	c, err := e.enabledIn(t.Client, t.Environment)
	if err != nil {
		return nil, err
	}
	issued := t.IssuedAt
	if issued.IsZero() {
		issued = now
	}
	expires := t.ExpiresAt.UTC().Truncate(time.Second)
	issued = issued.UTC().Truncate(time.Millisecond)
	digest := e.digester.Wrap(digestImport, t.SHA256)
	row := &TokenRecord{
		ID: token.DerivedID(digest), Kind: AccessToken, Client: c.ID, Environment: t.Environment, Dialect: c.Dialect, Name: t.Name,
		Scopes: c.Scopes, User: t.User, Digest: digest[:], IssuedAt: issued, ExpiresAt: expires,
	}
	if t.Scopes != nil {
		row.Scopes = *t.Scopes
	}
	switch {
	case issued.After(now.Add(token.ClockSkew)):
		return nil, wrongField("issued", "it lies in the future: write the time at which the token was made, such as 2026-01-31T00:00:00Z")
	case issued.Before(time.Unix(0, 0)):
		return nil, wrongField("issued", "it lies before 1970: write the time at which the token was made, such as 2026-01-31T00:00:00Z")
	case !expires.IsZero() && expires.Before(issued):
		return nil, wrongField("expires", "it lies before the time of issue: write when the token ends, or never")
	case !expires.IsZero() && expires.After(permanentImport):
		return nil, wrongField("expires", "it lies beyond the year 9999: write never for a token without an end")
	case !printable(t.Name, 200):
		return nil, wrongField("name", "a token's name has at most 200 printable characters")
	case !printable(t.User, 200):
		return nil, wrongField("user", "a user's id has at most 200 printable characters")
	}
	for i, s := range row.Scopes {
		switch {
		case !slices.Contains(c.Scopes, s):
			return nil, wrongField("scopes", fmt.Sprintf("client %s doesn't have the scope %q: leave it out, or give it to the client with `gatehouse client update --scope`", c.ID, s))
		case slices.Contains(row.Scopes[:i], s):
			return nil, wrongField("scopes", fmt.Sprintf("scope %q is given twice", s))
		}
	}
	if at := e.state.cutOffAt(row); !at.IsZero() {
		return nil, &Error{Code: Conflict, Reason: ReasonRevoked, Field: "issued", Client: c.ID,
			Message: fmt.Sprintf("everything of this client that was issued by %s was revoked, so this token ended with it: leave it out", stamp(at))}
	}
	return row, nil
}

// compareRows looks for tokens that are here already. rows of those become nil.
func (e *Engine) compareRows(ctx context.Context, rows []*TokenRecord, results []ImportResult) error {
	const workers = 8
	var wait sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(rows) && errs[w] == nil; i += workers {
				if rows[i] != nil {
					errs[w] = e.compareRow(ctx, &rows[i], &results[i])
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (e *Engine) compareRow(ctx context.Context, row **TokenRecord, result *ImportResult) error {
	is, err := e.store.Token(ctx, (*row).ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return unavailable(err)
	}
	if differs := importDiffers(is, *row); differs != "" {
		*result = ImportResult{ImportRefused, &Error{Code: Conflict, Reason: ReasonExists, Field: differs, Token: is.ID,
			Message: fmt.Sprintf("this token is here already, with another %s: correct the line, or revoke it with `gatehouse token revoke %s`", differs, is.ID)}}
	} else {
		result.Status = ImportUnchanged
	}
	*row = nil
	return nil
}

// importDiffers names what tells two imports of one token apart, or "".
func importDiffers(is, new *TokenRecord) string {
	switch {
	case is.Client != new.Client:
		return "client"
	case is.Environment != new.Environment:
		return "environment"
	case !is.ExpiresAt.Equal(new.ExpiresAt):
		return "expiry"
	case is.Name != new.Name:
		return "name"
	case is.User != new.User:
		return "user"
	}
	return ""
}

// expectImports marks the clients, so that every node and gate looks for their
// tokens before the first of them is there.
func (e *Engine) expectImports(ctx context.Context, by Actor, rows []*TokenRecord) error {
	type owner struct {
		client ClientID
		env    Environment
	}
	until := map[owner]time.Time{}
	for _, r := range rows {
		if r == nil {
			continue
		}
		at := r.ExpiresAt
		if at.IsZero() {
			at = permanentImport
		}
		if o := (owner{r.Client, r.Environment}); at.After(until[o]) {
			until[o] = at
		}
	}
	for o, at := range until {
		if c := e.state.client(o.client); c != nil && !at.After(c.Imports[o.env]) {
			continue
		}
		act := e.act(by, "client.expect", "", "environment", string(o.env), "imported_until", stamp(at))
		_, err := e.changeClient(ctx, act, o.client, func(c *Client) error {
			imports := map[Environment]time.Time{o.env: at}
			for env, t := range c.Imports {
				if t.After(imports[env]) {
					imports[env] = t
				}
			}
			c.Imports = imports
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// importGroups puts rows of one client and environment together.
func importGroups(rows []*TokenRecord) [][]TokenRecord {
	sorted := slices.DeleteFunc(slices.Clone(rows), func(r *TokenRecord) bool { return r == nil })
	slices.SortStableFunc(sorted, func(a, b *TokenRecord) int {
		return strings.Compare(string(a.Client)+"\x00"+string(a.Environment), string(b.Client)+"\x00"+string(b.Environment))
	})
	var groups [][]TokenRecord
	for _, r := range sorted {
		last := len(groups) - 1
		if last < 0 || len(groups[last]) == importGroup || groups[last][0].Client != r.Client || groups[last][0].Environment != r.Environment {
			groups = append(groups, nil)
			last++
		}
		groups[last] = append(groups[last], *r)
	}
	return groups
}

func (e *Engine) recordImports(ctx context.Context, by Actor, rows []TokenRecord, now time.Time) error {
	act := e.act(by, "token.import", string(rows[0].Client), "environment", string(rows[0].Environment), "tokens", fmt.Sprint(len(rows)))
	return e.store.Record(ctx, &Grant{At: now, Tokens: rows, Act: &act})
}

func (e *Engine) recordOneByOne(ctx context.Context, by Actor, group []TokenRecord, now time.Time, rows []*TokenRecord, results []ImportResult) error {
	for i := range group {
		err := e.recordImports(ctx, by, group[i:i+1], now)
		if err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if at := slices.IndexFunc(rows, func(r *TokenRecord) bool { return r != nil && r.ID == group[i].ID }); err != nil {
			results[at].Status = ImportUnchanged
		}
	}
	return nil
}

// findImport returns an imported token, or ours where there is none.
func (e *Engine) findImport(ctx context.Context, tok string, ours error) (*arrival, error) {
	digest := e.digester.DigestOfSHA256(digestImport, secret.New(tok))
	r, err := e.store.Token(ctx, token.DerivedID(digest))
	if errors.Is(err, ErrNotFound) {
		return nil, ours
	} else if err != nil {
		return nil, unavailable(err)
	}
	if subtle.ConstantTimeCompare(digest[:], r.Digest) != 1 {
		return nil, ours
	}
	return &arrival{row: r, seen: e.sightings.of(sightingKey{ImportedTokens, r.Client, r.Environment})}, nil
}

// elsewhereOf finds what another system made.
func (e *Engine) elsewhereOf(ctx context.Context, tok string, ours error) (*arrival, error) {
	now := e.clock.now()
	if strings.Contains(tok, ".") {
		a, err := e.fromOldIssuer(ctx, tok, now, ours)
		if err == nil || !nobodys(err) {
			return a, err
		}
		ours = err
	}
	if !e.state.importsAt(now) || len(tok) > token.MaxSize {
		return nil, ours
	}
	return e.arrivals.pass(ctx, tok, now, ours, func() (*arrival, error) { return e.findImport(ctx, tok, ours) })
}

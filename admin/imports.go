package admin

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
)

// Bounds of one call of an import: MaxImport items. A file is sent in many.
const (
	MaxImport     = 1000
	maxImportBody = 8 << 20
)

// ImportClient is a client of another system, with its ids and hashes.
type ImportClient struct {
	NewClient
	Disabled bool `json:"disabled,omitzero" doc:"let it in, but obtain nothing until it is enabled"`
}

// ImportClients asks that clients move in.
type ImportClients struct {
	DryRun bool           `json:"dry_run,omitzero" doc:"say what would be done, and do nothing"`
	Items  []ImportClient `json:"items" minItems:"1" maxItems:"1000"`
}

// ImportToken is a live opaque access token of another system.
type ImportToken struct {
	SHA256      string     `json:"sha256" doc:"of the token as it goes over the wire: 32 bytes in base64"`
	ClientID    string     `json:"client_id" minLength:"1"`
	Environment string     `json:"environment"`
	Scopes      *[]string  `json:"scopes,omitzero" doc:"none given is all that the client has"`
	User        string     `json:"user,omitempty"`
	Name        string     `json:"name,omitempty"`
	IssuedAt    *time.Time `json:"issued_at,omitzero" doc:"none is now"`
	ExpiresAt   *time.Time `json:"expires_at" doc:"null is never"`
}

// ImportTokens asks that tokens move in.
type ImportTokens struct {
	DryRun bool          `json:"dry_run,omitzero" doc:"say what would be done, and do nothing"`
	Items  []ImportToken `json:"items" minItems:"1" maxItems:"1000"`
}

// Imported says for each item of an import what became of it, in their order.
type Imported struct {
	Items []ImportResult `json:"items"`
}

// ImportResult is what became of one item.
type ImportResult struct {
	Status  string `json:"status" enum:"new,unchanged,expired,refused" doc:"unchanged: it was here already; expired: left out"`
	Field   string `json:"field,omitempty" doc:"what is wrong with a refused item"`
	Message string `json:"message,omitempty" doc:"and what to write instead"`
}

// ImportStatus says what still comes of what other systems made.
type ImportStatus struct {
	Tokens     []ImportedClient `json:"tokens" doc:"clients that have imported tokens"`
	OldIssuers []OldIssuer      `json:"old_issuers"`
	Seen       []Sighting       `json:"seen" doc:"what came, the newest first; a client that is not here has used none"`
}

// ImportedClient is a client with imported tokens.
type ImportedClient struct {
	ClientID    string     `json:"client_id"`
	Name        string     `json:"name"`
	Environment string     `json:"environment"`
	Until       *time.Time `json:"until" doc:"when the last of them expires; null is never"`
}

// OldIssuer is a token endpoint whose JWTs are accepted until a date.
type OldIssuer struct {
	Name        string    `json:"name"`
	Issuer      string    `json:"issuer"`
	Environment string    `json:"environment"`
	Until       time.Time `json:"until"`
	Accepted    bool      `json:"accepted" doc:"the date is not past"`
	Keys        int       `json:"keys" doc:"how many keys its key set holds for us"`
	Problem     string    `json:"problem,omitempty" doc:"why its keys can't be read"`
}

// Sighting is what came of one client and source.
type Sighting struct {
	Source      string           `json:"source" doc:"imported tokens, or an old issuer's name"`
	ClientID    string           `json:"client_id"`
	Environment string           `json:"environment"`
	FirstSeenAt time.Time        `json:"first_seen_at"`
	LastSeenAt  time.Time        `json:"last_seen_at"`
	Total       int64            `json:"total" doc:"validations on all nodes; a remote gate asks once in five minutes for each token"`
	Days        map[string]int64 `json:"days" doc:"validations by UTC date, of the last 35 days"`
}

// OldToken names a token of an old issuer that nobody here holds.
type OldToken struct {
	OldIssuer string `json:"old_issuer" minLength:"1"`
	JTI       string `json:"jti" minLength:"1" maxLength:"1000"`
	ClientID  string `json:"client_id" minLength:"1"`
}

func (s *server) importRoutes(api huma.API) {
	tags := []string{"Moving in"}
	route(s, api, huma.Operation{
		OperationID: "import-clients", Method: http.MethodPost, Path: "/import/clients", DefaultStatus: http.StatusOK, Tags: tags, MaxBodyBytes: maxImportBody,
		Summary: "Take over clients with their ids and the hashes of their secrets",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body ImportClients }) (Imported, error) {
		out := Imported{Items: []ImportResult{}}
		for _, item := range in.Body.Items {
			n, err := s.newClient(item.NewClient)
			if err != nil {
				out.Items = append(out.Items, shownImport(gatehouse.ImportResult{Status: gatehouse.ImportRefused, Err: gatehouse.AsError(err)}))
				continue
			}
			r := s.engine.ImportClient(ctx, by, gatehouse.ImportClient{NewClient: n, Disabled: item.Disabled}, in.Body.DryRun)
			if r.Err != nil && (r.Err.Code == gatehouse.Unavailable || r.Err.Code == gatehouse.ServerError) {
				return out, r.Err
			}
			out.Items = append(out.Items, shownImport(r))
		}
		return out, nil
	})

	route(s, api, huma.Operation{
		OperationID: "import-tokens", Method: http.MethodPost, Path: "/import/tokens", DefaultStatus: http.StatusOK, Tags: tags, MaxBodyBytes: maxImportBody,
		Summary: "Take over live opaque access tokens by their SHA-256",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body ImportTokens }) (Imported, error) {
		return s.importTokens(ctx, by, in.Body)
	})

	route(s, api, huma.Operation{
		OperationID: "import-status", Method: http.MethodGet, Path: "/import", Tags: tags,
		Summary: "Show how many tokens of other systems still come, of whom, and when last",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (ImportStatus, error) {
		return s.importStatus(ctx)
	})

	route(s, api, huma.Operation{
		OperationID: "revoke-old-token", Method: http.MethodPost, Path: "/import/revoke", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Revoke one token of an old issuer by its jti",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body OldToken }) (Revoked, error) {
		c, err := s.client(in.Body.ClientID)
		if err != nil {
			return Revoked{}, err
		}
		r, err := s.engine.RevokeOldToken(ctx, by, gatehouse.OldToken{Issuer: in.Body.OldIssuer, ID: in.Body.JTI, Client: c.ID})
		return Revoked{r.Tokens}, err
	})
}

func (s *server) importTokens(ctx context.Context, by gatehouse.Actor, b ImportTokens) (Imported, error) {
	out := Imported{Items: make([]ImportResult, len(b.Items))}
	var items []gatehouse.ImportToken
	var places []int
	for i, item := range b.Items {
		t, err := s.importToken(item)
		if err != nil {
			out.Items[i] = shownImport(gatehouse.ImportResult{Status: gatehouse.ImportRefused, Err: gatehouse.AsError(err)})
			continue
		}
		items, places = append(items, t), append(places, i)
	}
	results, err := s.engine.ImportTokens(ctx, by, items, b.DryRun)
	for i, r := range results {
		out.Items[places[i]] = shownImport(r)
	}
	return out, err
}

func (s *server) importToken(item ImportToken) (t gatehouse.ImportToken, err error) {
	sum, err := base64.StdEncoding.Strict().DecodeString(item.SHA256)
	if err != nil || copy(t.SHA256[:], sum) != len(sum) || len(sum) != len(t.SHA256) {
		return t, refuse("sha256", "not a SHA-256: write its 32 bytes in base64")
	}
	id, c, err := s.named(item.ClientID)
	if err != nil {
		return t, err
	}
	if t.Environment, err = environment("environment", item.Environment); err != nil {
		return t, err
	}
	// An id that a client has in one environment is not taken for the other's.
	if wire, ok := c.WireID(t.Environment); ok && wire != id && c.ID != id {
		return t, refuse("client_id", "the client has another id in %s: write %s", t.Environment, s.wire(c.Dialect, wire))
	}
	t.Client, t.Name, t.User, t.Scopes = c.ID, item.Name, item.User, item.Scopes
	if item.IssuedAt != nil {
		t.IssuedAt = *item.IssuedAt
	}
	if item.ExpiresAt != nil {
		t.ExpiresAt = *item.ExpiresAt
	}
	return t, nil
}

func shownImport(r gatehouse.ImportResult) ImportResult {
	out := ImportResult{Status: string(r.Status)}
	if r.Err != nil {
		out.Field, out.Message = r.Err.Field, r.Err.Message
	}
	return out
}

func (s *server) importStatus(ctx context.Context) (ImportStatus, error) {
	out := ImportStatus{Tokens: []ImportedClient{}, OldIssuers: []OldIssuer{}, Seen: []Sighting{}}
	const most = 1 << 20
	for _, c := range s.engine.Clients("", most) {
		for _, env := range c.EnvironmentsOf() {
			until, ok := c.Imports[env]
			if !ok || !s.engine.Now().Before(until) {
				continue
			}
			if gatehouse.NeverExpires(until) {
				until = time.Time{}
			}
			out.Tokens = append(out.Tokens, ImportedClient{ClientID: s.wire(c.Dialect, c.IDs[env]), Name: c.Name, Environment: string(env), Until: moment(until)})
		}
	}
	for _, o := range s.engine.OldIssuers() {
		shown := OldIssuer{Name: o.Name, Issuer: o.Issuer, Environment: string(o.Environment), Until: o.Until.UTC(), Accepted: s.engine.Now().Before(o.Until)}
		if ring, err := o.Keys.Keys(ctx, false); err != nil {
			shown.Problem = err.Error()
		} else {
			shown.Keys = len(ring.Keys())
		}
		out.OldIssuers = append(out.OldIssuers, shown)
	}
	seen, err := s.engine.Sightings(ctx)
	if err != nil {
		return out, err
	}
	for _, one := range seen {
		id, dialect := one.Client, ""
		if c, ok := s.engine.Client(one.Client); ok {
			id, dialect = c.IDs[one.Environment], c.Dialect
		}
		out.Seen = append(out.Seen, Sighting{
			Source: one.Source, ClientID: s.wire(dialect, id), Environment: string(one.Environment), FirstSeenAt: one.First, LastSeenAt: one.Last,
			Total: one.Total, Days: one.Days,
		})
	}
	return out, nil
}

// ImportClients moves clients in.
func (c *Caller) ImportClients(ctx context.Context, r ImportClients) (out Imported, err error) {
	return out, c.call(ctx, http.MethodPost, "/import/clients", nil, "", r, &out)
}

// ImportTokens moves tokens in.
func (c *Caller) ImportTokens(ctx context.Context, r ImportTokens) (out Imported, err error) {
	return out, c.call(ctx, http.MethodPost, "/import/tokens", nil, "", r, &out)
}

// ImportStatus shows what still comes.
func (c *Caller) ImportStatus(ctx context.Context) (out ImportStatus, err error) {
	return out, c.call(ctx, http.MethodGet, "/import", nil, "", nil, &out)
}

// RevokeOldToken revokes one token of an old issuer.
func (c *Caller) RevokeOldToken(ctx context.Context, t OldToken) (out Revoked, err error) {
	return out, c.call(ctx, http.MethodPost, "/import/revoke", nil, "", t, &out)
}

package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Caller calls the admin API of a running server. It is safe for concurrent
// use. Refusals are *Problem; a server that can't be reached is
// *UnreachableError.
type Caller struct {
	base  string
	where string // for messages
	token secret.Text
	http  *http.Client
}

// UnreachableError says that nobody answers where the server should be.
type UnreachableError struct {
	Where string
	Err   error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no server answers at %s: %v", e.Where, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// callTimeout bounds one call; the longest is a check of every hash chain.
const callTimeout = 5 * time.Minute

// DialSocket returns a Caller through the admin socket at path. It connects at
// the first call.
func DialSocket(path string) *Caller {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, path) },
	}
	return &Caller{base: "http://admin.invalid", where: path, http: &http.Client{Transport: transport, Timeout: callTimeout}}
}

// DialURL returns a Caller of the admin listener at base, an https URL, or an
// http one on loopback: the token does not travel in the clear. unix:PATH is
// the socket at PATH.
func DialURL(base string, token secret.Text) (*Caller, error) {
	if path, ok := strings.CutPrefix(base, "unix:"); ok {
		return DialSocket(path), nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is no admin URL: write it like https://gatehouse.example:8081", base)
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !loopback(u.Hostname()) {
			return nil, fmt.Errorf("the admin token must not travel in the clear: use https, or the admin socket on %s", u.Hostname())
		}
	default:
		return nil, fmt.Errorf("%q is no admin URL: it must be http, https or unix", base)
	}
	if token.IsZero() {
		return nil, errors.New("an admin URL needs the admin token: set GATEHOUSE_ADMIN_TOKEN")
	}
	client := &http.Client{
		Timeout: callTimeout,
		// A redirect would carry the request, and perhaps the token, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Caller{base: strings.TrimSuffix(base, "/"), where: base, token: token, http: client}, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// call sends in (nil: no body) and reads the answer into out (nil: ignored).
func (c *Caller) call(ctx context.Context, method, path string, query url.Values, key string, in, out any) error {
	req, err := c.request(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return &UnreachableError{c.where, err}
	}
	if resp.StatusCode >= 300 {
		return c.problem(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s gave an answer that this version can't read: %w", c.where, err)
	}
	return nil
}

func (c *Caller) request(ctx context.Context, method, path string, query url.Values, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	target := c.base + "/admin/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	return req, nil
}

func (c *Caller) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, which says nothing on a socket
	}
	return &UnreachableError{c.where, err}
}

// problem is what an answer that is no success says.
func (c *Caller) problem(resp *http.Response, answer []byte) error {
	p := &Problem{}
	if err := json.Unmarshal(answer, p); err != nil || p.Status == 0 {
		return fmt.Errorf("%s answered %s: is it a Gatehouse's admin listener?", c.where, resp.Status)
	}
	return p
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	set(q, "cursor", p.Cursor)
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// CreateClient creates a client. A key makes the call safe to repeat; "" is none.
func (c *Caller) CreateClient(ctx context.Context, n NewClient, key string) (out CreatedClient, err error) {
	return out, c.call(ctx, http.MethodPost, "/clients", nil, key, n, &out)
}

// Clients lists clients.
func (c *Caller) Clients(ctx context.Context, p Page) (out List[Client], err error) {
	return out, c.call(ctx, http.MethodGet, "/clients", p.query(), "", nil, &out)
}

// Client shows a client.
func (c *Caller) Client(ctx context.Context, id string) (out Client, err error) {
	return out, c.call(ctx, http.MethodGet, "/clients/"+url.PathEscape(id), nil, "", nil, &out)
}

// UpdateClient changes what change names.
func (c *Caller) UpdateClient(ctx context.Context, id string, change ClientChange) (out Client, err error) {
	return out, c.call(ctx, http.MethodPatch, "/clients/"+url.PathEscape(id), nil, "", change, &out)
}

// SetClientLogo sets the picture that end users know a client by; none removes it.
func (c *Caller) SetClientLogo(ctx context.Context, id string, picture []byte) (out Client, err error) {
	path := "/clients/" + url.PathEscape(id) + "/logo"
	if len(picture) == 0 {
		return out, c.call(ctx, http.MethodDelete, path, nil, "", nil, &out)
	}
	return out, c.call(ctx, http.MethodPut, path, nil, "", ClientLogo{picture}, &out)
}

// EnableClient lets a disabled client act again.
func (c *Caller) EnableClient(ctx context.Context, id string) (out ClientStateChanged, err error) {
	return out, c.call(ctx, http.MethodPost, "/clients/"+url.PathEscape(id)+"/enable", nil, "", nil, &out)
}

// DisableClient stops a client until it is enabled.
func (c *Caller) DisableClient(ctx context.Context, id string) (out ClientStateChanged, err error) {
	return out, c.call(ctx, http.MethodPost, "/clients/"+url.PathEscape(id)+"/disable", nil, "", nil, &out)
}

// DeleteClient stops a client for good.
func (c *Caller) DeleteClient(ctx context.Context, id string) (out ClientStateChanged, err error) {
	return out, c.call(ctx, http.MethodDelete, "/clients/"+url.PathEscape(id), nil, "", nil, &out)
}

// AddSecret adds a secret to a client.
func (c *Caller) AddSecret(ctx context.Context, client string, n AddSecret, key string) (out AddedSecret, err error) {
	return out, c.call(ctx, http.MethodPost, "/clients/"+url.PathEscape(client)+"/secrets", nil, key, n, &out)
}

// Secrets lists a client's secrets.
func (c *Caller) Secrets(ctx context.Context, client string) (out List[Secret], err error) {
	return out, c.call(ctx, http.MethodGet, "/clients/"+url.PathEscape(client)+"/secrets", nil, "", nil, &out)
}

// RetireSecret retires a secret.
func (c *Caller) RetireSecret(ctx context.Context, id string, compromised bool) (out RetiredSecret, err error) {
	return out, c.call(ctx, http.MethodPost, "/secrets/"+url.PathEscape(id)+"/retire", nil, "", Compromise{compromised}, &out)
}

// IssueToken issues a token on a client's behalf.
func (c *Caller) IssueToken(ctx context.Context, n IssueToken, key string) (out IssuedToken, err error) {
	return out, c.call(ctx, http.MethodPost, "/tokens", nil, key, n, &out)
}

// Tokens lists tokens, newest first.
func (c *Caller) Tokens(ctx context.Context, f TokenFilter, p Page) (out List[Token], err error) {
	q := p.query()
	set(q, "client_id", f.ClientID)
	set(q, "environment", f.Environment)
	set(q, "name", f.Name)
	set(q, "status", f.Status)
	set(q, "kind", f.Kind)
	set(q, "connection_id", f.Connection)
	return out, c.call(ctx, http.MethodGet, "/tokens", q, "", nil, &out)
}

// InspectToken says what a token is.
func (c *Caller) InspectToken(ctx context.Context, t secret.Text) (out Inspection, err error) {
	return out, c.call(ctx, http.MethodPost, "/tokens/inspect", nil, "", InspectToken{Credential{t}}, &out)
}

// Revoke revokes what s selects.
func (c *Caller) Revoke(ctx context.Context, s Selection) (out Revoked, err error) {
	return out, c.call(ctx, http.MethodPost, "/tokens/revoke", nil, "", s, &out)
}

// CreateConnection links a user to a client.
func (c *Caller) CreateConnection(ctx context.Context, n NewConnection, key string) (out CreatedConnection, err error) {
	return out, c.call(ctx, http.MethodPost, "/connections", nil, key, n, &out)
}

// Connections lists connections, newest first.
func (c *Caller) Connections(ctx context.Context, f ConnectionFilter, p Page) (out List[Connection], err error) {
	q := p.query()
	set(q, "client_id", f.ClientID)
	set(q, "environment", f.Environment)
	set(q, "user", f.User)
	return out, c.call(ctx, http.MethodGet, "/connections", q, "", nil, &out)
}

// Connection returns one.
func (c *Caller) Connection(ctx context.Context, id string) (out Connection, err error) {
	return out, c.call(ctx, http.MethodGet, "/connections/"+url.PathEscape(id), nil, "", nil, &out)
}

// Delink ends a connection and the tokens obtained through it.
func (c *Caller) Delink(ctx context.Context, id string) (out Revoked, err error) {
	return out, c.call(ctx, http.MethodDelete, "/connections/"+url.PathEscape(id), nil, "", nil, &out)
}

// Keys lists the signing keys.
func (c *Caller) Keys(ctx context.Context) (out List[Key], err error) {
	return out, c.call(ctx, http.MethodGet, "/keys", nil, "", nil, &out)
}

// RotateKeys makes the keys standing by sign.
func (c *Caller) RotateKeys(ctx context.Context, r RotateKeys) (out List[Key], err error) {
	return out, c.call(ctx, http.MethodPost, "/keys/rotate", nil, "", r, &out)
}

// RetireKey retires a key.
func (c *Caller) RetireKey(ctx context.Context, id string, compromised bool) (out List[Key], err error) {
	return out, c.call(ctx, http.MethodPost, "/keys/"+url.PathEscape(id)+"/retire", nil, "", Compromise{compromised}, &out)
}

// Events lists audit events, newest first.
func (c *Caller) Events(ctx context.Context, p Page) (out List[Event], err error) {
	return out, c.call(ctx, http.MethodGet, "/audit", p.query(), "", nil, &out)
}

// CheckAudit recomputes the hash chains.
func (c *Caller) CheckAudit(ctx context.Context) (out AuditReport, err error) {
	return out, c.call(ctx, http.MethodPost, "/audit/check", nil, "", nil, &out)
}

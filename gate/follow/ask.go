package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const (
	maxAnswer     = 64 << 10
	lookupTimeout = 2 * time.Second
	// maxLookups bounds what made-up tokens can cost the authority: each has to
	// be looked up, and more at once than these wait.
	maxLookups = 64
)

// ask sends a request with the gate's own token, and once more with a new one
// where that is refused.
func (f *Follower) ask(ctx context.Context, method, path string, form url.Values) (*http.Response, error) {
	stale := secret.Text{}
	for try := 0; ; try++ {
		tok, err := f.tokens.get(ctx, stale)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, method, f.base+path, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		req.Header.Set("Authorization", "Bearer "+tok.Reveal())
		res, err := f.http.Do(req)
		if err != nil {
			return nil, fmt.Errorf("asking %s: %w", f.base, err)
		}
		if res.StatusCode != http.StatusUnauthorized || try > 0 {
			return res, nil
		}
		res.Body.Close()
		stale = tok
	}
}

// refused makes an error of an answer that isn't the one that was hoped for.
func refused(res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	var told struct {
		Error       string         `json:"error"`
		Description string         `json:"error_description"`
		Rest        jsontext.Value `json:",unknown"`
	}
	if err := json.Unmarshal(body, &told); err != nil || told.Error == "" {
		return fmt.Errorf("the authority answers %s", res.Status)
	}
	hint := ""
	if told.Error == "insufficient_scope" || told.Error == "invalid_scope" {
		hint = ": give the gate's client the scope " + feed.Scope
	}
	return answerError{told.Error, fmt.Sprintf("the authority answers %s: %s (%s)%s", res.Status, told.Error, told.Description, hint)}
}

// An answerError is the authority's own refusal.
type answerError struct{ word, text string }

func (e answerError) Error() string { return e.text }

// lookup finds the row of an opaque token.
func (f *Follower) lookup(ctx context.Context, tok secret.Text) (*gatehouse.TokenRecord, error) {
	body, err := f.find(ctx, url.Values{"token": {tok.Reveal()}})
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonUnknownToken, "")
	} else if err != nil {
		return nil, unavailable(err)
	}
	row, err := feed.UnmarshalRecord(body, f.cfg.Environment)
	if err != nil {
		return nil, unavailable(err)
	}
	return row, nil
}

func (f *Follower) lookupClient(ctx context.Context, id gatehouse.ClientID) (*gatehouse.Client, error) {
	body, err := f.find(ctx, url.Values{"client_id": {string(id)}})
	if err != nil {
		return nil, err
	}
	return feed.UnmarshalClient(body, f.cfg.Environment)
}

// find asks the authority's look-up. ErrNotFound is its own answer.
func (f *Follower) find(ctx context.Context, what url.Values) (body []byte, err error) {
	err = f.inTurn(ctx, "/gate/lookup", what, func(res *http.Response) (err error) {
		switch res.StatusCode {
		case http.StatusOK:
			body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
			return err
		case http.StatusNotFound:
			return fmt.Errorf("%w: %w", gatehouse.ErrNotFound, refused(res))
		}
		return refused(res)
	})
	return body, err
}

// proveCall asks the authority whether a call's secrets belong with its token.
func (f *Follower) proveCall(ctx context.Context, p gatehouse.CallProof) error {
	form := url.Values{"token": {p.Token.Reveal()}}
	for name, s := range map[string]secret.Text{"client_secret": p.ClientSecret, "user_secret": p.UserSecret} {
		if !s.IsZero() {
			form.Set(name, s.Reveal())
		}
	}
	var denied bool
	err := f.inTurn(ctx, "/gate/prove", form, func(res *http.Response) error {
		if res.StatusCode == http.StatusNoContent {
			return nil
		}
		err := refused(res)
		var told answerError
		denied = errors.As(err, &told) && told.word == string(gatehouse.AccessDenied)
		return err
	})
	switch {
	case denied:
		return &gatehouse.Error{Code: gatehouse.InvalidClient, Reason: gatehouse.ReasonWrongSecret, Err: err}
	case err != nil:
		return &gatehouse.Error{Code: gatehouse.Unavailable, Reason: gatehouse.ReasonStore, Message: "the secrets of the call can't be checked now; try again", RetryAfter: time.Second, Err: err}
	}
	return nil
}

// inTurn asks the authority when fewer than maxLookups questions are under way.
func (f *Follower) inTurn(ctx context.Context, path string, what url.Values, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	res, err := f.ask(ctx, http.MethodPost, path, what)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return read(res)
}

func unavailable(err error) *gatehouse.Error {
	return &gatehouse.Error{Code: gatehouse.Unavailable, Reason: gatehouse.ReasonStore, Message: "the token can't be looked up now; try again", RetryAfter: time.Second, Err: err}
}

// A tokenSource gets the gate's own token, by client credentials.
type tokenSource struct {
	http   *http.Client
	url    string
	id     string
	secret secret.Text

	mu      sync.Mutex
	current secret.Text
	getting chan struct{} // closed when whoever asks for a token is done
}

// get returns a token that is not stale. One caller asks for it; the others
// wait without a lock.
func (s *tokenSource) get(ctx context.Context, stale secret.Text) (secret.Text, error) {
	for {
		s.mu.Lock()
		if !s.current.IsZero() && !s.current.Equal(stale) {
			defer s.mu.Unlock()
			return s.current, nil
		}
		wait := s.getting
		if wait == nil {
			s.getting = make(chan struct{})
		}
		s.mu.Unlock()
		if wait == nil {
			tok, err := s.ask(ctx)
			s.mu.Lock()
			s.current = tok // zero where there is an error
			close(s.getting)
			s.getting = nil
			s.mu.Unlock()
			return tok, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return secret.Text{}, ctx.Err()
		}
	}
}

func (s *tokenSource) ask(ctx context.Context) (secret.Text, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {feed.Scope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(form.Encode()))
	if err != nil {
		return secret.Text{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(s.id), url.QueryEscape(s.secret.Reveal()))
	res, err := s.http.Do(req)
	if err != nil {
		return secret.Text{}, fmt.Errorf("getting the gate's token: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return secret.Text{}, fmt.Errorf("getting the gate's token: %w", refused(res))
	}
	var answer struct {
		Text string         `json:"access_token"`
		Type string         `json:"token_type"`
		Rest jsontext.Value `json:",unknown"`
	}
	if err := json.UnmarshalRead(io.LimitReader(res.Body, maxAnswer), &answer); err != nil || answer.Text == "" || !strings.EqualFold(answer.Type, "Bearer") {
		return secret.Text{}, errors.New("getting the gate's token: the answer holds none")
	}
	return secret.New(answer.Text), nil
}

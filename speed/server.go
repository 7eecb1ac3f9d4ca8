package speed

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

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Server is what is measured, as one client of standard OAuth 2.0 sees it. It
// is not for use by several goroutines.
type Server struct {
	URL          string // of the public listener
	ClientID     string
	ClientSecret secret.Text
	Environment  string
	Connections  int // how many callers there are at once

	http   *http.Client
	tokens []secret.Text // that Issue got, up to mostTokens
}

const (
	mostTokens = 2000 // Verify shows them in turn
	mostAnswer = 64 << 10
)

// Open makes the connections' pool. Close it.
func (s *Server) Open() {
	s.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: s.Connections}}
}

// Close ends the connections.
func (s *Server) Close() { s.http.CloseIdleConnections() }

// Issue gets tokens by client credentials for a while.
func (s *Server) Issue(ctx context.Context, length time.Duration) (Measured, error) {
	form := url.Values{"grant_type": {"client_credentials"}}.Encode()
	var mu sync.Mutex
	return repeat(ctx, "tokens issued, each on disk before its answer", s.Connections, length, func(ctx context.Context, _ int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/oauth2/token", strings.NewReader(form))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(s.ClientID), url.QueryEscape(s.ClientSecret.Reveal()))
		body, err := s.do(r)
		if err != nil {
			return err
		}
		var answer struct {
			Token string         `json:"access_token"`
			Rest  jsontext.Value `json:",unknown"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
			return errors.New("the answer holds no token")
		}
		mu.Lock()
		defer mu.Unlock()
		if len(s.tokens) < mostTokens {
			s.tokens = append(s.tokens, secret.New(answer.Token))
		}
		return nil
	})
}

// Verify asks /gate/verify about the tokens that Issue got, for a while.
func (s *Server) Verify(ctx context.Context, length time.Duration) (Measured, error) {
	if len(s.tokens) == 0 {
		return Measured{}, errors.New("no token was issued")
	}
	what := s.URL + "/gate/verify?environment=" + url.QueryEscape(s.Environment)
	turns := make([]int, s.Connections)
	return repeat(ctx, "tokens verified over HTTP", s.Connections, length, func(ctx context.Context, worker int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, what, nil)
		if err != nil {
			return err
		}
		at := turns[worker]*s.Connections + worker
		turns[worker]++
		r.Header.Set("Authorization", "Bearer "+s.tokens[at%len(s.tokens)].Reveal())
		_, err = s.do(r)
		return err
	})
}

// do wants a 200. An error shows the answer, which is nobody's secret then.
func (s *Server) do(r *http.Request) ([]byte, error) {
	res, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s: %.200s", res.Status, body)
	}
	return body, nil
}

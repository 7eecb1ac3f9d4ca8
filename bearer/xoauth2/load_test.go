package xoauth2_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// down is a token endpoint that is down, and counts who comes.
type down struct{ visits atomic.Int64 }

func (d *down) RoundTrip(r *http.Request) (*http.Response, error) {
	d.visits.Add(1)
	return &http.Response{
		StatusCode: http.StatusServiceUnavailable, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader("{}")),
	}, nil
}

// For 30 seconds the token endpoint is down, and 200 callers ask for a token
// once a second. Through package bearer they make at most ten requests.
func TestEndpointDown(t *testing.T) {
	for name, tc := range map[string]struct {
		source       func(*http.Client) (token func() error, end func())
		fewest, most int64
	}{
		"bearer": {func(c *http.Client) (func() error, func()) {
			s, err := bearer.New(bearer.Config{BaseURL: "https://bank.example", ClientID: "bank", ClientSecret: secret.New("s1"), HTTPClient: c})
			if err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := s.Token(context.Background()); return err }, s.Close
		}, 4, 10},
		"x/oauth2": {func(c *http.Client) (func() error, func()) {
			config := clientcredentials.Config{ClientID: "bank", ClientSecret: "s1", TokenURL: "https://bank.example/token", AuthStyle: oauth2.AuthStyleInHeader}
			s := config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, c))
			return func() error { _, err := s.Token(); return err }, func() {}
		}, 200, 200 * 31},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &down{}
				token, end := tc.source(&http.Client{Transport: d})
				defer end()
				var wg sync.WaitGroup
				until := time.Now().Add(30 * time.Second)
				for range 200 {
					wg.Go(func() {
						for time.Now().Before(until) {
							if token() == nil {
								t.Error("a token")
							}
							time.Sleep(time.Second)
						}
					})
				}
				wg.Wait()
				n := d.visits.Load()
				t.Logf("%d requests", n)
				if n < tc.fewest || n > tc.most {
					t.Errorf("%d requests, want %d to %d", n, tc.fewest, tc.most)
				}
			})
		})
	}
}

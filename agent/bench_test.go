package agent_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What the agent adds to a request: the same API, asked directly and through
// the agent, over kept connections.
func BenchmarkAgent(b *testing.B) {
	v := newVendor()
	v.api("GET /api/x", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	server := httptest.NewServer(v)
	defer server.Close()
	_, url := start(b, settings(b, "listen: 127.0.0.1:0\nupstreams:\n  bank: {dialect: oauth2, base_url: "+server.URL+"/api, token_url: "+server.URL+
		", client_id: me, client_secret: s1}\n"))
	exchange(b, "GET", url+"/bank/x", "")
	var tok string
	for tok = range v.live {
	}
	for name, ask := range map[string]func() (*http.Response, error){
		"direct": func() (*http.Response, error) {
			r, err := http.NewRequest(http.MethodGet, server.URL+"/api/x", nil)
			if err != nil {
				return nil, err
			}
			r.Header.Set("Authorization", "Bearer "+tok)
			return http.DefaultClient.Do(r)
		},
		"agent": func() (*http.Response, error) { return http.Get(url + "/bank/x") },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				resp, err := ask()
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
		})
	}
}

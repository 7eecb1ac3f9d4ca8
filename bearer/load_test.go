package bearer_test

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// Six-second tokens under load, on a real clock and a real network: the API
// never sees one that has ended, and nobody waits for a renewal.
func TestShortTokensUnderLoad(t *testing.T) {
	fakes := map[string]*fake{}
	var wg sync.WaitGroup
	end := time.Now().Add(8 * time.Second)
	for _, name := range []string{"dogpay", "quidkey", "papaya"} {
		f := newFake(name)
		f.life = 6 * time.Second
		fakes[name] = f
		url := serve(t, f)
		c := client(t, newSource(t, configFor(t, name, url)))
		for range 3 {
			wg.Go(func() {
				for time.Now().Before(end) {
					resp, err := c.Get(url + "/data/x")
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Error(resp.Status)
					}
					time.Sleep(3 * time.Millisecond)
				}
			})
		}
	}
	wg.Wait()
	for name, f := range fakes {
		if f.refused > 0 || f.calls < 200 || f.count("") < 2 || f.count("") > 3 {
			t.Errorf("%s: of %d calls %d were refused; %d visits to the token endpoint", name, f.calls, f.refused, f.count(""))
		}
	}
}

package bearer_test

import (
	"sync"
	"testing"
	"time"
)

// Six-second tokens under load, on a real clock and a real network: the API
// never sees one that has ended, and nobody waits for a renewal.
func TestShortTokensUnderLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dogpay", "quidkey", "papaya"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(name)
			f.life = 6 * time.Second
			url := serve(t, f)
			c := client(t, newSource(t, configFor(t, name, url)))
			var wg sync.WaitGroup
			end := time.Now().Add(8 * time.Second)
			for range 4 {
				wg.Go(func() {
					for time.Now().Before(end) {
						resp, err := c.Get(url + "/data/x")
						if err != nil {
							t.Error(err)
							return
						}
						resp.Body.Close()
						time.Sleep(2 * time.Millisecond)
					}
				})
			}
			wg.Wait()
			if f.refused > 0 || f.calls < 500 || f.count("") < 2 || f.count("") > 3 {
				t.Errorf("of %d calls %d were refused; %d visits to the token endpoint", f.calls, f.refused, f.count(""))
			}
		})
	}
}

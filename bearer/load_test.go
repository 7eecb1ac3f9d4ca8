package bearer_test

import (
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// Six-second tokens under load, on a real clock and a real network, for a minute
// in the soak: no request leaves with one that has ended.
func TestShortTokensUnderLoad(t *testing.T) {
	fakes := map[string]*fake{}
	var wg sync.WaitGroup
	lasts := 8 * time.Second
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		lasts = time.Minute
	}
	end := time.Now().Add(lasts)
	for _, name := range []string{"dogpay", "quidkey", "papaya"} {
		f := newFake(name)
		f.life = 6 * time.Second
		fakes[name] = f
		url := serve(t, f)
		c := client(t, newSource(t, configFor(t, name, url)))
		c.Transport.(*bearer.Transport).Base = stamped{c.Transport.(*bearer.Transport).Base}
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
	fewest, most := int(lasts/(6*time.Second))+1, int(lasts/(3*time.Second))+1
	for name, f := range fakes {
		if f.refused > 0 || f.calls < 200 || f.count("") < fewest || f.count("") > most {
			t.Errorf("%s: of %d calls %d were refused; %d visits to the token endpoint", name, f.calls, f.refused, f.count(""))
		}
	}
}

// stamped says in each request when it left: a machine that is busy takes its
// time to deliver it.
type stamped struct{ base http.RoundTripper }

func (s stamped) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Left", time.Now().Format(time.RFC3339Nano)) // the Transport's own copy
	return s.base.RoundTrip(r)
}

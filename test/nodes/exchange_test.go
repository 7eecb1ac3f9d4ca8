package nodes_test

import (
	"bytes"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// exchange tries to exchange an access code, and returns the token, or "".
func (n *node) exchange(as demoClient, link connected) (string, answer, error) {
	body, err := json.Marshal(map[string]string{"appSecret": as.ClientSecret, "accessCode": link.AccessCode, "connectionID": link.ConnectionID})
	if err != nil {
		return "", answer{}, err
	}
	r, err := http.NewRequest(http.MethodPost, n.url+"/v2/auth/ExchangeToken", bytes.NewReader(body))
	if err != nil {
		return "", answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := send(r)
	if err != nil || a.status != http.StatusOK {
		return "", a, err
	}
	var said struct {
		AccessToken string `json:"accessToken"`
	}
	err = a.decode(&said)
	return said.AccessToken, a, err
}

// connected is what the Connect page hands over.
type connected struct {
	AccessCode   string `json:"accessCode"`
	ConnectionID string `json:"connectionID"`
}

// Of 1,000 tries at once, on three nodes, one exchanges the code.
func TestCodeIsExchangedOnce(t *testing.T) {
	c := start(t, 3)
	as := c.client("dapi", "live")
	codes, tries := 2, 1_000
	if soak() {
		codes = 50
	}
	for range codes {
		out, err := c.nodes[0].gatehouse("", "connection", "create", "--client", as.ClientID, "--environment", "live", "--user", "user-1")
		c.must(err)
		var link connected
		c.must(json.Unmarshal(out, &link))
		var won, refused atomic.Int64
		var granted atomic.Pointer[string]
		var trying sync.WaitGroup
		begin := make(chan struct{})
		for i := range tries {
			trying.Go(func() {
				<-begin
				tok, a, err := c.nodes[i%3].exchange(as, link)
				switch {
				case err != nil:
					t.Error(err)
				case tok != "":
					won.Add(1)
					granted.Store(&tok)
				case a.status == http.StatusServiceUnavailable: // it may be tried again
				default:
					refused.Add(1)
				}
			})
		}
		close(begin)
		trying.Wait()
		t.Logf("%d tries: %d exchanged, %d refused", tries, won.Load(), refused.Load())
		if won.Load() != 1 {
			t.Fatalf("%d tries exchanged the code", won.Load())
		}
		for _, n := range c.nodes {
			for began := time.Now(); ; {
				a, err := n.verify(*granted.Load(), "live")
				c.must(err)
				if a.status == http.StatusOK {
					break
				}
				if time.Since(began) > 2*time.Second {
					t.Fatalf("its token gets %d %s", a.status, a.body)
				}
			}
		}
	}
}

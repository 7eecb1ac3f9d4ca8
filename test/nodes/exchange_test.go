package nodes_test

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"sync"
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

// A contest is many tries at once to exchange one access code.
type contest struct {
	link         connected
	tokens       []string // what tries were given
	refused      int
	inconclusive int // no answer, or one that says to try again
}

// link makes an access code.
func (c *cluster) link(as demoClient, user string) connected {
	c.Helper()
	out, err := c.nodes[0].gatehouse("", "connection", "create", "--client", as.ClientID, "--environment", "live", "--user", user)
	c.must(err)
	var link connected
	c.must(json.Unmarshal(out, &link))
	return link
}

// exchangeAtOnce has so many tries exchange the code at once, on all nodes.
// meanwhile runs beside them.
func (c *cluster) exchangeAtOnce(as demoClient, link connected, tries int, meanwhile func()) *contest {
	k := &contest{link: link}
	var mu sync.Mutex
	var trying sync.WaitGroup
	begin := make(chan struct{})
	nodes := c.nodes
	for i := range tries {
		trying.Go(func() {
			<-begin
			tok, a, err := nodes[i%len(nodes)].exchange(as, link)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case tok != "":
				k.tokens = append(k.tokens, tok)
			case err != nil || a.status >= http.StatusInternalServerError:
				k.inconclusive++
			default:
				k.refused++
			}
		})
	}
	close(begin)
	meanwhile()
	trying.Wait()
	return k
}

// Of 1,000 tries at once, on three nodes, one exchanges the code. Nor is it
// another where a node is killed in the middle; there the one may be nobody, if
// it was that node that had it. A later replay ends what the code gave.
func TestCodeIsExchangedOnce(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 3)
	as := c.client("dapi", "live")
	codes, tries := 1, 1_000
	if soak() {
		codes = 10
	}
	var contests []*contest
	for range codes {
		k := c.exchangeAtOnce(as, c.link(as, "user-1"), tries, func() {})
		t.Logf("%d tries: %d exchanged, %d refused, %d without an answer", tries, len(k.tokens), k.refused, k.inconclusive)
		if len(k.tokens) > 1 || len(k.tokens) == 0 && k.inconclusive == 0 { // none, where a busy machine lost its answer
			t.Fatal("it is not one")
		}
		contests = append(contests, k)
	}
	victim := c.nodes[2]
	for range codes {
		k := c.exchangeAtOnce(as, c.link(as, "user-2"), tries, func() {
			time.Sleep(rand.N(200 * time.Millisecond))
			victim.kill()
		})
		t.Logf("%d tries, one node killed: %d exchanged, %d refused, %d without an answer", tries, len(k.tokens), k.refused, k.inconclusive)
		if len(k.tokens) > 1 || len(k.tokens) == 0 && k.inconclusive == 0 {
			t.Fatal("it is not one")
		}
		if _, err := victim.start(c.url, c.kek); err != nil {
			t.Fatal(err)
		}
		contests = append(contests, k)
	}
	if there, err := c.nodes[0].ledger(as); err != nil || len(there) != len(contests) {
		t.Errorf("%d codes have %d tokens: %v", len(contests), len(there), err)
	}
	for _, k := range contests {
		for _, tok := range k.tokens {
			c.awaitStatus(tok, http.StatusOK)
		}
	}
	time.Sleep(11 * time.Second) // within 10 s a replay is taken for a repeated question
	for _, k := range contests {
		status := untilAnswered(t, func() (int, error) {
			_, a, err := c.nodes[1].exchange(as, k.link)
			return a.status, err
		})
		if status/100 != 4 {
			t.Errorf("replayed after 11 s, the code gets %d", status)
		}
		for _, tok := range k.tokens {
			c.awaitStatus(tok, http.StatusUnauthorized)
		}
	}
}

// awaitStatus expects every node's gate to answer that soon.
func (c *cluster) awaitStatus(tok string, want int) {
	c.Helper()
	for _, n := range c.nodes {
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			a, err := n.verify(tok, "live")
			c.must(err)
			if a.status == want {
				break
			}
			if time.Since(began) > time.Minute {
				c.Fatalf("its token gets %d %s, not %d", a.status, a.body, want)
			}
		}
	}
}

package nodes_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// create makes a client by the admin API.
func (n *node) create(name, key string) (id string, status int, err error) {
	body, err := json.Marshal(map[string]string{"name": name, "dialect": "oauth2"})
	if err != nil {
		return "", 0, err
	}
	r, err := http.NewRequest(http.MethodPost, n.admin+"/admin/v1/clients", bytes.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+n.adminToken)
	r.Header.Set("Idempotency-Key", key)
	a, err := send(r)
	if err != nil || a.status != http.StatusCreated {
		return "", a.status, err
	}
	var made struct {
		ClientID string `json:"client_id"`
	}
	err = a.decode(&made)
	return made.ClientID, a.status, err
}

// untilAnswered calls again until the answer is none that says "try again".
func untilAnswered(t *testing.T, ask func() (status int, err error)) int {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		status, err := ask()
		if err == nil && status < http.StatusInternalServerError && status != http.StatusConflict {
			return status
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("after minutes still: %d, %v", status, err)
		}
	}
}

// The connection to the database dies between a commit and its answer. Whoever
// asks again, here or at another node, is not given the same thing twice: a
// client by its Idempotency-Key, an access code's token because the code is
// spent.
func TestLostAnswersGrantOnce(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	line := postgrestest.NewLine(t, c.database.Addr())
	far := &node{data: t.TempDir()}
	if _, err := far.start(line.Through(c.url), c.kek); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.stop)
	near := c.nodes[0]
	as, plain := c.client("dapi", "live"), c.client("oauth2", "live")
	trials := 8
	if soak() {
		trials = 100
	}
	lost, given, spent := 0, 0, 0
	for i := range trials {
		name := fmt.Sprintf("caller %d", i)
		line.LoseCommits(true)
		first, status, err := far.create(name, name)
		line.LoseCommits(false)
		if err != nil || status != http.StatusCreated {
			lost++
		}
		untilAnswered(t, func() (int, error) {
			again, status, err := far.create(name, name)
			if status == http.StatusCreated && first != "" && again != first {
				t.Errorf("the second answer is client %s, the first was %s", again, first)
			}
			return status, err
		})

		link := c.link(as, "user-1")
		for range 4 { // after a lost answer the node begins new chains, whose answer is not what is to be lost
			untilAnswered(t, func() (int, error) {
				a, err := postForm(plain, far.url+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
				return a.status, err
			})
		}
		line.LoseCommits(true)
		tok, a, err := far.exchange(as, link)
		line.LoseCommits(false)
		if err != nil || a.status >= http.StatusInternalServerError {
			lost++
			status := untilAnswered(t, func() (int, error) {
				var a answer
				tok, a, err = near.exchange(as, link)
				return a.status, err
			})
			if status != http.StatusOK {
				spent++
			}
		}
		if tok != "" {
			given++
		}
	}
	out, err := near.gatehouse("", "client", "list", "--limit", "1000")
	c.must(err)
	var list struct {
		Items []struct {
			Name string `json:"name"`
		} `json:"items"`
	}
	c.must(json.Unmarshal(out, &list))
	count := map[string]int{}
	for _, item := range list.Items {
		count[item.Name]++
	}
	for i := range trials {
		if name := fmt.Sprintf("caller %d", i); count[name] != 1 {
			t.Errorf("%q is there %d times", name, count[name])
		}
	}
	there, err := near.ledger(as)
	c.must(err)
	t.Logf("%d answers lost; %d clients; %d codes: %d tokens given, %d codes spent by a lost answer, %d tokens on the ledger",
		lost, trials, trials, given, spent, len(there))
	if len(there) != trials || given+spent != trials {
		t.Error("a code was exchanged twice, or never")
	}
	if lost == 0 || spent == 0 {
		t.Error("no answer was lost, so this shows nothing")
	}
}

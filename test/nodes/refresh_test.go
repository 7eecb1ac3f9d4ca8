package nodes_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

type pair struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// grant gets tokens; a refresh token, where there is one, is used up by it.
func (n *node) grant(as demoClient, form url.Values) (pair, answer, error) {
	var p pair
	a, err := postForm(as, n.url+"/oauth2/token", form)
	if err == nil && a.status == http.StatusOK {
		err = a.decode(&p)
	}
	return p, a, err
}

// A refresh on one node races the end of its grant on another. Whoever wins, no
// token of the grant is live afterwards, on any node.
func TestRefreshAndRevokeAcrossNodes(t *testing.T) {
	c := start(t, 2)
	as := c.client("oauth2", "live")
	_, err := c.nodes[0].gatehouse("", "client", "update", as.ClientID, "--refresh")
	c.must(err)
	races := 150
	if soak() {
		races = 10_000
	}
	refreshed := 0
	for i := range races {
		var first pair
		for began := time.Now(); first.RefreshToken == ""; {
			var a answer
			first, a, err = c.nodes[i%2].grant(as, url.Values{"grant_type": {"client_credentials"}})
			c.must(err)
			if time.Since(began) > within(5*time.Second) {
				t.Fatalf("no refresh token: %d %s", a.status, a.body)
			}
		}
		var second pair
		var revoked, refreshErr error
		var racing sync.WaitGroup
		racing.Go(func() {
			second, _, refreshErr = c.nodes[i%2].grant(as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}})
		})
		racing.Go(func() { revoked = c.nodes[(i+1)%2].revoke(as, first.RefreshToken) })
		racing.Wait()
		c.must(refreshErr)
		c.must(revoked)
		if second.AccessToken != "" {
			refreshed++
		}
		c.must(c.dead(as, first, second))
	}
	t.Logf("%d races: the refresh came first in %d", races, refreshed)
}

// dead waits until nothing of the grant passes or refreshes on any node.
func (c *cluster) dead(as demoClient, pairs ...pair) error {
	deadline := time.Now().Add(within(2 * time.Second))
	for _, n := range c.nodes {
		for _, p := range pairs {
			if p.AccessToken == "" {
				continue
			}
			for {
				a, err := n.verify(p.AccessToken, "live")
				if err != nil {
					return err
				}
				if a.status == http.StatusUnauthorized {
					break
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("a token of a revoked grant gets %d", a.status)
				}
			}
			again, a, err := n.grant(as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.RefreshToken}})
			if err != nil {
				return err
			}
			if again.AccessToken != "" || a.status/100 != 4 {
				return fmt.Errorf("a refresh token of a revoked grant gets %d", a.status)
			}
		}
	}
	return nil
}

package nodes_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
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
	races, together := 200, 8
	if soak() {
		races = 10_000
	}
	var refreshed atomic.Int64
	room := make(chan struct{}, together)
	var racing sync.WaitGroup
	for i := range races {
		room <- struct{}{}
		racing.Go(func() {
			defer func() { <-room }()
			first, err := c.refreshAgainstRevoke(as, i)
			if err != nil {
				t.Error(err)
			}
			if first {
				refreshed.Add(1)
			}
		})
	}
	racing.Wait()
	t.Logf("%d races: the refresh came first in %d", races, refreshed.Load())
}

// refreshAgainstRevoke is one race. refreshed says that the refresh came first.
func (c *cluster) refreshAgainstRevoke(as demoClient, i int) (refreshed bool, err error) {
	refreshes, revokes := c.nodes[i%2], c.nodes[(i+1)%2]
	var first pair
	for began := time.Now(); first.RefreshToken == ""; {
		var a answer
		if first, a, err = refreshes.grant(as, url.Values{"grant_type": {"client_credentials"}}); err != nil {
			return false, err
		}
		if time.Since(began) > within(5*time.Second) {
			return false, fmt.Errorf("no refresh token: %d %s", a.status, a.body)
		}
	}
	var second pair
	var revoked, refreshErr error
	var racing sync.WaitGroup
	racing.Go(func() {
		second, _, refreshErr = refreshes.grant(as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}})
	})
	racing.Go(func() {
		for began := time.Now(); ; { // a node that can't know may be asked again
			revoked = revokes.revoke(as, first.RefreshToken)
			if !errors.Is(revoked, errRefused) || time.Since(began) > time.Minute {
				return
			}
		}
	})
	racing.Wait()
	return second.AccessToken != "", errors.Join(refreshErr, revoked, c.dead(as, first, second))
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
			for {
				_, a, err := n.grant(as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.RefreshToken}})
				if err != nil {
					return err
				}
				if a.status/100 == 4 {
					break
				}
				if a.status/100 == 2 || time.Now().After(deadline) {
					return fmt.Errorf("a refresh token of a revoked grant gets %d", a.status)
				}
			}
		}
	}
	return nil
}

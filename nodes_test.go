package gatehouse_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// Nodes that run by other settings than their neighbours can be told.
func TestNodeCards(t *testing.T) {
	w := newWorld(t, func(c *gatehouse.Config) { c.ManyNodes, c.Now, c.MaxLag = true, time.Now, 0 })
	same := w.twin(t, nil)
	other := w.twin(t, func(c *gatehouse.Config) { c.Issuer = "https://other.example" })
	runs(t, same)
	runs(t, other)
	var cards []gatehouse.NodeCard
	eventually(t, "the others don't say what they are", func() bool {
		var err error
		cards, err = w.NodeCards(ctx)
		return err == nil && len(cards) == 3
	})
	differ := 0
	for _, c := range cards {
		if c.Name == "" || c.Keys != cards[0].Keys || time.Since(c.Clock).Abs() > time.Minute {
			t.Errorf("%+v", c)
		}
		if c.Issuer != cards[0].Issuer {
			differ++
		}
	}
	if differ != 1 || cards[0].Issuer != w.Issuer(gatehouse.Live) {
		t.Errorf("%+v", cards)
	}
}

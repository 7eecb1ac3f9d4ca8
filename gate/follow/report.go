package follow

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/feed"
)

// reportEvery is how often the authority is told of refusals, where there are any.
const reportEvery = time.Second

// report tells the authority what was refused here, so that the owner can ask
// there. It is told once: what it can't hear is in the gate's own log.
func (f *Follower) report(ctx context.Context) {
	pause := time.NewTicker(reportEvery)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		list := f.cfg.Refusals.Fresh(feed.MaxRefusals)
		if len(list) == 0 {
			continue
		}
		if err := f.tell(ctx, list); err != nil && ctx.Err() == nil {
			f.log.Warn("the authority could not be told of refusals: `gatehouse explain` won't know them", "refusals", len(list), "error", err)
		}
	}
}

func (f *Follower) tell(ctx context.Context, list []gatehouse.Refusal) error {
	body, err := feed.MarshalRefusals(list)
	if err != nil {
		return err
	}
	return f.inTurn(ctx, "/gate/refusals", url.Values{"refusals": {string(body)}}, func(res *http.Response) error {
		if res.StatusCode != http.StatusNoContent {
			return refused(res)
		}
		return nil
	})
}

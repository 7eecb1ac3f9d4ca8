package node

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/sharedlimit"
)

// openLimits opens the Redis in which all nodes count limits together, where one
// is given and limits are enforced.
func (n *Node) openLimits(ctx context.Context) (gatehouse.SharedLimits, error) {
	s := &n.settings
	if !s.Limits || s.Redis.IsZero() {
		return nil, nil
	}
	c, err := sharedlimit.Open(ctx, s.Redis, n.log)
	if err != nil {
		return nil, err
	}
	n.limits = c
	return c, nil
}

// countingLimits says how limits are counted now.
func (n *Node) countingLimits() string {
	switch {
	case !n.settings.Limits:
		return "off"
	case n.limits != nil && n.limits.Lost():
		return "redis_lost"
	case n.limits != nil:
		return "redis"
	case n.settings.Postgres.IsZero():
		return "alone"
	default:
		return "each_node"
	}
}

// measureLimits shows how limits are counted.
func (n *Node) measureLimits(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_nodes",
		Help: "Nodes that share the database, this one included. What is not counted in Redis is divided by it.",
	}, func() float64 { return float64(n.engine.Nodes()) }))
	if n.limits == nil {
		return
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_limits_shared",
		Help: "1 while limits are counted in Redis for all nodes together, 0 while this node counts its share.",
	}, func() float64 {
		if n.limits.Lost() {
			return 0
		}
		return 1
	}), prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gatehouse_redis_losses_total",
		Help: "How often Redis did not answer in time, so that this node counted its share.",
	}, func() float64 { return float64(n.limits.Losses()) }))
}

package node

import "github.com/prometheus/client_golang/prometheus"

// measureArrivals registers how much of what other systems made still comes.
func (n *Node) measureArrivals(r prometheus.Registerer) {
	for source, count := range map[string]func() int64{
		"token":      func() int64 { imported, _ := n.engine.Arrived(); return imported },
		"old_issuer": func() int64 { _, old := n.engine.Arrived(); return old },
	} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "gatehouse_imported_validations_total",
			Help:        "Validations of tokens that another system made: imported ones (token), and JWTs of old issuers.",
			ConstLabels: prometheus.Labels{"source": source},
		}, func() float64 { return float64(count()) }))
	}
}

package remote

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate/follow"
)

// A meter counts answers. Its labels are codes of ours.
type meter struct {
	answers *prometheus.CounterVec
	passed  prometheus.Counter
	stale   prometheus.Counter
}

func newMeter(r prometheus.Registerer, f *follow.Follower) (*meter, error) {
	m := &meter{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_gate_answers_total", Help: "Questions answered, by refusal code (ok where the request may pass).",
		}, []string{"code"}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_gate_stale_answers_total", Help: "Questions answered while the journal's lag was beyond its bound.",
		}),
	}
	m.passed = m.answers.WithLabelValues("ok")
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.answers, m.stale,
		gauge("gatehouse_gate_journal_lag_seconds", "How long ago the journal held no more than this gate knows.", func() float64 { return f.Lag().Seconds() }),
		gauge("gatehouse_gate_journal_connected", "1 while the journal is being followed.", func() float64 {
			if f.Status().Connected {
				return 1
			}
			return 0
		}),
		gauge("gatehouse_gate_journal_seq", "Position in the journal.", func() float64 { return float64(f.Seq()) }),
		gauge("gatehouse_gate_revocations", "Revoked tokens that are remembered.", func() float64 { return float64(f.Revocations()) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *meter) count(refusal *gatehouse.Error, stale bool) {
	if stale {
		m.stale.Inc()
	}
	if refusal == nil {
		m.passed.Inc()
		return
	}
	m.answers.WithLabelValues(string(refusal.Code)).Inc()
}

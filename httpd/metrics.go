package httpd

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse"
)

// Metrics counts the public listener's answers. Its labels are ours (route,
// status, code), never the caller's, so that the number of series is bounded.
// A nil *Metrics counts nothing.
type Metrics struct {
	answers *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewMetrics makes Metrics and registers them with r.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_http_answers_total",
			Help: "Answers of the public listener by route, status and refusal code (ok where granted).",
		}, []string{"route", "status", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gatehouse_http_seconds",
			Help:    "Time from a request's header to its answer, by route.",
			Buckets: []float64{0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2},
		}, []string{"route"}),
	}
	for _, c := range []prometheus.Collector{m.answers, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// A routeMeter counts one route. Its commonest counter is found beforehand.
type routeMeter struct {
	label   string
	answers *prometheus.CounterVec
	granted prometheus.Counter
	seconds prometheus.Observer
}

func (m *Metrics) route(label string) *routeMeter {
	if m == nil {
		return nil
	}
	return &routeMeter{
		label: label, answers: m.answers, seconds: m.seconds.WithLabelValues(label),
		granted: m.answers.WithLabelValues(label, "200", "ok"),
	}
}

func (m *routeMeter) count(status int, refusal *gatehouse.Error, took time.Duration) {
	if m == nil {
		return
	}
	m.seconds.Observe(took.Seconds())
	switch {
	case refusal != nil:
		m.answers.WithLabelValues(m.label, strconv.Itoa(status), string(refusal.Code)).Inc()
	case status == 200:
		m.granted.Inc()
	default:
		m.answers.WithLabelValues(m.label, strconv.Itoa(status), "ok").Inc()
	}
}

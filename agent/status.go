package agent

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// routes are the agent's own pages.
func (a *Agent) routes() *http.ServeMux {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{a})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /-/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.Status()) })
	mux.Handle("GET /-/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/-/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, problem{Code: "not_found", Message: "the agent's own pages are GET /-/healthz, /-/status and /-/metrics"})
	})
	return mux
}

// Status is what the agent knows of its tokens, without the tokens.
type Status struct {
	Upstreams []UpstreamStatus `json:"upstreams"`
}

// UpstreamStatus is one upstream's. Token is nil where none is at hand, and
// Failure where the last visit to the token endpoint succeeded.
type UpstreamStatus struct {
	Name     string         `json:"name"`
	Dialect  string         `json:"dialect"`
	BaseURL  string         `json:"base_url"`
	Requests int64          `json:"requests"`
	Token    *TokenStatus   `json:"token"`
	Failure  *FailureStatus `json:"failure"`
	Tokens   bearer.Counts  `json:"tokens"`
}

// TokenStatus is a token's life. ExpiresAt is nil for one that doesn't end.
type TokenStatus struct {
	ObtainedAt time.Time  `json:"obtained_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LifeLeft   *int64     `json:"life_left"` // whole seconds
}

// FailureStatus is why the last visit to the token endpoint gave nothing.
type FailureStatus struct {
	Message string    `json:"message"`
	Refused bool      `json:"refused"`
	RetryAt time.Time `json:"retry_at"`
}

// Status returns each upstream's state, by name.
func (a *Agent) Status() Status {
	out := Status{Upstreams: []UpstreamStatus{}}
	serving := *a.serving.Load()
	for _, name := range slices.Sorted(maps.Keys(serving)) {
		u := serving[name]
		s := UpstreamStatus{
			Name: name, Dialect: dialectName(u.resolved.config), BaseURL: u.source.Base(),
			Requests: u.tally.requests.Load(), Tokens: u.tally.counts(u.source),
		}
		token, failed := u.source.State()
		if token != nil {
			s.Token = &TokenStatus{ObtainedAt: token.ObtainedAt.UTC().Truncate(time.Second)}
			if !token.ExpiresAt.IsZero() {
				end, left := token.ExpiresAt.UTC().Truncate(time.Second), int64(max(0, time.Until(token.ExpiresAt))/time.Second)
				s.Token.ExpiresAt, s.Token.LifeLeft = &end, &left
			}
		}
		if failed != nil {
			s.Failure = &FailureStatus{failed.Error(), failed.Refused, failed.RetryAt.UTC().Truncate(time.Second)}
		}
		out.Upstreams = append(out.Upstreams, s)
	}
	return out
}

func dialectName(c bearer.Config) string {
	if standard, err := bearer.Dialect(bearer.OAuth2); err == nil && c.Dialect == standard {
		return bearer.OAuth2
	}
	return c.Dialect.Name
}

// collector reads the counts when they are asked for.
type collector struct{ agent *Agent }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_agent_"+name, help, append([]string{"upstream"}, labels...), nil)
}

var (
	requestsDesc = desc("requests_total", "Requests for the upstream.")
	reusedDesc   = desc("tokens_reused_total", "Requests for which a token was at hand.")
	askedDesc    = desc("tokens_obtained_total", "Tokens obtained, by how: issued, refreshed, or shared by another process.", "how")
	failuresDesc = desc("token_failures_total", "Visits to the token endpoint that gave no token.")
	rejectedDesc = desc("rejected_tokens_total", "Tokens that the upstream answered with 401.")
	errorsDesc   = desc("errors_total", "Requests answered by the agent itself, by cause.", "cause")
	lifeDesc     = desc("token_expires_at_seconds", "When the token at hand ends (Unix time); absent without one, or without an end.")
)

func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c collector) Collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for name, u := range *c.agent.serving.Load() {
		counts := u.tally.counts(u.source)
		count(requestsDesc, u.tally.requests.Load(), name)
		count(reusedDesc, u.tally.reused.Load(), name)
		count(askedDesc, counts.Issued, name, "issued")
		count(askedDesc, counts.Refreshed, name, "refreshed")
		count(askedDesc, counts.Shared, name, "shared")
		count(failuresDesc, counts.Failures, name)
		count(rejectedDesc, counts.Rejected, name)
		count(errorsDesc, u.tally.tokenless.Load(), name, "no_token")
		count(errorsDesc, u.tally.unreachable.Load(), name, "unreachable")
		if t, _ := u.source.State(); t != nil && !t.ExpiresAt.IsZero() {
			ch <- prometheus.MustNewConstMetric(lifeDesc, prometheus.GaugeValue, float64(t.ExpiresAt.Unix()), name)
		}
	}
}

package remote

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/gate/follow"
	"github.com/gatehouse-auth/gatehouse/token"
)

// Headers on every answer of a remote gate.
const (
	// HeaderLag is how long ago, in seconds, the journal held no more than the
	// gate knows. It is left out before the journal was read for the first time.
	HeaderLag = "Gatehouse-Journal-Lag"
	// HeaderStale is "true" on an answer beyond the bound, which on_lag: open allows.
	HeaderStale = "Gatehouse-Journal-Stale"
)

func newHandler(f *follow.Follower, s *Settings, dialects []*dialect.Dialect, m *meter, refusals *gatehouse.RefusalLog, log *slog.Logger) *handler {
	byName := make(map[string]*dialect.Dialect, len(dialects))
	for _, d := range dialects {
		byName[d.Name] = d
	}
	verify := gate.NewVerify(f, func(name string) *dialect.Dialect { return byName[name] }, f.Now)
	if s.Routes != nil {
		verify.AskByRoutes(s.Routes, s.TrustedProxies)
	}
	h := &handler{follower: f, meter: m, refusals: refusals, log: log, verify: verify, envoy: verify}
	if s.EnvoyBodies {
		shown := *verify
		shown.HoldCalls(gate.NewCalls(f, dialects, s.BodyLimit))
		h.envoy = &shown
	}
	return h
}

// routes are what the listener serves. An Envoy that asks over HTTP puts a
// prefix before the path of the request that it asks about, which stays as the
// caller wrote it: a ServeMux would clean it.
func (h *handler) routes(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/gate/verify", h.answer)
	mux.HandleFunc("GET /-/healthz", func(w http.ResponseWriter, r *http.Request) { plainText(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /-/readyz", h.ready)
	mux.Handle("GET /-/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if uri, ok := strings.CutPrefix(r.RequestURI, envoyPrefix); ok && strings.HasPrefix(uri, "/") {
			h.answerEnvoy(w, r, uri)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// envoyPrefix is the path_prefix of an Envoy that asks over HTTP. What it asks
// is found by the gate's routes.
const envoyPrefix = "/gate/ext_authz"

type handler struct {
	follower *follow.Follower
	meter    *meter
	refusals *gatehouse.RefusalLog
	log      *slog.Logger
	verify   *gate.Verify
	envoy    *gate.Verify // what Envoy asks over gRPC
}

// answer answers one question, and tells the log and the metrics how.
func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	id := token.NewID(time.Now()).String()
	stale := h.mark(w.Header(), id)
	h.told(id, r.RemoteAddr, h.verify.Answer(w, r), stale)
}

func (h *handler) answerEnvoy(w http.ResponseWriter, r *http.Request, uri string) {
	id := token.NewID(time.Now()).String()
	a := h.verify.Judge(r.Context(), gate.Ask{Method: r.Method, URI: uri, Header: r.Header, RequestID: id})
	head := w.Header()
	maps.Copy(head, a.Header)
	stale := h.mark(head, id)
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // an asker that is gone needs no answer
	h.told(id, r.RemoteAddr, a.Refusal, stale)
}

// toldEnvoy hears of answers over gRPC.
func (h *handler) toldEnvoy(id string, refusal *gatehouse.Error) {
	h.told(id, "envoy", refusal, h.follower.Stale())
}

// mark puts the request's id and the journal's lag on an answer.
func (h *handler) mark(head http.Header, id string) (stale bool) {
	head[gate.HeaderRequestID] = []string{id}
	stale = h.follower.Stale()
	if h.follower.Synced() {
		head[HeaderLag] = []string{strconv.FormatFloat(h.follower.Lag().Seconds(), 'f', 3, 64)}
		if stale {
			head[HeaderStale] = []string{"true"}
		}
	}
	return stale
}

func (h *handler) told(id, peer string, refusal *gatehouse.Error, stale bool) {
	h.meter.count(refusal, stale)
	if refusal == nil {
		if stale {
			h.log.Warn("let through on a stale journal, as on_lag: open has it", "request_id", id, "lag", h.follower.Lag().Round(time.Millisecond).String())
		}
		return
	}
	kept := gatehouse.RefusalOf(refusal)
	kept.ID, kept.At, kept.Route = id, time.Now().UTC(), "gate"
	if at, err := netip.ParseAddrPort(peer); err == nil {
		kept.Addr = at.Addr()
	}
	h.refusals.Add(kept)
	attrs := []any{"request_id", id, "peer", peer, "code", string(refusal.Code), "reason", string(refusal.Reason)}
	if refusal.Client != "" {
		attrs = append(attrs, "client", string(refusal.Client))
	}
	if !refusal.Token.IsZero() {
		attrs = append(attrs, "token_id", refusal.Token.String())
	}
	if refusal.Err != nil {
		attrs = append(attrs, "err", refusal.Err.Error())
	}
	h.log.Info("refused", attrs...)
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	status := h.follower.Status()
	switch {
	case !h.follower.Synced():
		plainText(w, http.StatusServiceUnavailable, "not ready: the journal has not been read yet: "+status.Error)
	case h.follower.Stale():
		plainText(w, http.StatusServiceUnavailable, fmt.Sprintf("not ready: the journal was last heard of %s ago: %s", h.follower.Lag().Round(time.Millisecond), status.Error))
	default:
		plainText(w, http.StatusOK, "ready")
	}
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

package agent

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// ServeHTTP is part of [http.Handler].
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reason := a.guard.Load().refuses(r); reason != "" {
		refuse(w, http.StatusForbidden, problem{Code: "foreign_request", Message: reason})
		return
	}
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, "/-/") {
		a.own.ServeHTTP(w, r)
		return
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	u := (*a.serving.Load())[name]
	if u == nil {
		refuse(w, http.StatusNotFound, problem{Code: "unknown_upstream", Upstream: name,
			Message: "the path begins with the name of an upstream; /-/status lists them"})
		return
	}
	if len(path) > len(name)+1 {
		rest = "/" + rest
	}
	u.serve(w, r, rest)
}

// A problem is the body of an answer that is the agent's own.
type problem struct {
	Code     string    `json:"error"`
	Upstream string    `json:"upstream,omitempty"`
	Message  string    `json:"message"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
}

func refuse(w http.ResponseWriter, status int, p problem) {
	if wait := time.Until(p.RetryAt); !p.RetryAt.IsZero() {
		w.Header().Set("Retry-After", strconv.Itoa(1+int(max(wait, 0)/time.Second)))
	}
	answer(w, status, p)
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// Package check proves dialects: Loopback has a dialect's two halves speak to
// each other over HTTP, through each operation and each error, and Against has
// the client's half speak to a real server.
package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A Result is one thing that was tried.
type Result struct {
	Operation string `json:"operation"`
	Case      string `json:"case"`
	Held      bool   `json:"held"`
	Detail    string `json:"detail"`
}

// Held reports whether everything did.
func Held(results []Result) bool {
	for _, r := range results {
		if !r.Held {
			return false
		}
	}
	return true
}

// results collects them for one operation.
type results struct {
	operation string
	list      *[]Result
}

func (r results) add(what string, err error, detail string, args ...any) {
	out := Result{r.operation, what, err == nil, fmt.Sprintf(detail, args...)}
	if err != nil {
		out.Detail = err.Error()
	}
	*r.list = append(*r.list, out)
}

const (
	timeout   = 30 * time.Second
	maxAnswer = 1 << 20
)

// send makes a request and reads the whole answer. Redirects are answers: to
// follow them would carry secrets on.
func send(ctx context.Context, r *dialect.Request) (*dialect.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, r.Header)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is larger than 1 MiB")
	}
	return &dialect.Response{Status: response.StatusCode, Header: response.Header, Body: body}, err
}

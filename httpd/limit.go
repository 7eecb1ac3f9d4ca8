package httpd

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// retryAfter is a Retry-After value, in whole seconds and at least one.
func retryAfter(d time.Duration) string {
	return strconv.FormatInt(wholeSeconds(d), 10)
}

// leastWait is what a caller is asked to wait when nothing better is known.
const leastWait = time.Second

func wholeSeconds(d time.Duration) int64 {
	return int64(math.Ceil(max(d, leastWait).Seconds()))
}

// setLimit tells a client how much of its limit is left, in the fields of
// draft-ietf-httpapi-ratelimit-headers.
func setLimit(h http.Header, l *gatehouse.LimitState) {
	if l == nil {
		return
	}
	h["Ratelimit-Policy"] = []string{`"issue";q=` + strconv.Itoa(l.Limit) + ";w=" + strconv.FormatInt(wholeSeconds(l.Window), 10)}
	h["Ratelimit"] = []string{`"issue";r=` + strconv.Itoa(l.Remaining) + ";t=" + strconv.FormatInt(int64(math.Ceil(l.Reset.Seconds())), 10)}
}

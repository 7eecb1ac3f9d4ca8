package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// wrk drives two servers in turn with the same script.
type wrk struct {
	seconds int
	dir     string
}

func (w wrk) script(name, text string) (string, error) {
	path := filepath.Join(w.dir, name+".lua")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func issueScript(s *devServer) string {
	return fmt.Sprintf(`wrk.method = "POST"
wrk.body = "grant_type=client_credentials"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "%s"
`, s.basic())
}

func verifyScript(tokens []string) string {
	return fmt.Sprintf(`local requests = {}
init = function()
  for i, token in ipairs({"%s"}) do
    requests[i] = wrk.format("GET", nil, {["Authorization"] = "Bearer " .. token})
  end
end
local i = 0
request = function()
  i = i %% #requests + 1
  return requests[i]
end
`, strings.Join(tokens, `","`))
}

var (
	rate   = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	count  = regexp.MustCompile(`(\d+) requests in`)
	failed = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)`)
)

// once measures one server and returns requests a second and their number.
func (w wrk) once(script, url string) (perSecond float64, requests int, err error) {
	out, err := exec.Command("wrk", "-t2", "-c32", fmt.Sprintf("-d%ds", w.seconds), "-s", script, url).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if f := failed.Find(out); f != nil {
		return 0, 0, fmt.Errorf("%s: %s", url, f)
	}
	r, n := rate.FindSubmatch(out), count.FindSubmatch(out)
	if r == nil || n == nil {
		return 0, 0, fmt.Errorf("wrk said nothing to count: %s", out)
	}
	perSecond, _ = strconv.ParseFloat(string(r[1]), 64)
	requests, _ = strconv.Atoi(string(n[1]))
	return perSecond, requests, nil
}

// pairs measures ours and the yardstick in turn, prints each pair, and returns
// the number of requests that ours answered.
func (w wrk) pairs(rounds int, script, ours, yardstick string) (answered int, err error) {
	var ratios, a, b []float64
	for range rounds {
		mine, n, err := w.once(script, ours)
		if err != nil {
			return 0, err
		}
		theirs, _, err := w.once(script, yardstick)
		if err != nil {
			return 0, err
		}
		answered += n
		a, b, ratios = append(a, mine), append(b, theirs), append(ratios, mine/theirs)
		fmt.Printf("  %8.0f/s beside %8.0f/s: %.2f\n", mine, theirs, mine/theirs)
	}
	fmt.Printf("  median %.0f/s beside %.0f/s: ratio %.2f\n", median(a), median(b), median(ratios))
	return answered, nil
}

package nodes_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

// BenchmarkIssue measures durable issuance over HTTP on both stores, in turn:
// 32 callers for 3 seconds each. -benchtime 5x makes five pairs.
func BenchmarkIssue(b *testing.B) {
	kek := base64.StdEncoding.EncodeToString(make([]byte, 32))
	stores := map[string]string{"sqlite": "sqlite:" + filepath.Join(b.TempDir(), "ledger"), "postgres": postgrestest.Start(b).URL(b)}
	urls, scripts := map[string]string{}, map[string]string{}
	for name, database := range stores {
		n := &node{data: b.TempDir()}
		clients, err := n.start(database, kek)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(n.stop)
		i := slices.IndexFunc(clients, func(c demoClient) bool { return c.Dialect == "oauth2" && c.Environment == "live" })
		basic := base64.StdEncoding.EncodeToString([]byte(clients[i].ClientID + ":" + clients[i].ClientSecret))
		urls[name], scripts[name] = n.url+"/oauth2/token", filepath.Join(b.TempDir(), "issue.lua")
		script := fmt.Sprintf("wrk.method, wrk.body = 'POST', 'grant_type=client_credentials'\n"+
			"wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'\nwrk.headers['Authorization'] = 'Basic %s'\n", basic)
		if err := os.WriteFile(scripts[name], []byte(script), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	rates := map[string][]float64{}
	var ratios []float64
	for b.Loop() {
		for _, name := range []string{"sqlite", "postgres"} {
			r, err := wrk(scripts[name], urls[name])
			if err != nil {
				b.Fatal(err)
			}
			rates[name] = append(rates[name], r)
		}
		last := len(ratios)
		ratios = append(ratios, rates["postgres"][last]/rates["sqlite"][last])
		b.Logf("sqlite %.0f/s, postgres %.0f/s: %.2f", rates["sqlite"][last], rates["postgres"][last], ratios[last])
	}
	for name, all := range rates {
		b.ReportMetric(median(all), name+"/s")
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op") // says nothing
}

var wrkRate, wrkFault = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`), regexp.MustCompile(`Non-2xx.*|Socket errors.*`)

func wrk(script, url string) (perSecond float64, err error) {
	out, err := exec.Command("wrk", "-t2", "-c32", "-d3s", "-s", script, url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	r := wrkRate.FindSubmatch(out)
	if fault := wrkFault.Find(out); fault != nil || r == nil {
		return 0, errors.New("wrk said: " + string(out))
	}
	return strconv.ParseFloat(string(r[1]), 64)
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

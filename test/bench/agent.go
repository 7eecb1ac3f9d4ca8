package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// measureAgent measures the agent beside nginx, both as a proxy that adds a
// credential to requests for one API over kept connections, and what it adds to
// a request's time when there is no other. The API is a second nginx, with one
// worker. Without nginx there is nothing to measure.
func measureAgent(binary string, w wrk, rounds int) error {
	if _, err := exec.LookPath("nginx"); err != nil {
		fmt.Println("the agent beside nginx: not measured, since there is no nginx here")
		return nil
	}
	api, proxy, own := freeAddress(), freeAddress(), freeAddress()
	stopAPI, err := startNginx(filepath.Join(w.dir, "api"), 1, `server {
  listen `+api+` backlog=4096;
  location /oauth2/token { default_type application/json; return 200 '{"access_token":"t","token_type":"Bearer","expires_in":3600}'; }
  location / { default_type text/plain; return 200 hello; }
}`)
	if err != nil {
		return err
	}
	defer stopAPI()
	stopProxy, err := startNginx(filepath.Join(w.dir, "proxy"), 2, `upstream api { server `+api+`; keepalive 64; keepalive_requests 1000000000; }
server {
  listen `+proxy+` backlog=4096;
  location /bank/ { proxy_pass http://api/v1/; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "Bearer t"; }
}`)
	if err != nil {
		return err
	}
	defer stopProxy()
	settings := filepath.Join(w.dir, "agent.yaml")
	if err := os.WriteFile(settings, []byte("listen: "+own+"\nupstreams:\n  bank: {dialect: oauth2, base_url: http://"+api+"/v1, token_url: http://"+api+
		", client_id: bank, client_secret: s}\n"), 0o600); err != nil {
		return err
	}
	agent := exec.Command(binary, "agent", "--config", settings)
	if _, err := firstLine(agent); err != nil {
		return err
	}
	defer stop(agent)

	fmt.Println("the agent beside nginx as a proxy: GET of an API that answers hello")
	plain, err := w.script("plain", "")
	if err != nil {
		return err
	}
	if _, err := w.pairs(rounds, plain, "http://"+own+"/bank/x", "http://"+proxy+"/bank/x"); err != nil {
		return err
	}
	var added, nginxAdds []float64
	for range rounds {
		direct, err := w.alone("http://" + api + "/v1/x")
		if err != nil {
			return err
		}
		through, err := w.alone("http://" + own + "/bank/x")
		if err != nil {
			return err
		}
		beside, err := w.alone("http://" + proxy + "/bank/x")
		if err != nil {
			return err
		}
		added = append(added, float64((through - direct).Microseconds()))
		nginxAdds = append(nginxAdds, float64((beside - direct).Microseconds()))
		fmt.Printf("  one caller, p50: %v directly, %v through the agent, %v through nginx\n", direct, through, beside)
	}
	fmt.Printf("  median: the agent adds %.0f µs, nginx %.0f µs\n", median(added), median(nginxAdds))
	return nil
}

// startNginx starts an nginx in a directory of its own.
func startNginx(dir string, workers int, server string) (end func(), err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`worker_processes %d; daemon off; pid nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
access_log off; keepalive_requests 1000000000;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
%s
}
`, workers, server)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", "nginx.conf")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(server, "listen ")
	address, _, _ := strings.Cut(rest, " ")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return func() { stop(cmd) }, nil
		}
		if time.Now().After(deadline) {
			stop(cmd)
			return nil, fmt.Errorf("nginx did not start: %w", err)
		}
	}
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0" // and the server says why it can't listen
	}
	defer l.Close()
	return l.Addr().String()
}

var half = regexp.MustCompile(`\n\s+50%\s+(\S+)`)

// alone is the median time of a request, of one caller on one connection.
func (w wrk) alone(url string) (time.Duration, error) {
	out, err := exec.Command("wrk", "-t1", "-c1", fmt.Sprintf("-d%ds", w.seconds), "--latency", url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	m := half.FindSubmatch(out)
	if m == nil || failed.Match(out) {
		return 0, fmt.Errorf("%s: %s", url, out)
	}
	return time.ParseDuration(string(m[1]))
}

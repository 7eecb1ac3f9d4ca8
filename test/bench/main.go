// Command bench measures a running Gatehouse beside two yardsticks, in turn and
// on the same cores, and the agent beside nginx, and prints the figures of
// docs/benchmarks.md. It needs wrk, and nginx for the agent.
//
//	go run ./test/bench [-rounds 5] [-seconds 4] [-client]
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 5, "measurements of each, in turn")
	seconds := flag.Int("seconds", 4, "length of one measurement")
	client := flag.Bool("client", false, "measure only the client side: the agent beside nginx")
	yardstick := flag.Bool("yardstick", false, "serve the yardsticks (what the command starts for itself)")
	flag.Parse()
	if *yardstick {
		log.Fatal(serveYardsticks())
	}
	if err := run(*rounds, *seconds, *client); err != nil {
		log.Fatal(err)
	}
}

func run(rounds, seconds int, clientOnly bool) error {
	dir, err := os.MkdirTemp("", "gatehouse-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/gatehouse")
	build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	w := wrk{seconds: seconds, dir: dir}
	if err := measureAgent(binary, w, rounds); err != nil || clientOnly {
		return err
	}
	if err := measureStart(binary, dir, rounds); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	server, err := startDev(binary, data)
	if err != nil {
		return err
	}
	running := true
	defer func() {
		if running {
			server.stop()
		}
	}()
	yard, yardURL, err := startYardsticks()
	if err != nil {
		return err
	}
	defer stop(yard)

	issue, err := w.script("issue", issueScript(server))
	if err != nil {
		return err
	}
	fmt.Println("durable issuance: POST /oauth2/token beside mint")
	issued, err := w.pairs(rounds, issue, server.URL+"/oauth2/token", yardURL+"/mint")
	if err != nil {
		return err
	}

	tokens, err := server.tokens(2000)
	if err != nil {
		return err
	}
	verify, err := w.script("verify", verifyScript(tokens))
	if err != nil {
		return err
	}
	fmt.Println("validation: GET /gate/verify with 2,000 tokens beside hello")
	if _, err = w.pairs(rounds, verify, server.URL+"/gate/verify?environment=live", yardURL+"/hello"); err != nil {
		return err
	}

	server.stop() // moves the write-ahead log into the ledger's file
	running = false
	full, err := os.Stat(filepath.Join(data, "gatehouse.db"))
	if err != nil {
		return err
	}
	empty, err := os.Stat(filepath.Join(dir, "start", "gatehouse.db"))
	if err != nil {
		return err
	}
	rows := issued + len(tokens)
	fmt.Printf("ledger: %d bytes for %d tokens: %.0f bytes a token\n", full.Size()-empty.Size(), rows, float64(full.Size()-empty.Size())/float64(rows))
	return nil
}

// measureStart starts a server on a directory that has been used before, as
// a restart does, and says when it was ready and what it then takes.
func measureStart(binary, dir string, rounds int) error {
	data := filepath.Join(dir, "start")
	first, err := startDev(binary, data)
	if err != nil {
		return err
	}
	first.stop()
	var took []float64
	var memory []float64
	for range rounds {
		s, err := startDev(binary, data)
		if err != nil {
			return err
		}
		took = append(took, float64(s.ready.Milliseconds()))
		time.Sleep(2 * time.Second)
		rss, err := residentMiB(s.cmd.Process.Pid)
		s.stop()
		if err != nil {
			return err
		}
		memory = append(memory, rss)
	}
	fmt.Printf("start to ready: median %.0f ms of %d; idle: median %.0f MiB resident\n", median(took), rounds, median(memory))
	return nil
}

func residentMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		return 0, errors.New("no VmRSS in /proc")
	}
	kib, err := strconv.Atoi(string(m[1]))
	return float64(kib) / 1024, err
}

// A devServer is a `gatehouse dev` and what it printed.
type devServer struct {
	cmd     *exec.Cmd
	ready   time.Duration
	URL     string `json:"url"`
	Clients []struct {
		Dialect     string `json:"dialect"`
		Environment string `json:"environment"`
		ClientID    string `json:"client_id"`
		Secret      string `json:"client_secret"`
	} `json:"clients"`
}

func startDev(binary, data string) (*devServer, error) {
	s := &devServer{cmd: exec.Command(binary, "dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data)}
	start := time.Now()
	line, err := firstLine(s.cmd)
	if err != nil {
		return nil, err
	}
	s.ready = time.Since(start)
	return s, json.Unmarshal(line, s)
}

// firstLine starts a server and waits for the line that says that it is ready.
func firstLine(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(out, 1<<20).ReadBytes('\n')
	if err != nil {
		stop(cmd)
		return nil, fmt.Errorf("%s did not start: %w", cmd.Path, err)
	}
	return line, nil
}

func (s *devServer) stop() { stop(s.cmd) }

func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
}

func (s *devServer) basic() string {
	for _, c := range s.Clients {
		if c.Dialect == "oauth2" && c.Environment == "live" {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.ClientID+":"+c.Secret))
		}
	}
	return ""
}

func (s *devServer) tokens(n int) ([]string, error) {
	out := make([]string, n)
	for i := range out {
		r, err := http.NewRequest(http.MethodPost, s.URL+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", s.basic())
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil || answer.AccessToken == "" {
			return nil, fmt.Errorf("no token: %s %v", resp.Status, err)
		}
		out[i] = answer.AccessToken
	}
	return out, nil
}

func startYardsticks() (cmd *exec.Cmd, url string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd = exec.Command(self, "-yardstick")
	line, err := firstLine(cmd)
	return cmd, strings.TrimSpace(string(line)), err
}

func median(all []float64) float64 {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

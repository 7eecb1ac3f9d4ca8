// Command gates measures what remote gates cost a node: memory, CPU and bytes.
//
//	go run ./test/gates -gates 2000
//
// It runs the real server, lets that many followers hang on its journal, and
// revokes tokens. docs/gate.md has its numbers.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func main() {
	gates := flag.Int("gates", 2000, "how many followers")
	revocations := flag.Int("revocations", 200, "how many tokens are revoked")
	flag.Parse()
	if err := run(*gates, *revocations); err != nil {
		log.Fatal(err)
	}
}

// A server is `gatehouse dev` in a process of its own.
type server struct {
	binary, data, url string
	cmd               *exec.Cmd
}

func run(gates, revocations int) error {
	dir, err := os.MkdirTemp("", "gatehouse-gates-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &server{binary: filepath.Join(dir, "gatehouse"), data: filepath.Join(dir, "data")}
	if out, err := exec.Command("go", "build", "-o", s.binary, "./cmd/gatehouse").CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w: %s", err, out)
	}
	if err := s.start(); err != nil {
		return err
	}
	defer func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}()
	return s.measure(gates, revocations)
}

func (s *server) start() error {
	s.cmd = exec.Command(s.binary, "dev", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", s.data)
	s.cmd.Env = append(os.Environ(), "GATEHOUSE_LOG_LEVEL=warn")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("dev says nothing: %w", err)
	}
	var said struct {
		URL  string         `json:"url"`
		Rest jsontext.Value `json:",unknown"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return err
	}
	s.url = said.URL
	return nil
}

// admin runs an administrative command.
func (s *server) admin(into any, args ...string) error {
	out, err := exec.Command(s.binary, append(args, "--json", "--data", s.data)...).Output()
	if err != nil {
		return fmt.Errorf("gatehouse %v: %w", args, err)
	}
	return json.Unmarshal(out, into)
}

func (s *server) measure(gates, revocations int) error {
	var client struct {
		ID      string `json:"client_id"`
		Secrets []struct {
			Secret string         `json:"client_secret"`
			Rest   jsontext.Value `json:",unknown"`
		} `json:"secrets"`
		Rest jsontext.Value `json:",unknown"`
	}
	err := s.admin(&client, "client", "create", "--name", "gates", "--dialect", "oauth2", "--environment", "live", "--scope", "gatehouse:gate")
	if err != nil {
		return err
	}
	id, secret := client.ID, client.Secrets[0].Secret
	tok, err := s.token(id, secret)
	if err != nil {
		return err
	}
	idle, err := s.used()
	if err != nil {
		return err
	}
	f := followers{url: s.url, token: tok}
	defer f.close()
	began := time.Now()
	for range gates {
		if err := f.open(); err != nil {
			return err
		}
	}
	opened := time.Since(began)
	time.Sleep(5 * time.Second)
	before, err := s.used()
	if err != nil {
		return err
	}
	told := f.bytes.Load()
	const quiet = 20 * time.Second
	time.Sleep(quiet)
	after, err := s.used()
	if err != nil {
		return err
	}
	n := float64(gates)
	fmt.Printf("%d gates, opened in %s\n", gates, opened.Round(time.Millisecond))
	fmt.Printf("memory      %.1f KiB a gate (resident %.1f MiB without, %.1f MiB with)\n", (after.memory-idle.memory)/n/1024, idle.memory/(1<<20), after.memory/(1<<20))
	fmt.Printf("at rest     %.2f µs of CPU and %.0f bytes a second and gate\n", (after.cpu-before.cpu).Seconds()*1e6/quiet.Seconds()/n, float64(f.bytes.Load()-told)/quiet.Seconds()/n)
	return s.revoke(&f, id, secret, revocations, (after.cpu-before.cpu).Seconds()/quiet.Seconds())
}

// revoke revokes tokens one by one, and waits each time until every gate has
// been told.
func (s *server) revoke(f *followers, id, secret string, revocations int, rest float64) error {
	var tokens []string
	for range revocations {
		tok, err := s.token(id, secret)
		if err != nil {
			return err
		}
		tokens = append(tokens, tok)
	}
	start, err := s.used()
	if err != nil {
		return err
	}
	began := time.Now()
	var delays []time.Duration
	bytesBefore := f.bytes.Load()
	for _, tok := range tokens {
		want := f.revoked.Load() + int64(len(f.conns))
		form := url.Values{"token": {tok}, "client_id": {id}, "client_secret": {secret}}
		res, err := http.PostForm(s.url+"/oauth2/revoke", form)
		if err != nil {
			return err
		}
		res.Body.Close()
		acknowledged := time.Now()
		for f.revoked.Load() < want {
			if time.Since(acknowledged) > 10*time.Second {
				return fmt.Errorf("%d gates have not been told after 10 s", want-f.revoked.Load())
			}
			time.Sleep(100 * time.Microsecond)
		}
		delays = append(delays, time.Since(acknowledged))
	}
	took := time.Since(began)
	end, err := s.used()
	if err != nil {
		return err
	}
	slices.Sort(delays)
	n := float64(len(f.conns)) * float64(revocations)
	cpu := (end.cpu - start.cpu).Seconds() - rest*took.Seconds()
	fmt.Printf("revocation  %.2f µs of CPU and %.0f bytes a gate\n", cpu*1e6/n, float64(f.bytes.Load()-bytesBefore)/n)
	fmt.Printf("told all    p50 %s, p99 %s, most %s after the acknowledgement\n",
		delays[len(delays)/2].Round(time.Microsecond), delays[len(delays)*99/100].Round(time.Microsecond), delays[len(delays)-1].Round(time.Microsecond))
	return nil
}

func (s *server) token(id, secret string) (string, error) {
	res, err := http.PostForm(s.url+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var answer struct {
		Token string         `json:"access_token"`
		Rest  jsontext.Value `json:",unknown"`
	}
	if err := json.UnmarshalRead(res.Body, &answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("no token: %s: %w", res.Status, err)
	}
	return answer.Token, nil
}

// usage is what the server's process has used.
type usage struct {
	memory float64 // bytes, resident
	cpu    time.Duration
}

func (s *server) used() (usage, error) {
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return usage{}, err
	}
	// The name before may hold blanks; utime and stime are the 12th and 13th after it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return usage{}, err
		}
		ticks += n
	}
	pages, err := strconv.ParseFloat(fields[21], 64)
	const tick = 10 * time.Millisecond
	return usage{pages * float64(os.Getpagesize()), time.Duration(ticks) * tick}, err
}

// followers are gates reduced to their connections.
type followers struct {
	url, token string
	conns      []net.Conn
	reading    sync.WaitGroup
	revoked    atomic.Int64
	bytes      atomic.Int64
}

// open asks for a feed, and returns once its first beat has come.
func (f *followers) open() error {
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		return err
	}
	f.conns = append(f.conns, c)
	_, err = io.WriteString(c, "GET /gate/journal HTTP/1.1\r\nHost: gates\r\nAuthorization: Bearer "+f.token+"\r\n\r\n")
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	f.reading.Go(func() { f.read(c, sync.OnceFunc(func() { close(ready) })) })
	select {
	case <-ready:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("no beat from feed %d", len(f.conns))
	}
}

func (f *followers) read(c net.Conn, beat func()) {
	in := bufio.NewReaderSize(c, 4<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		f.bytes.Add(int64(len(line)))
		switch {
		case bytes.HasPrefix(line, []byte("event: token_revoked")):
			f.revoked.Add(1)
		case bytes.HasPrefix(line, []byte("event: beat")):
			beat()
		}
	}
}

func (f *followers) close() {
	for _, c := range f.conns {
		c.Close()
	}
	f.reading.Wait()
}

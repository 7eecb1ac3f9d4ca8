package abuse_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// slowFor is longer than a server waits for a request.
const slowFor = 13 * time.Second

// Whoever is slow on purpose, floods with streams that it resets, or names
// keys without end costs others no time worth telling and the server little
// memory. Each slow connection is ended.
func TestOthersNoticeNothing(t *testing.T) {
	slow, slowest := 200, 2*time.Second
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		slow, slowest = 1000, 200*time.Millisecond
	}
	s := start(t)
	s.callHonestly(t, time.Second, nil) // what it needs for ordinary work is there now
	before := s.residentMiB(t)

	ctx, end := context.WithTimeout(t.Context(), slowFor)
	defer end()
	var abusers sync.WaitGroup
	var ended, resets, strangers atomic.Int64
	abuse := func(times int, do func()) {
		for range times {
			abusers.Go(do)
		}
	}
	const head = "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	abuse(slow, func() { s.drip(ctx, t, &ended, "", head+"X-Padding: ") })
	abuse(slow, func() { s.drip(ctx, t, &ended, head+"Content-Length: 60000\r\n\r\n", "grant_type=") })
	abuse(slow/10, func() { s.neverRead(ctx, t) })
	abuse(2, func() { s.resetStreams(ctx, t, &resets) })
	abuse(2, func() { s.nameStrangeKeys(ctx, t, &strangers) })

	var most atomic.Int64
	times := s.callHonestly(t, slowFor, func() { most.Store(max(most.Load(), int64(s.residentMiB(t)))) })
	end()
	abusers.Wait()
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	t.Logf("%d slow callers, %d ended by the server; %d that read nothing; %d streams reset; %d strange keys; %d honest calls, p50 %v, p99 %v; memory %d → %d MiB",
		2*slow, ended.Load(), slow/10, resets.Load(), strangers.Load(), len(times), times[len(times)/2], p99, before, most.Load())
	if p99 > slowest {
		t.Errorf("p99 of honest calls is %v, wanted %v at most", p99, slowest)
	}
	if grown := int(most.Load()) - before; grown > 100 {
		t.Errorf("the server's memory has grown by %d MiB", grown)
	}
	if ended.Load() < int64(2*slow) {
		t.Errorf("%d of %d slow callers were ended", ended.Load(), 2*slow)
	}
	if resets.Load() < 1000 || strangers.Load() < 100 {
		t.Error("the abusers did not get to abuse")
	}
}

// callHonestly issues and validates for a while, and returns how long each call took.
func (s *server) callHonestly(t *testing.T, length time.Duration, between func()) (times []time.Duration) {
	t.Helper()
	client := s.caller()
	defer client.CloseIdleConnections()
	do := func(method, path, authorization, body string) []byte {
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		begun := time.Now()
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		times = append(times, time.Since(begun))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s: %v", path, res.StatusCode, answer, err)
		}
		return answer
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(s.id+":"+s.pass))
	for until := time.Now().Add(length); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		answer := do("POST", "/oauth2/token", basic, "grant_type=client_credentials")
		_, rest, _ := bytes.Cut(answer, []byte(`"access_token":"`))
		tok, _, _ := bytes.Cut(rest, []byte(`"`))
		do("GET", "/gate/verify?environment=live", "Bearer "+string(tok), "")
		if between != nil {
			between()
		}
	}
	return times
}

// drip sends what belongs together first, and then a byte of the rest each
// half second, and more like the last one, until the server has had enough.
func (s *server) drip(ctx context.Context, t *testing.T, ended *atomic.Int64, first, rest string) {
	c := s.dial(t, "http/1.1")
	if c == nil {
		return
	}
	defer c.Close()
	if _, err := io.WriteString(c, first); err != nil {
		ended.Add(1)
		return
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(io.Discard, c)
	}()
	pause := time.NewTicker(500 * time.Millisecond)
	defer pause.Stop()
	for i := 0; ; i++ {
		select {
		case <-answered:
			ended.Add(1)
			return
		case <-ctx.Done():
			return
		case <-pause.C:
			if _, err := c.Write([]byte{rest[min(i, len(rest)-1)]}); err != nil {
				ended.Add(1)
				return
			}
		}
	}
}

// neverRead asks, until the buffers on the way are full, and reads none of it.
func (s *server) neverRead(ctx context.Context, t *testing.T) {
	c := s.dial(t, "http/1.1")
	if c == nil {
		return
	}
	defer c.Close()
	_ = c.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })()
	asked := []byte(strings.Repeat("GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: x\r\n\r\n", 20))
	for ctx.Err() == nil {
		if _, err := c.Write(asked); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// resetStreams opens HTTP/2 streams and resets each at once (CVE-2023-44487).
func (s *server) resetStreams(ctx context.Context, t *testing.T, resets *atomic.Int64) {
	for ctx.Err() == nil {
		c := s.dial(t, "h2")
		if c == nil {
			return
		}
		s.resetOn(ctx, c, resets)
		_ = c.Close()
	}
}

func (s *server) resetOn(ctx context.Context, c io.ReadWriter, resets *atomic.Int64) {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	framer := http2.NewFramer(c, nil)
	if framer.WriteSettings() != nil {
		return
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for stream := uint32(1); ctx.Err() == nil && stream < 1<<30; stream += 2 {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", s.address}, {":path", "/gate/verify?environment=live"}} {
			_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}) != nil ||
			framer.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			return // cut off: the server has had enough
		}
		if resets.Add(1)%100 == 0 {
			time.Sleep(10 * time.Millisecond) // some 10,000 a second: the attacker shares our two cores
		}
	}
}

// nameStrangeKeys shows tokens, each signed by a key that there never was.
func (s *server) nameStrangeKeys(ctx context.Context, t *testing.T, strangers *atomic.Int64) {
	client := s.caller()
	defer client.CloseIdleConnections()
	encode := base64.RawURLEncoding.EncodeToString
	for ctx.Err() == nil {
		token := encode(fmt.Appendf(nil, `{"alg":"EdDSA","typ":"at+jwt","kid":"%s"}`, rand.Text())) + "." +
			encode([]byte(`{"iss":"https://`+s.address+`","exp":9999999999}`)) + "." + encode(make([]byte, 64))
		r, err := http.NewRequestWithContext(ctx, "GET", "https://"+s.address+"/gate/verify?environment=live", nil)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(r)
		if err != nil {
			continue // the time is over
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("a strange key: %d", res.StatusCode)
			return
		}
		strangers.Add(1)
		time.Sleep(5 * time.Millisecond)
	}
}

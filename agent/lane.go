package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

const (
	maxHeader   = 1 << 20 // of an answer
	maxInformed = 5       // answers before the answer (1xx)
)

// A lane is a connection that carries one call at a time.
type lane struct {
	carrier   *carrier
	origin    origin
	raw, conn net.Conn // the same without TLS
	r         *bufio.Reader
	w         *bufio.Writer
	left      int // bytes that may still be read
	used      bool
	since     time.Time // idle
}

var (
	errStale    = errors.New("the API closed the connection before it answered")
	errHeader   = fmt.Errorf("the API's answer has a header of more than %d MiB", maxHeader>>20)
	errInformed = errors.New("the API answered 1xx again and again")
	errSwitch   = errors.New("the API switched protocols without being asked to")
	past        = time.Unix(1, 0)
)

// Read is for the bufio.Reader: it bounds headers.
func (l *lane) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errHeader
	}
	n, err := l.conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// exchange sends a request and reads the answer. The lane goes back to its
// carrier when the answer's body has been read.
func (l *lane) exchange(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	stop := context.AfterFunc(ctx, func() { _ = l.raw.SetDeadline(past) })
	resp, err := l.ask(r)
	if err != nil {
		stop()
		_ = l.raw.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	b := &laneBody{lane: l, of: resp.Body, stop: stop, keep: !resp.Close}
	if resp.Body == http.NoBody {
		b.end(true)
	} else {
		resp.Body = b
	}
	return resp, nil
}

func (l *lane) ask(r *http.Request) (*http.Response, error) {
	err := r.Write(l.w)
	if err == nil {
		err = l.w.Flush()
	}
	reused := l.used
	l.used, l.left = true, maxHeader
	if err == nil {
		_, err = l.r.Peek(1)
	}
	if err != nil {
		if reused {
			return nil, fmt.Errorf("%w: %w", errStale, err)
		}
		return nil, err
	}
	for range maxInformed {
		resp, err := http.ReadResponse(l.r, r)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, errSwitch
		}
		if resp.StatusCode >= 200 || resp.StatusCode < 100 {
			l.left = math.MaxInt
			return resp, nil
		}
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
	}
	return nil, errInformed
}

// laneBody is an answer's body.
type laneBody struct {
	lane *lane
	of   io.Reader
	stop func() bool
	keep bool
	over error // what further reads get
}

func (b *laneBody) Read(p []byte) (int, error) {
	if b.over != nil {
		return 0, b.over
	}
	n, err := b.of.Read(p)
	if err != nil {
		b.end(err == io.EOF)
		b.over = err
	}
	return n, err
}

// Close gives up what has not been read, and the connection with it.
func (b *laneBody) Close() error {
	if b.over == nil {
		b.end(false)
		b.over = http.ErrBodyReadAfterClose
	}
	return nil
}

// atHand reports whether a Read would not wait. What is at hand of a chunk's
// frame is followed by the rest.
func (b *laneBody) atHand() bool { return b.over == nil && b.lane.r.Buffered() > 0 }

// end is the lane's way back. One with something left in it answered more than
// it was asked.
func (b *laneBody) end(whole bool) {
	l := b.lane
	if !b.stop() || !whole || !b.keep || l.r.Buffered() > 0 {
		_ = l.raw.Close()
		return
	}
	l.carrier.put(l)
}

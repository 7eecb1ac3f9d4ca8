package postgrestest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Line stands between clients and a server, and breaks in the ways that
// networks do. It is safe for concurrent use.
type Line struct {
	listener net.Listener
	to       string

	down  atomic.Bool
	hangs atomic.Bool
	loses atomic.Bool
	deaf  atomic.Bool
	delay atomic.Int64

	mu      sync.Mutex
	ends    map[net.Conn]bool
	closed  bool
	passing sync.WaitGroup
}

// NewLine makes a line to a Server's Addr, until t ends. It reads the messages
// of the server, so the URL must say sslmode=disable.
func NewLine(t testing.TB, to string) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &Line{listener: listener, to: to, ends: map[net.Conn]bool{}}
	t.Cleanup(func() {
		listener.Close()
		l.hangs.Store(false)
		l.delay.Store(0)
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.Cut()
		l.passing.Wait()
	})
	l.passing.Go(l.accept)
	return l
}

// Through is the URL of a database by way of the line.
func (l *Line) Through(url string) string {
	return strings.Replace(url, l.to, l.listener.Addr().String(), 1)
}

// Down refuses new connections. Those that are open stay: Cut them.
func (l *Line) Down(is bool) { l.down.Store(is) }

// Hang lets nothing through, and breaks nothing.
func (l *Line) Hang(is bool) { l.hangs.Store(is) }

// Lose loses what the server answers next, and the connection with it.
func (l *Line) Lose(is bool) { l.loses.Store(is) }

// Deafen loses notices (NOTIFY), as a pooler in transaction mode does.
func (l *Line) Deafen(is bool) { l.deaf.Store(is) }

// Delay makes what clients send arrive later.
func (l *Line) Delay(by time.Duration) { l.delay.Store(int64(by)) }

// Cut closes every connection.
func (l *Line) Cut() { l.end(func(net.Conn) {}) }

// Reset ends every connection as a machine does that knows nothing of it.
func (l *Line) Reset() {
	l.end(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) })
}

func (l *Line) end(how func(net.Conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.ends {
		how(c)
		c.Close()
	}
	clear(l.ends)
}

func (l *Line) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		if l.down.Load() {
			in.Close()
			continue
		}
		out, err := net.Dial("tcp", l.to)
		if err != nil {
			in.Close()
			continue
		}
		l.mu.Lock()
		if l.closed {
			in.Close()
			out.Close()
		} else {
			l.ends[in], l.ends[out] = true, true
			l.passing.Go(func() { l.ask(in, out) })
			l.passing.Go(func() { l.answer(out, in) })
		}
		l.mu.Unlock()
	}
}

func (l *Line) leave(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(l.ends, c)
	}
}

func (l *Line) hang() {
	for l.hangs.Load() {
		time.Sleep(time.Millisecond)
	}
}

// ask passes on what a client sends.
func (l *Line) ask(client, server net.Conn) {
	defer l.leave(client, server)
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		l.hang()
		time.Sleep(time.Duration(l.delay.Load()))
		if _, failed := server.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// answer passes on what the server sends, message by message.
func (l *Line) answer(server, client net.Conn) {
	defer l.leave(client, server)
	from := bufio.NewReader(server)
	for {
		// A type and a length that counts itself (PostgreSQL's documentation, 55.7).
		head, err := from.Peek(5)
		if err != nil {
			return
		}
		message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(from, message); err != nil {
			return
		}
		l.hang()
		const notification = 'A'
		if l.loses.Load() {
			return
		}
		if message[0] == notification && l.deaf.Load() {
			continue
		}
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}

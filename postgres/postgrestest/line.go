package postgrestest

import (
	"bufio"
	"bytes"
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
	mute  atomic.Bool // about commits
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

// LoseCommits loses what the server answers to a transaction that changes
// something once it has ended, and the connection with it.
func (l *Line) LoseCommits(is bool) { l.mute.Store(is) }

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
			changing := &atomic.Bool{}
			l.passing.Go(func() { l.ask(in, out, changing) })
			l.passing.Go(func() { l.answer(out, in, changing) })
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

// Types of messages (PostgreSQL's documentation, 55.7).
const (
	parse         = 'P' // from clients: a statement's name and text
	bind          = 'B' // a portal's name and a statement's
	query         = 'Q'
	notification  = 'A' // from the server
	readyForQuery = 'Z'
)

// next reads a message: its type, and a length that counts itself.
func next(from *bufio.Reader) ([]byte, error) {
	head, err := from.Peek(5)
	if err != nil {
		return nil, err
	}
	message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
	_, err = io.ReadFull(from, message)
	return message, err
}

// ask passes on what a client sends, and tells when it changes something.
func (l *Line) ask(client, server net.Conn, changing *atomic.Bool) {
	defer l.leave(client, server)
	from, to := bufio.NewReader(client), bufio.NewWriter(server)
	head, err := from.Peek(4) // the first message has no type
	if err != nil {
		return
	}
	if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(head))); err != nil {
		return
	}
	changes := map[string]bool{} // by the statement's name
	for {
		if from.Buffered() == 0 {
			l.hang()
			time.Sleep(time.Duration(l.delay.Load()))
			if to.Flush() != nil {
				return
			}
		}
		message, err := next(from)
		if err != nil {
			return
		}
		texts := bytes.SplitN(message[5:], []byte{0}, 3)
		switch message[0] {
		case parse:
			changes[string(texts[0])] = isChange(texts[1])
		case bind:
			if changes[string(texts[1])] {
				changing.Store(true)
			}
		case query:
			if isChange(texts[0]) {
				changing.Store(true)
			}
		}
		if _, err := to.Write(message); err != nil {
			return
		}
	}
}

func isChange(statement []byte) bool {
	for _, word := range []string{"INSERT", "UPDATE ", "DELETE "} {
		if bytes.Contains(statement, []byte(word)) {
			return true
		}
	}
	return false
}

// answer passes on what the server sends.
func (l *Line) answer(server, client net.Conn, changing *atomic.Bool) {
	defer l.leave(client, server)
	from := bufio.NewReader(server)
	var held []byte // what belongs to one answer, while commits are lost
	for {
		message, err := next(from)
		if err != nil {
			return
		}
		l.hang()
		const idle = 'I' // no transaction is open
		ended := message[0] == readyForQuery && message[5] == idle
		changed := ended && changing.Swap(false)
		if l.loses.Load() || changed && l.mute.Load() {
			return
		}
		if message[0] == notification && l.deaf.Load() {
			continue
		}
		held = append(held, message...)
		if l.mute.Load() && message[0] != readyForQuery && message[0] != notification {
			continue
		}
		if _, err := client.Write(held); err != nil {
			return
		}
		held = held[:0]
	}
}

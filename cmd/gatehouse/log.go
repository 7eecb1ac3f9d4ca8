package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/x/term"
)

// newLogger writes to stderr: lines for people on a terminal, JSON elsewhere.
// flush waits until what was logged is written.
func newLogger(level slog.Level) (log *slog.Logger, flush func()) {
	options := &slog.HandlerOptions{Level: level}
	w := newPatientWriter(os.Stderr)
	if term.IsTerminal(os.Stderr.Fd()) {
		return slog.New(slog.NewTextHandler(w, options)), w.flush
	}
	return slog.New(slog.NewJSONHandler(w, options)), w.flush
}

// A patientWriter keeps requests from waiting for whoever reads the log: a
// reader that has stopped would stop the server. Up to its bound lines wait in
// memory; beyond that they are left out, and counted in the log itself.
type patientWriter struct {
	lines   chan logged
	dropped atomic.Int64
}

// logged is a line to write, or a flush that waits for its turn.
type logged struct {
	line    []byte
	flushed chan<- struct{}
}

const (
	waitingLines = 4096
	flushTimeout = time.Second
)

func newPatientWriter(to io.Writer) *patientWriter {
	w := &patientWriter{lines: make(chan logged, waitingLines)}
	go w.copy(to)
	return w
}

// Write takes one line. It never waits and never fails.
func (w *patientWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- logged{line: bytes.Clone(line)}: // the handler uses its buffer again
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

func (w *patientWriter) copy(to io.Writer) {
	for l := range w.lines {
		if l.flushed != nil {
			close(l.flushed)
			continue
		}
		_, _ = to.Write(l.line)
		if n := w.dropped.Swap(0); n > 0 {
			fmt.Fprintf(to, `{"level":"WARN","msg":"nobody read the log for a while","dropped":%d}`+"\n", n)
		}
	}
}

// flush waits until the lines before it are written, but not for a reader that
// has stopped.
func (w *patientWriter) flush() {
	deadline := time.After(flushTimeout)
	flushed := make(chan struct{})
	select {
	case w.lines <- logged{flushed: flushed}:
	case <-deadline:
		return
	}
	select {
	case <-flushed:
	case <-deadline:
	}
}

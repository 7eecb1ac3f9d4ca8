package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"
)

// A reader that stops must not stop the server, and what is left out is said.
func TestLogDoesNotWait(t *testing.T) {
	r, to := io.Pipe() // a write waits for its reader
	w := newPatientWriter(to)
	began := time.Now()
	const lines = 3 * waitingLines
	for range lines {
		if _, err := w.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	w.flush()
	if took := time.Since(began); took > 2*flushTimeout {
		t.Errorf("%d lines took %v with nobody reading", lines, took)
	}
	read, notice := 0, ""
	for s := bufio.NewScanner(r); notice == "" && s.Scan(); {
		if strings.Contains(s.Text(), "dropped") {
			notice = s.Text()
			continue
		}
		read++
	}
	if read == 0 || notice == "" {
		t.Errorf("%d lines and the notice %q", read, notice)
	}
	go io.Copy(io.Discard, r) //nolint:errcheck // until the test ends
	w.flush()
}

func TestLogIsWrittenBeforeTheEnd(t *testing.T) {
	var out strings.Builder
	w := newPatientWriter(&out)
	for range 100 {
		_, _ = w.Write([]byte("line\n"))
	}
	w.flush()
	if n := strings.Count(out.String(), "line\n"); n != 100 {
		t.Errorf("%d lines of 100 are written", n)
	}
}

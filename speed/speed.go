// Package speed measures what a server does, and what the machine under it
// could do at most.
package speed

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Measured is how often something was done in a second, and how long each time took.
type Measured struct {
	What      string  `json:"what"`
	Times     int     `json:"times"`
	PerSecond float64 `json:"per_second"`
	P50       Latency `json:"p50_us"`
	P99       Latency `json:"p99_us"`
	Longest   Latency `json:"longest_us"`
}

// Latency is a time to a microsecond, which is a number of them in JSON.
type Latency time.Duration

// String shows it with its unit.
func (l Latency) String() string { return time.Duration(l).Round(time.Microsecond).String() }

// MarshalJSON implements json.Marshaler.
func (l Latency) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, time.Duration(l).Microseconds(), 10), nil
}

// repeat does something for a time, on so many goroutines at once. do is given
// the number of its goroutine. The first error ends all.
func repeat(ctx context.Context, what string, at int, length time.Duration, do func(ctx context.Context, worker int) error) (Measured, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	took := make([][]time.Duration, at)
	begun := time.Now()
	var working sync.WaitGroup
	for worker := range at {
		working.Go(func() {
			for ctx.Err() == nil && time.Since(begun) < length {
				start := time.Now()
				if err := do(ctx, worker); err != nil {
					end(err)
					return
				}
				took[worker] = append(took[worker], time.Since(start))
			}
		})
	}
	working.Wait()
	passed := time.Since(begun)
	if err := context.Cause(ctx); err != nil {
		return Measured{}, fmt.Errorf("%s: %w", what, err)
	}
	return summary(what, slices.Concat(took...), passed), nil
}

func summary(what string, took []time.Duration, passed time.Duration) Measured {
	slices.Sort(took)
	m := Measured{What: what, Times: len(took), PerSecond: float64(len(took)) / passed.Seconds()}
	if n := len(took); n > 0 {
		m.P50, m.P99, m.Longest = Latency(took[n/2]), Latency(took[n*99/100]), Latency(took[n-1])
	}
	return m
}

// Signing measures Ed25519 signatures on all cores: no server can issue more
// JWTs.
func Signing(ctx context.Context, length time.Duration) (Measured, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Measured{}, err
	}
	message := make([]byte, 256)
	return repeat(ctx, "Ed25519 signatures", runtime.GOMAXPROCS(0), length, func(context.Context, int) error {
		ed25519.Sign(key, message)
		return nil
	})
}

// Syncing measures how often a page can be written to the disk of dir and
// synced, one after the other: a ledger can't commit more often, so callers at
// once share commits.
func Syncing(ctx context.Context, dir string, length time.Duration) (m Measured, err error) {
	path := filepath.Join(dir, "speed.tmp")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	page := make([]byte, 4096)
	return repeat(ctx, "writes synced to disk", 1, length, func(context.Context, int) error {
		if _, err := f.WriteAt(page, 0); err != nil {
			return err
		}
		return f.Sync()
	})
}

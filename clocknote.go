package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The ledger knows the time of its last change. A node that has only judged
// tokens since then has called some of them expired, and would take them for
// live ones at its next start if the machine's clock was set back before it. So
// nodes note what time it has been: each minute, when they end, and as soon as
// the clock has jumped ahead.
const (
	documentClock = "clock"
	clockNewest   = "newest"
)

// clockJump is more than any clock strays between two looks at it.
const clockJump = 2 * time.Second

// recallTime tells the clock of the time that was noted.
func (e *Engine) recallTime(ctx context.Context) error {
	_, noted, err := e.notedTime(ctx)
	if err == nil {
		e.clock.atLeast(noted)
	}
	return err
}

func (e *Engine) notedTime(ctx context.Context) (doc *Document, noted time.Time, err error) {
	doc, err = e.store.Document(ctx, documentClock, clockNewest)
	if errors.Is(err, ErrNotFound) {
		return &Document{Kind: documentClock, Key: clockNewest}, time.Unix(0, 0), nil
	}
	if err == nil {
		err = noted.UnmarshalText(doc.Value)
	}
	if err != nil {
		err = fmt.Errorf("reading what time it has been: %w", err)
	}
	return doc, noted, err
}

// noteTime notes the time, unless a node has noted a later one.
func (e *Engine) noteTime(ctx context.Context) error {
	for {
		doc, noted, err := e.notedTime(ctx)
		if err != nil {
			return err
		}
		now := e.clock.now()
		if !noted.Before(now) {
			return nil
		}
		if doc.Value, err = now.MarshalText(); err != nil {
			return err
		}
		err = e.store.Keep(ctx, nil, *doc)
		if errors.Is(err, ErrExists) || errors.Is(err, ErrConflict) {
			continue // another node has noted its own
		}
		return err
	}
}

// noteJump notes the time where the wall clock has got further since seen than
// the monotonic one, and moves seen on.
func (e *Engine) noteJump(ctx context.Context, seen *time.Time) error {
	was, is := *seen, e.clock.wall()
	*seen = is
	ahead := is.Round(0).Sub(was.Round(0)) - is.Sub(was)
	if ahead < clockJump {
		return nil
	}
	e.log.Warn("the machine's clock was set forward, or the machine slept", "by", ahead.Round(time.Millisecond))
	return e.noteTime(ctx)
}

package gatehouse

import (
	"testing"
	"time"
)

// No position and no key's number can have been given out before: not since the
// copy was made, and not after an earlier restore from it.
func TestRestartsGoPastEachOther(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	const seq, index = 12_345, 7
	first, again := restartAt(seq, now), restartAt(seq, now.Add(time.Minute))
	if since := int64(time.Minute / time.Microsecond); first <= seq || again < first+since {
		t.Errorf("the journal goes on at %d, and a minute later at %d", first, again)
	}
	if again >= 1<<53 {
		t.Errorf("%d is no number of JSON", again)
	}
	if behind := restartAt(first, now.Add(-24*time.Hour)); behind <= first {
		t.Errorf("with a clock that was set back the journal goes on at %d, and it was at %d", behind, first)
	}
	one, two := restartIndex(index, now, 0), restartIndex(index, now.Add(time.Minute), 0)
	if one <= index || two < one+60 {
		t.Errorf("keys count on from %d, and a minute later from %d", one, two)
	}
	if behind := restartIndex(one, now.Add(-24*time.Hour), 0); behind <= one {
		t.Errorf("with a clock that was set back keys count on from %d, and they were at %d", behind, one)
	}
	if other := restartIndex(index, now, 5); other != one+5 {
		t.Errorf("chance of 5 moves %d to %d", one, other)
	}
	if far := restartIndex(0, now.AddDate(60, 0, 0), indexChance); far >= 1<<31 {
		t.Errorf("%d does not fit the store's column", far)
	}
}

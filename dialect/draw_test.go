package dialect

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

var seed = flag.Uint64("seed", 0, "draw the values of one failure again")

// A draw is one try of a property, on values of chance. (The module's tests use
// the standard library alone: what they used besides would be on the build list
// of every importer.)
type draw struct {
	*testing.T
	chance *rand.Rand
}

const tries = 100

// check tries a property on many draws.
func check(t *testing.T, property func(d *draw)) {
	t.Helper()
	for range tries {
		start := *seed
		if start == 0 {
			start = rand.Uint64()
		}
		func() {
			defer func() {
				if t.Failed() {
					t.Logf("to see this again: go test -run '^%s$' -args -seed %d", t.Name(), start)
				}
			}()
			property(&draw{t, rand.New(rand.NewPCG(start, 0))})
		}()
		if t.Failed() || *seed != 0 {
			return
		}
	}
}

func (d *draw) bool() bool { return d.chance.IntN(2) == 0 }

// between draws from low to high, both included. Either end comes up often.
func (d *draw) between(low, high int64) int64 {
	switch d.chance.IntN(10) {
	case 0:
		return low
	case 1:
		return high
	}
	if width := uint64(high - low); width < math.MaxUint64 {
		return low + int64(d.chance.Uint64N(width+1))
	}
	return int64(d.chance.Uint64())
}

// of draws from shortest to longest characters of a set.
func (d *draw) of(set func(*draw) rune, shortest, longest int) string {
	var b strings.Builder
	for range shortest + d.chance.IntN(longest-shortest+1) {
		b.WriteRune(set(d))
	}
	return b.String()
}

// runes is the set of the characters from low to high.
func runes(low, high rune) func(*draw) rune {
	return func(d *draw) rune { return low + d.chance.Int32N(high-low+1) }
}

// anyOf is the set of what stands in a string.
func anyOf(characters string) func(*draw) rune {
	all := []rune(characters)
	return func(d *draw) rune { return all[d.chance.IntN(len(all))] }
}

// class is the set of a class of Unicode, each of whose ranges comes up alike.
func class(table *unicode.RangeTable) func(*draw) rune {
	return func(d *draw) rune {
		i := d.chance.IntN(len(table.R16) + len(table.R32))
		if i < len(table.R16) {
			r := table.R16[i]
			return rune(r.Lo) + rune(r.Stride)*d.chance.Int32N(int32((r.Hi-r.Lo)/r.Stride)+1)
		}
		r := table.R32[i-len(table.R16)]
		return rune(r.Lo) + rune(r.Stride)*d.chance.Int32N(int32((r.Hi-r.Lo)/r.Stride)+1)
	}
}

// either joins sets.
func either(sets ...func(*draw) rune) func(*draw) rune {
	return func(d *draw) rune { return sets[d.chance.IntN(len(sets))](d) }
}

// differ says how two values differ; empty where they don't.
func differ(want, got any) string {
	if reflect.DeepEqual(inUTC(want), inUTC(got)) {
		return ""
	}
	return fmt.Sprintf("got\n%+v\nwant\n%+v", got, want)
}

// inUTC is a time without what makes no difference: the zone it was read in.
func inUTC(v any) any {
	if t, ok := v.(time.Time); ok {
		return t.UTC()
	}
	return v
}

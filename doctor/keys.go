package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Key is a signing key of a realm: one environment, format and algorithm.
type Key struct {
	ID          string
	Environment string
	Format      string
	Algorithm   string
	State       string // standby, signing, retired, gone
	SignsFrom   time.Time
	Life        time.Duration // how long keys sign
}

// standbyWithin is how long after a first start, or a rotation, the key that
// stands by may not be there yet.
const standbyWithin = 10 * time.Minute

// overdue is how long after its time a rotation is complained of.
const overdue = 24 * time.Hour

func examineKeys(d *Deployment) (out []Finding) {
	realms := map[string][]Key{}
	for _, k := range d.Keys {
		if name := k.Environment + " " + k.Format; k.State != "gone" {
			realms[name] = append(realms[name], k)
		}
	}
	for name, keys := range realms {
		of := func(state string) []Key {
			return slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.State != state })
		}
		signing := of("signing")
		environment, format, _ := strings.Cut(name, " ")
		rotate := fmt.Sprintf("run: gatehouse key rotate --environment %s --format %s", environment, format)
		if len(signing) == 0 {
			out = append(out, Finding{"key-missing", Error, fmt.Sprintf("no key signs tokens of %s in %s", format, environment), "no such token can be issued", rotate})
			continue
		}
		newest := slices.MaxFunc(signing, func(a, b Key) int { return a.SignsFrom.Compare(b.SignsFrom) })
		if len(signing) > 1 {
			out = append(out, Finding{"key-twice", Warning, fmt.Sprintf("%d keys sign tokens of %s in %s; %s is the newest", len(signing), format, environment, newest.ID),
				"an older one that should have retired can still be used, and stolen", rotate + ", which retires them"})
		}
		if age := d.Now.Sub(newest.SignsFrom); newest.Life > 0 && age > newest.Life+overdue {
			out = append(out, Finding{"key-overdue", Error, fmt.Sprintf("key %s of %s in %s has signed for %d days; keys rotate after %d", newest.ID, format, environment, days(age), days(newest.Life)),
				"the rotation doesn't run, so that a key that leaks is of use for longer", "look for \"background work failed\" in the log; until it is mended " + rotate})
		}
		if len(of("standby")) == 0 && d.Now.Sub(newest.SignsFrom) > standbyWithin {
			out = append(out, Finding{"key-standby-missing", Warning, fmt.Sprintf("no key stands by for %s in %s", format, environment),
				"verifiers that cache the key set would meet the next key unprepared, and refuse its tokens for a while",
				"one is made each minute where none is: look for \"background work failed\" in the log"})
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return cmp.Compare(a.What, b.What) })
	return out
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

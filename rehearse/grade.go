package rehearse

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A scene is one request of the program.
type scene struct {
	act       int
	at, end   time.Time
	visit     bool   // to the token endpoint; else a call of the API
	what      string // of a call: what makes it the same one again
	token     [32]byte
	late      time.Duration // how long its token had been over
	status    int
	refused   string // why a call was answered 401
	leaks     bool
	oldSecret bool
}

// Why a call was answered 401.
const (
	bare   = "it carried no token as the contract says"
	dead   = "its token was ended by the plan, or never given"
	ended  = "its token's life was over"
	chosen = "the plan chose it"
)

// point grades one habit.
type point struct {
	name  string
	acts  []ActName // those of which one must have been played; none: any
	words []string  // by which the contract's own note on it is found
	page  string    // where the contract has no note
	judge func(*play) (held bool, detail string)
}

// play is what was seen in the acts that a point is about.
type play struct {
	all, visits, calls []scene
	life, lasted       time.Duration
	permanent          bool
}

var points = []point{
	{"keeps its token and uses it again", []ActName{Normal}, []string{"keep", "use it", "use a token"}, "RFC 6749 section 5.1 (expires_in)", func(p *play) (bool, string) {
		most := 1 + int(p.lasted/(p.life/2))
		if p.permanent {
			most = 1
		}
		return len(p.visits) <= most && len(p.calls) > 2*len(p.visits),
			fmt.Sprintf("%d token requests for %d calls; %d would do", len(p.visits), len(p.calls), most)
	}},
	{"renews before the end", []ActName{Normal, Slow, Unavailable}, []string{"before"}, "RFC 6750 section 3.1 (invalid_token)", func(p *play) (bool, string) {
		n := refusals(p.calls, ended)
		worst := slices.MaxFunc(append(p.calls, scene{}), func(a, b scene) int { return cmp.Compare(a.late, b.late) })
		return n == 0 && len(p.calls) > 0, fmt.Sprintf("%d of %d calls carried a token whose life was over, by %v at most", n, len(p.calls), worst.late.Round(time.Millisecond))
	}},
	{"asks once, however many wait", nil, []string{"each call", "every"}, "RFC 6819 section 4.4.1.11 (load on the token endpoint)", func(p *play) (bool, string) {
		n := overlaps(p.visits)
		return n == 0 && len(p.visits) > 0, fmt.Sprintf("%d token requests began while another was under way", n)
	}},
	{"on a 401 renews and repeats the call", []ActName{Expired, Unauthorized}, []string{"401"}, "RFC 6750 section 3.1 (invalid_token)", func(p *play) (bool, string) {
		met, repeated := retries(p.calls)
		return met > 0 && repeated == met, fmt.Sprintf("%d of %d refused calls were repeated with success", repeated, met)
	}},
	{"doesn't renew more often than 401s call for", []ActName{Expired, Unauthorized}, []string{"once"}, "RFC 6750 section 3.1 (invalid_token)", func(p *play) (bool, string) {
		most := 3 + int(p.lasted/(p.life/2))
		return len(p.visits) <= most, fmt.Sprintf("%d token requests; %d would do", len(p.visits), most)
	}},
	{"heeds Retry-After while the token endpoint is down", []ActName{Unavailable}, []string{"limit", "503"}, "RFC 9110 section 10.2.3 (Retry-After)", func(p *play) (bool, string) {
		n := impatient(p.visits)
		return n == 0, fmt.Sprintf("%d of %d token requests came before the time that the last answer named", n, len(p.visits))
	}},
	{"is not misled by a wrong clock", []ActName{Clock}, []string{"until", "clock"}, "RFC 9110 section 6.6.1 (Date)", func(p *play) (bool, string) {
		return len(p.visits) <= 2 && succeeded(p.calls) > 0, fmt.Sprintf("%d token requests, %d calls with success", len(p.visits), succeeded(p.calls))
	}},
	{"notices nothing of a new signing key", []ActName{Key}, nil, "RFC 7517 section 5 (key sets)", func(p *play) (bool, string) {
		n := refusals(p.calls, bare) + refusals(p.calls, ended)
		return n == 0 && succeeded(p.calls) > 0, fmt.Sprintf("%d of %d calls with success", succeeded(p.calls), len(p.calls))
	}},
	{"takes up a new secret", []ActName{Secret}, nil, "OWASP ASVS 5, 13.3.4 (secrets are rotated)", func(p *play) (bool, string) {
		return succeeded(p.calls) > 0, fmt.Sprintf("%d calls with success after the secret was replaced", succeeded(p.calls))
	}},
	{"doesn't hammer with refused credentials", []ActName{Secret}, nil, "RFC 6749 section 5.2 (invalid_client)", func(p *play) (bool, string) {
		n := 0
		for _, v := range p.visits {
			if v.oldSecret {
				n++
			}
		}
		return n <= 3, fmt.Sprintf("%d token requests with the old secret", n)
	}},
	{"carries the token as the contract says", nil, []string{"bearer"}, "RFC 6750 section 2.1", func(p *play) (bool, string) {
		n := refusals(p.calls, bare)
		return n == 0 && len(p.calls) > 0, fmt.Sprintf("%d of %d calls did not", n, len(p.calls))
	}},
	{"keeps its secret out of URLs", nil, []string{"secret"}, "RFC 6749 section 2.3.1", func(p *play) (bool, string) {
		n := 0
		for _, e := range p.all {
			if e.leaks {
				n++
			}
		}
		return n == 0, fmt.Sprintf("%d of %d requests had it there", n, len(p.all))
	}},
}

func refusals(calls []scene, why string) (n int) {
	for _, c := range calls {
		if c.refused == why {
			n++
		}
	}
	return n
}

func succeeded(calls []scene) (n int) {
	for _, c := range calls {
		if c.refused == "" {
			n++
		}
	}
	return n
}

// overlaps counts the visits that began while an earlier one was under way.
func overlaps(visits []scene) (n int) {
	sorted := slices.SortedFunc(slices.Values(visits), func(a, b scene) int { return a.at.Compare(b.at) })
	var until time.Time
	for _, v := range sorted {
		if v.at.Before(until) {
			n++
		}
		if v.end.After(until) {
			until = v.end
		}
	}
	return n
}

// soon is how quickly a refused call must be repeated.
const soon = 3 * time.Second

// retries counts the refused calls, and those of them that the same call
// followed with another token and success, each by one of its own.
func retries(calls []scene) (met, repeated int) {
	taken := map[int]bool{}
	for _, c := range calls {
		if c.refused == "" {
			continue
		}
		met++
		for i, next := range calls {
			if !taken[i] && next.refused == "" && next.what == c.what && next.token != c.token && next.at.After(c.at) && next.at.Sub(c.at) < soon {
				taken[i] = true
				repeated++
				break
			}
		}
	}
	return met, repeated
}

// impatient counts the visits that came before the time that the one before
// them was told. A tenth early is a clock's, not a program's, fault.
func impatient(visits []scene) (n int) {
	for i := 1; i < len(visits); i++ {
		if visits[i-1].status == 503 && visits[i].at.Sub(visits[i-1].end) < retryAfter*9/10 {
			n++
		}
	}
	return n
}

// report grades what was seen. The caller holds mu.
func (s *Stage) report() *Report {
	plan := s.config.Plan
	r := &Report{
		Client: plan.Client, Dialect: s.dialect.Name, Environment: plan.Environment,
		StartedAt: s.began.UTC().Truncate(time.Second), Seconds: int64(time.Since(s.began).Seconds()),
	}
	if s.standard {
		r.Dialect = bearerOAuth2
	}
	for _, pt := range points {
		p := play{life: s.life(), permanent: s.dialect.Token.Permanent}
		for i, act := range plan.Acts {
			if pt.acts != nil && !slices.Contains(pt.acts, act.Name) {
				continue
			}
			p.lasted += time.Duration(act.For)
			for _, e := range s.scenes {
				if e.act != i {
					continue
				}
				p.all = append(p.all, e)
				if e.visit {
					p.visits = append(p.visits, e)
				} else {
					p.calls = append(p.calls, e)
				}
			}
		}
		if p.lasted == 0 {
			continue // none of its acts was played
		}
		held, detail := pt.judge(&p)
		r.Points = append(r.Points, Point{pt.name, held, detail, source(s.dialect, pt)})
		r.Of++
		if held {
			r.Marks++
		}
	}
	return r
}

// source is the contract's own note on the point, or a standard's section.
func source(d *dialect.Dialect, p point) string {
	for _, word := range p.words {
		for _, note := range d.Notes {
			if strings.Contains(strings.ToLower(note), word) {
				return d.Title + ": " + note
			}
		}
	}
	return p.page
}
